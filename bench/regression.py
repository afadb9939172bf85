"""Fails when a kernel has lost more than 5% against bench/baseline.json: `regression.py [--update] -- COMMAND…`.

COMMAND is the kernel benchmark, to which `--json FILE` (and `--only KERNEL` to look again) is added. What is compared
is a ratio within one run: how much of the multiply-add peak, measured beside it, a kernel's time would have filled, per
unit of its work. So a machine at another clock compares; one with other caches may not, and is told so.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BASELINE = Path(__file__).resolve().parent / "baseline.json"
ALLOWED = 1.05
ROUNDS = 9  # of the baseline, which is their median: what one lucky round showed would be no fair measure
LOOKS = 10  # a kernel that seems slow is measured again; the least counts


Costs = dict[tuple[str, str], float]  # by target and kernel


def cpu() -> str:
    name = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return name[1] if name else "unknown"


def measure(command: list[str], only: str | None = None) -> Costs:
    """How many peak operations would fit into each kernel's time, per operation (or element) of its work."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        more = ["--only", only] if only else []
        subprocess.run([*command, "--json", file.name, *more], check=True, stdout=subprocess.DEVNULL)
        rows = json.load(file)
    work = [row.get("elements") or row["flops"] for row in rows]
    return {
        (r["target"], r["kernel"]): r["seconds"] * r["peak_flops_per_second"] / w
        for r, w in zip(rows, work, strict=True)
    }


def take_least(costs: Costs, again: Costs) -> None:
    for key, cost in again.items():
        costs[key] = min(cost, costs.get(key, cost))


def slower(costs: Costs, baseline: Costs) -> Costs:
    """Kernels that cost too much: by how much."""
    ratios = {key: costs[key] / cost for key, cost in baseline.items() if key in costs}
    return {key: ratio for key, ratio in ratios.items() if ratio > ALLOWED}


def update(command: list[str]) -> int:
    rounds = [measure(command) for _ in range(ROUNDS)]
    costs = {key: statistics.median(costs[key] for costs in rounds) for key in rounds[0]}
    rows = [{"target": target, "kernel": kernel, "cost": round(cost, 4)} for (target, kernel), cost in costs.items()]
    BASELINE.write_text(json.dumps({"cpu": cpu(), "kernels": rows}, indent=1) + "\n")
    print(f"{len(rows)} kernels in {BASELINE.name}")
    return 0


def compare(command: list[str]) -> int:
    if not BASELINE.exists():
        raise SystemExit(f"there is no {BASELINE.name} to compare with: make one with --update, on an idle machine")
    file = json.loads(BASELINE.read_text())
    baseline = {(row["target"], row["kernel"]): row["cost"] for row in file["kernels"]}
    if file["cpu"] != cpu():
        print(f"the baseline was measured on another CPU ({file['cpu']}): caches may tell, not only the code")
    costs = measure(command)
    for _ in range(LOOKS - 1):
        for kernel in {kernel for _, kernel in slower(costs, baseline)}:
            take_least(costs, measure(command, kernel))
    lost = slower(costs, baseline)
    missing = [key for key in baseline if key not in costs]
    for (target, kernel), ratio in lost.items():
        print(f"{target}, {kernel}: {ratio:.2f} times the baseline's cost")
    for target, kernel in missing:
        print(f"{target}, {kernel}: not measured any more; --update when that is meant")
    print(f"{len(costs)} kernels, {len(lost)} slower, {len(missing)} missing")
    return 1 if lost or missing else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the baseline instead of comparing with it")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return update(options.command) if options.update else compare(options.command)


if __name__ == "__main__":
    sys.exit(main())
