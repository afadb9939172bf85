#!/usr/bin/env python3
"""Says what pip is about to download for PyTorch, from the report of its dry run: CUDA's packages are gigabytes."""

import json
import sys
from pathlib import Path


def main() -> None:
    packages = json.loads(Path(sys.argv[1]).read_text())["install"]
    versions = {entry["metadata"]["name"]: entry["metadata"]["version"] for entry in packages}
    local = {entry["metadata"]["name"] for entry in packages if entry["download_info"]["url"].startswith("file:")}
    downloads = sorted(set(versions) - local)
    print(f"PyTorch {versions['torch']}; pip downloads: {' '.join(downloads) or 'nothing'}")
    cuda = [name for name in downloads if name.startswith(("nvidia-", "cuda-", "triton"))]
    if cuda:
        print(f"{len(cuda)} of these belong to CUDA: several gigabytes that nothing here uses.")
        print("pip finds no CPU build for this Python. Stop now to avoid them: put a CPU wheel in a folder,")
        print("set PIP_FIND_LINKS to that folder and start again.")


if __name__ == "__main__":
    main()
