"""The kiln command in processes of its own, on models that ./dev test exports before."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmkiln
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
KILN = ROOT / "build/native/kiln"
MODELS = ROOT / "build/deps/models"
DIGITS = MODELS / "digits"
MODEL = str(DIGITS / "model.kiln")
# What each precision may round, of the scale (docs/precision.md): 'exact' no more than another order of sums does.
TOLERANCES = {"exact": 1e-5, "balanced": 1e-4, "fast": 1e-3}


@pytest.fixture
def kiln(tmp_path: Path):
    """Calls the command with a cache folder of its own; checks its exit code."""

    def call(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [str(KILN), *map(str, args)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done

    return call


def test_inspect(kiln) -> None:
    text = kiln("inspect", MODEL).stdout
    assert "aten.convolution.default" in text
    assert "1x1x8x8" in text
    assert "hashes match" in text
    assert f"integrity: {wasmkiln.integrity(MODEL)}\n" in text


def test_integrity_takes_one_file_and_no_other(kiln, tmp_path: Path) -> None:
    own = wasmkiln.integrity(MODEL)
    data = ["--input", f"image={DIGITS / 'inputs/image.bin'}", "--output-dir", tmp_path / "out"]
    for sandbox in ([], ["--sandbox"]):
        kiln("run", MODEL, "--integrity", f"sha256-{'A' * 43}= {own}", *sandbox, *data)
        got = np.fromfile(tmp_path / "out/logits.bin", np.float32)
        want = np.fromfile(DIGITS / "outputs/logits.bin", np.float32)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())
    other = kiln("run", MODEL, "--integrity", f"sha256-{'A' * 43}=", *data, code=1).stderr
    assert "bad-file" in other
    assert own in other
    for wrong in ("", "sha256-", own[:-1], f"{own},{own}"):
        assert "bad-option" in kiln("run", MODEL, "--integrity", wrong, *data, code=1).stderr
    assert "bad-option" in kiln("run", MODEL, "--integrity", own, "--no-verify", *data, code=1).stderr
    damaged = bytearray(Path(MODEL).read_bytes())
    damaged[-1] ^= 4
    (tmp_path / "damaged.kiln").write_bytes(damaged)
    assert "digests" in kiln("run", tmp_path / "damaged.kiln", "--integrity", own, *data, code=1).stderr


@pytest.mark.parametrize("isa", ["host", "reference"])
@pytest.mark.parametrize("precision", TOLERANCES)
def test_run_writes_what_pytorch_answers(kiln, tmp_path: Path, isa: str, precision: str) -> None:
    image = f"image={DIGITS / 'inputs/image.bin'}"
    kiln("run", MODEL, "--isa", isa, "--precision", precision, "--input", image, "--output-dir", tmp_path / "out")
    got = np.fromfile(tmp_path / "out/logits.bin", np.float32)
    want = np.fromfile(DIGITS / "outputs/logits.bin", np.float32)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCES[precision] * np.abs(want).max())


def test_run_in_a_sandbox_answers_the_same(kiln, tmp_path: Path) -> None:
    image = f"image={DIGITS / 'inputs/image.bin'}"
    kiln("run", MODEL, "--sandbox", "--sandbox-memory", "1000", "--input", image, "--output-dir", tmp_path / "out")
    got = np.fromfile(tmp_path / "out/logits.bin", np.float32)
    want = np.fromfile(DIGITS / "outputs/logits.bin", np.float32)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())
    done = kiln("run", tmp_path / "none.kiln", "--sandbox", "--input", image, code=1)
    assert "there is no sandbox" in done.stderr
    done = kiln("run", MODEL, "--sandbox", "--sandbox-memory", "64", "--threads", "64", "--input", image, code=1)
    assert "out-of-memory" in done.stderr


@pytest.mark.parametrize(
    ("name", "file"),
    [("../escaped", "..%2Fescaped"), ("/tmp/escaped", "%2Ftmp%2Fescaped"), ("a\\b", "a%5Cb"), ("é%", "%C3%A9%25")],
)
def test_names_of_outputs_lead_to_no_other_folder(kiln, tmp_path: Path, name: str, file: str) -> None:
    class Double(nn.Module):
        def forward(self, x):
            return x * 2

    wasmkiln.export(Double(), (torch.ones(2),), tmp_path / "m.kiln", input_names=["x"], output_names=[name])
    torch.ones(2).numpy().tofile(tmp_path / "x.bin")
    kiln("run", tmp_path / "m.kiln", "--input", f"x={tmp_path / 'x.bin'}", "--output-dir", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*")] == [f"{file}.bin"]
    assert not (tmp_path / "escaped.bin").exists()


def test_names_do_not_reach_the_terminal_as_they_are(kiln, tmp_path: Path) -> None:
    class Double(nn.Module):
        def forward(self, x):
            return x * 2

    for name in ("\x1b[31mred", "a\nb", "\u202ereversed"):
        with pytest.raises(wasmkiln.ExportError, match="cannot be shown"):
            wasmkiln.export(Double(), (torch.ones(2),), tmp_path / "m.kiln", output_names=[name])
    done = kiln("inspect", tmp_path / "\x1b[31mnone", code=1)
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("model", ["minilm", "whisper-encoder"])
@pytest.mark.parametrize("threads", [1, 2])
def test_linear_layers_and_attention_in_integers(kiln, tmp_path: Path, model: str, threads: int) -> None:
    folder = MODELS / model
    told = json.loads((folder / "io.json").read_text())
    inputs = [word for port in told["inputs"] for word in ("--input", f"{port['name']}={folder / port['file']}")]
    kiln("run", folder / "model.kiln", "--precision", "fast", "--threads", threads, *inputs, "--output-dir", tmp_path)
    for port in told["outputs"]:
        got, want = (
            np.fromfile(path, np.float32) for path in (tmp_path / f"{port['name']}.bin", folder / port["file"])
        )
        np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCES["fast"] * np.abs(want).max())


def test_exact_keeps_what_is_not_finite(kiln, tmp_path: Path) -> None:
    """An infinity and a NaN reach the sums that they are part of, and no others."""
    torch.manual_seed(0)
    layers = {"same": nn.Conv2d(64, 48, 3, padding=1), "half": nn.Conv2d(64, 48, 3, stride=2, padding=1)}
    for name, layer in layers.items():
        wasmkiln.export(layer.eval(), (torch.randn(1, 64, 21, 23),), tmp_path / f"{name}.kiln", output_names=["out"])
    for value in (np.nan, np.inf, -np.inf):
        image = torch.randn(1, 64, 21, 23)
        image[0, 5, 9, 14] = value
        image.numpy().tofile(tmp_path / "image.bin")
        for name, layer in layers.items():
            model, port = tmp_path / f"{name}.kiln", f"input={tmp_path / 'image.bin'}"
            kiln("run", model, "--precision", "exact", "--input", port, "--output-dir", tmp_path)
            want = layer(image).detach().numpy().flatten()
            assert 0 < np.count_nonzero(~np.isfinite(want)) <= 9 * 48
            scale = np.abs(want[np.isfinite(want)]).max()
            got = np.fromfile(tmp_path / "out.bin", np.float32)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(("precision", "tolerance"), TOLERANCES.items())
@pytest.mark.parametrize("rows", [1, 64])
def test_integers_keep_the_small_among_the_large(
    kiln, tmp_path: Path, precision: str, tolerance: float, rows: int
) -> None:
    """Weights of an input that is zero are a thousand times the others: they must not cost the others' digits."""
    torch.manual_seed(0)
    layer, x = nn.Linear(512, 512).eval(), torch.randn(rows, 512)
    x[:, 100] = 0
    x.numpy().tofile(tmp_path / "x.bin")
    for outlier in (1, 100, 1000):
        with torch.no_grad():
            layer.weight[:, 100] = outlier
            want = layer(x).numpy().flatten()
        wasmkiln.export(layer, (x,), tmp_path / "m.kiln", output_names=["out"])
        options = ("--precision", precision, "--input", f"input={tmp_path / 'x.bin'}", "--output-dir", tmp_path)
        kiln("run", tmp_path / "m.kiln", *options)
        got = np.fromfile(tmp_path / "out.bin", np.float32)
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def test_bench_and_profile_as_json(kiln) -> None:
    told = json.loads(kiln("bench", MODEL, "--json", "--rounds", 3, "--threads", 2).stdout)
    assert len(told["samples_ms"]) == 3
    assert told["threads"] == 2
    assert told["first_output_ms"] >= told["load_ms"]["total"] > 0
    assert told["peak_memory_bytes"] > told["model_memory_bytes"] > 0
    told = json.loads(kiln("profile", MODEL, "--json", "--passes", 2).stdout)
    assert told["peak_gflops"] > 0
    assert {"contraction", "depthwise", "window", "map"} == {step["kernel"] for step in told["steps"]}
    assert sum(step["ms"] for step in told["steps"]) == pytest.approx(told["total_ms"])


def test_profile_as_tables(kiln) -> None:
    text = kiln("profile", MODEL, "--passes", 2, "--by-time").stdout
    assert "% of peak" in text
    assert "measured in this run" in text


@pytest.mark.parametrize(
    ("stage", "isa", "expected"),
    [
        ("source", "host", "= aten.convolution.default("),
        ("graph", "host", "conv("),
        ("plan", "host", "run\n"),
        ("schedule", "wasm", "(prior)"),
        ("wat", "host", '(export "run"'),
        ("wat", "wasm", "f32x4.relaxed_madd"),
        ("asm", "avx2", "vfmadd"),
        ("asm", "avx512", "zmm"),
        ("asm", "neon", "fmla"),
    ],
)
def test_dump(kiln, stage: str, isa: str, expected: str) -> None:
    assert expected in kiln("dump", MODEL, "--stage", stage, "--isa", isa).stdout


def test_dump_into_files(kiln, tmp_path: Path) -> None:
    kiln("dump", MODEL, "--stage", "graph,plan,wat", "--output-dir", tmp_path / "dumps")
    assert {path.name for path in (tmp_path / "dumps").iterdir()} == {"graph.txt", "plan.txt", "wat.txt"}


def test_ops(kiln) -> None:
    assert "aten.convolution.default" in kiln("ops").stdout


def test_tuning_is_kept_and_merged(kiln, tmp_path: Path) -> None:
    one, two, both = (tmp_path / name for name in ("one.json", "two.json", "both.json"))
    kiln("tune", MODEL, "--budget-ms", 50, "--threads", 1, "-o", one)
    kiln("tune", MODEL, "--budget-ms", 50, "--threads", 2, "-o", two)
    kiln("wisdom", "merge", one, two, "-o", both)
    entries = [json.loads(path.read_text())["entries"] for path in (one, two, both)]
    assert entries[0] and entries[1]
    assert len(entries[2]) == len(entries[0]) + len(entries[1])
    assert "(wisdom)" in kiln("dump", MODEL, "--stage", "schedule", "--threads", 1, "--wisdom", both).stdout
    kiln("tune", MODEL, "--budget-ms", 50)
    assert list((tmp_path / "cache/wasmkiln").glob("wisdom-*.json"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "missing.kiln"), "bad-file"),
        (("run", MODEL), "'image' (float32 1x1x8x8) is missing"),
        (("run", MODEL, "--input", "picture=missing.bin"), "no input 'picture'"),
        (("run", MODEL, "--input", "image=missing.bin"), "missing.bin cannot be read"),
        (("run", MODEL, "--input", "image"), "not of the form"),
        (("run", MODEL, "--input", f"image={MODEL}"), "256 bytes"),
        (("run", MODEL, "--isa", "vax"), "choose one of host"),
        (("run", MODEL, "--precision", "sloppy"), "bad-option: precision must be 'exact', 'balanced' or 'fast'"),
        (("dump", MODEL, "--stage", "plan", "--precision", "sloppy"), "bad-option"),
        (("run", MODEL, "--dim", "n=zero"), "needs a size"),
        (("run", MODEL, "--wisdom", MODEL), "bad-wisdom"),
        (("dump", MODEL, "--stage", "asm", "--isa", "wasm"), "needs an --isa with machine code"),
        (("wisdom", "merge", "missing.json", "-o", "out.json"), "missing.json cannot be read"),
        (("tune", MODEL, "--browser", "chromium"), "--output"),
    ],
)
def test_errors_say_what_is_wrong(kiln, arguments: tuple[str, ...], told: str) -> None:
    assert told in kiln(*arguments, code=1).stderr


def test_usage_errors() -> None:
    for arguments in ((), ("run",), ("dump", MODEL, "--stage", "soup"), ("bench", MODEL, "--rounds", "0")):
        done = subprocess.run([str(KILN), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode > 100  # CLI11's own codes
