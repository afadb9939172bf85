#!/usr/bin/env python3
"""Bytes of what a page downloads, raw, gzip and brotli; keeps docs/size.md."""

import gzip
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("compiler.wasm", "index.js", "worker.js")
FULL = "compiler-full.wasm"  # in the place of compiler.wasm, for an .onnx file and for what is rare


def sizes_of(name: str) -> list[int]:
    data = (ROOT / "js-sdk/dist" / name).read_bytes()
    brotli = subprocess.run(["brotli", "-c", "-q", "11"], input=data, capture_output=True, check=True).stdout
    return [len(data), len(gzip.compress(data, 9)), len(brotli)]


def row(name: str, sizes: list[int]) -> str:
    return f"| {name} | " + " | ".join(f"{size:,}" for size in sizes) + " |"


def main() -> None:
    rows = ["| file | raw | gzip | brotli |", "|---|---|---|---|"]
    total = [0, 0, 0]
    for name in FILES:
        sizes = sizes_of(name)
        total = [a + b for a, b in zip(total, sizes, strict=True)]
        rows.append(row(name, sizes))
    rows.append(row("**together**", total))
    rows.append(row(f"{FULL}, in the place of compiler.wasm for .onnx files and rare operators", sizes_of(FULL)))
    table = "\n".join(rows)
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs/size.md").write_text(f"# What a page downloads\n\nWritten by `./dev size`, in bytes.\n\n{table}\n")
    print(table)


if __name__ == "__main__":
    main()
