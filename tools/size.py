#!/usr/bin/env python3
"""Bytes of what a page downloads, raw, gzip and brotli; keeps docs/size.md."""

import gzip
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("compiler.wasm", "index.js", "worker.js")


def main() -> None:
    rows = ["| file | raw | gzip | brotli |", "|---|---|---|---|"]
    total = [0, 0, 0]
    for name in FILES:
        data = (ROOT / "js-sdk/dist" / name).read_bytes()
        brotli = subprocess.run(["brotli", "-c", "-q", "11"], input=data, capture_output=True, check=True).stdout
        sizes = [len(data), len(gzip.compress(data, 9)), len(brotli)]
        total = [a + b for a, b in zip(total, sizes, strict=True)]
        rows.append(f"| {name} | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    rows.append("| **together** | " + " | ".join(f"{size:,}" for size in total) + " |")
    table = "\n".join(rows)
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs/size.md").write_text(f"# What a page downloads\n\nWritten by `./dev size`, in bytes.\n\n{table}\n")
    print(table)


if __name__ == "__main__":
    main()
