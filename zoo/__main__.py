"""`python -m zoo build --out DIR [--models a,b] [--formats kiln,onnx]`, `… operators --out DIR [--only TEXT]` and
`… ops [--models a,b]`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import zoo
from zoo import artifacts, operators, ops

FORMATS = ("kiln", "onnx")


def names(known: tuple[str, ...]):
    """A parser of comma-separated names, each of them known."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; choose from {', '.join(known)}")
        return chosen

    return parse


def build_operators(out: Path, only: str) -> None:
    texts = only.split(",")
    chosen = {id: case for id, case in operators.cases().items() if any(t in f"{case.kind} {case.name}" for t in texts)}
    for case_id in chosen:
        artifacts.build_one(case_id, out, list(FORMATS), quiet=True)
    rows = [{"id": case_id, "kind": case.kind, "name": case.name} for case_id, case in chosen.items()]
    (out / operators.PREFIX / "cases.json").write_text(json.dumps(rows, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m zoo", description="The models of demos, tests and bench.")
    commands = parser.add_subparsers(dest="command", required=True)
    models = argparse.ArgumentParser(add_help=False)
    ids = list(zoo.MODELS)
    bench_only = (*zoo.BLOCKS, *zoo.UNTUNED, *zoo.MATMULS)
    known = names((*ids, *bench_only))
    models.add_argument("--models", type=known, help="ids, comma-separated (default: all; the bench's own if built)")
    build = commands.add_parser("build", parents=[models], help="write the files of models")
    build.add_argument("--out", type=Path, default=zoo.DEFAULT_OUT)
    build.add_argument("--formats", type=names(FORMATS), default=list(FORMATS), help="kiln,onnx (default: both)")
    single = commands.add_parser("operators", help="write the files of single operators, and operators/cases.json")
    single.add_argument("--out", type=Path, default=zoo.DEFAULT_OUT)
    single.add_argument("--only", default="", help="those whose kind or name holds one of these, comma-separated")
    commands.add_parser("ops", parents=[models], help="list the operators that exported models use")
    options = parser.parse_args()
    if options.command == "build":
        built = [model_id for model_id in bench_only if (options.out / model_id).exists()]
        for model_id in options.models or [*ids, *built]:
            artifacts.build_one(model_id, options.out, options.formats)
    elif options.command == "operators":
        build_operators(options.out, options.only)
    else:
        for model_id in options.models or ids:
            print(f"## {model_id}\n\n{ops.inventory(ops.export(zoo.build(model_id)))}\n")


if __name__ == "__main__":
    main()
