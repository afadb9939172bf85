"""The command line, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wasmkiln import integrity
from wasmkiln.cli import CliError, load_source

MODEL = """
import torch
def make():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.ReLU()), (torch.ones(2, 5),)
"""

# Stands in for `kiln run`: checks what it is given and answers what PyTorch would, plus an offset.
FAKE = """#!{python}
import sys, pathlib, torch
sys.path.insert(0, {folder!r})
from tiny import make
model, (x,) = make()
given = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
assert sys.argv[1:3] == ["run", "m.kiln"] and given["--precision"] == "exact", sys.argv
name, file = given["--input"].split("=", 1)
assert name == "input" and pathlib.Path(file).read_bytes() == x.numpy().tobytes(), name
(pathlib.Path(given["--output-dir"]) / "relu.bin").write_bytes((model(x) + {offset}).detach().numpy().tobytes())
"""


def call(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "KILN"} | {"COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, "-m", "wasmkiln", *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    (path / "tiny.py").write_text(MODEL)
    done = call(path, "export", "tiny:make", "m.kiln")
    assert done.returncode == 0, done.stderr
    return path


def test_inspect(folder: Path) -> None:
    done = call(folder, "inspect", "m.kiln")
    assert f"integrity: {integrity(folder / 'm.kiln')}\n" in done.stdout
    assert done.returncode == 0, done.stderr
    assert "aten.linear.default" in done.stdout
    assert "float32[2x3]" in done.stdout


@pytest.mark.parametrize(("offset", "code"), [(0, 0), (0.5, 1), ("float('nan')", 1)])
def test_verify_compares_every_output(folder: Path, offset: object, code: int) -> None:
    fake = folder / "kiln"
    fake.write_text(FAKE.format(python=sys.executable, folder=str(folder), offset=offset))
    fake.chmod(0o755)
    done = call(folder, "verify", "m.kiln", "tiny:make", "--kiln", str(fake))
    assert "relu" in done.stdout, done.stderr
    assert done.returncode == code, done.stderr


ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("tolerance", "code"), [("1e-4", 0), ("1e-12", 1)])
def test_verify_runs_the_native_command(tolerance: str, code: int) -> None:
    """The real thing, on the model that ./dev test exported with the command that it built."""
    model = ROOT / "build/deps/models/digits/model.kiln"
    done = call(ROOT, "verify", str(model), "zoo.digits:build", "--tolerance", tolerance)
    assert "logits" in done.stdout, done.stderr
    assert done.returncode == code, done.stderr


BROKEN = """
import torch
class Branches(torch.nn.Module):
    def forward(self, x):
        return x.relu() if x.sum() > 0 else x
def branches():
    return Branches(), (torch.ones(3),)
def fails():
    raise ValueError("no weights here")
def nothing():
    return 1, 2
"""


def test_errors_of_tracing_are_sentences(folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)
    done = call(folder, "export", "broken:branches", "broken.kiln")
    assert done.returncode == 1
    assert "broken.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 40  # PyTorch prints the part of the graph that it has, twice


@pytest.mark.parametrize(
    ("source", "words"), [("fails", "no weights here"), ("nothing", "must give"), ("absent", "cannot import")]
)
def test_errors_of_sources_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    (tmp_path / "broken_source.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CliError, match=words):
        load_source(f"broken_source:{source}")


NESTED = """
import torch
class Nested(torch.nn.Module):
    def forward(self, x, state, flag, more=None):
        x -= x.mean()
        y = x + state["h"] * 2 + state["c"][1]
        return {"y": y if flag else -y, "n": x.shape[0], "none": more, "big": (x > 0).long() + 2**30}
def make():
    torch.manual_seed(1)
    x, h, c = torch.randn(2, 5), torch.randn(5), torch.randn(2, 1)
    return Nested(), (x, {"h": h, "c": [h, c]}, True, None)
"""


def test_nested_arguments_and_results_are_verified(tmp_path: Path) -> None:
    (tmp_path / "nested.py").write_text(NESTED)
    done = call(tmp_path, "export", "nested:make", "m.kiln")
    assert done.returncode == 0, done.stderr
    shown = call(tmp_path, "inspect", "m.kiln").stdout
    assert all(name in shown for name in ("state.h", "state.c.0", "state.c.1", "big"))
    assert "takes" in shown  # the compiler takes it, or nobody was asked whether it does
    done = call(tmp_path, "verify", "m.kiln", "nested:make")
    assert done.returncode == 0, done.stdout + done.stderr


DYNAMIC = """
import torch
def make():
    torch.manual_seed(1)
    batch = torch.export.Dim("batch", min=1, max=8)
    return torch.nn.Linear(5, 3), (torch.ones(4, 5),), ({0: batch},)
"""


def test_dims_without_a_size_are_shown_and_verified(tmp_path: Path) -> None:
    (tmp_path / "dynamic.py").write_text(DYNAMIC)
    done = call(tmp_path, "export", "dynamic:make", "m.kiln")
    assert done.returncode == 0, done.stderr
    assert "float32[batchx5]" in call(tmp_path, "inspect", "m.kiln").stdout
    done = call(tmp_path, "verify", "m.kiln", "dynamic:make")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def relu(folder: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    port = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["rows", 4]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", port[:1], port[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "relu.onnx")
    return folder


def test_an_onnx_file_is_compared_with_onnxruntime(relu: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = call(relu, "verify", "relu.onnx", "--dim", "rows=3")
    assert done.returncode == 0, done.stderr
    assert "0.000e+00" in done.stdout
    for options, words in (
        ([], "give sizes: --dim rows=…"),
        (["--dim", "rows"], "--dim is name=size"),
        (["--dim", "rows=3", "--dim", "columns=4"], "the file has no dim columns; it has rows"),
    ):
        done = call(relu, "verify", "relu.onnx", *options)
        assert done.returncode == 1 and words in done.stderr, done.stderr


def test_an_onnx_file_that_differs_is_a_failure(relu: Path) -> None:
    pytest.importorskip("onnxruntime")
    fake = relu / "zeros"
    script = "import sys, pathlib\nfolder = pathlib.Path(sys.argv[sys.argv.index('--output-dir') + 1])\n"
    fake.write_text(f"#!{sys.executable}\n{script}(folder / 'y.bin').write_bytes(bytes(48))\n")
    fake.chmod(0o755)
    done = call(relu, "verify", "relu.onnx", "--dim", "rows=3", "--kiln", str(fake))
    assert done.returncode == 1 and "differ by more than the tolerance" in done.stderr, done.stderr


def test_an_onnx_file_is_shown(relu: Path) -> None:
    done = call(relu, "inspect", "relu.onnx")
    assert done.returncode == 0, done.stderr
    assert "onnx.Relu" in done.stdout and "rows" in done.stdout


def test_a_kiln_file_is_compared_with_its_model(folder: Path) -> None:
    done = call(folder, "verify", "m.kiln")
    assert done.returncode == 1 and "name its MODULE:CALLABLE" in done.stderr, done.stderr
