"""Writes what a benchmark found: `report.py JSON` makes docs/performance.md, its plots, and the table of the README.

The JSON is what `./dev bench` writes: rows {model, engine, threads, metric, value, unit, samples[, browser]}.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import math
import platform
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "wasmkiln"})
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of a backend that needs no screen)

ROOT = Path(__file__).resolve().parent.parent
OURS, EARLY, FAST = "wasmkiln", "wasmkiln-early", "wasmkiln-fast"
NAMES = {
    "wasmkiln": "wasmkiln",
    "wasmkiln-early": "wasmkiln, runWhileLoading",
    "wasmkiln-fast": "wasmkiln, 'fast' (16-bit products)",
    "ort-web": "onnxruntime-web",
    "tfjs": "TensorFlow.js",
    "jax-js": "jax-js",
    "wasmkiln-native": "wasmkiln, native",
    "ort-native": "onnxruntime, native",
    "torch": "PyTorch, native",
}
NATIVE = ("wasmkiln-native", "ort-native", "torch")
COLORS = {
    "wasmkiln": "#d9480f",
    "wasmkiln-fast": "#862e9c",
    "ort-web": "#4263eb",
    "tfjs": "#f59f00",
    "jax-js": "#0ca678",
    "wasmkiln-native": "#f4a582",
    "ort-native": "#91a7ff",
    "torch": "#868e96",
}
START, END = "<!-- bench -->", "<!-- /bench -->"
OPERATORS = "<!-- operators -->", "<!-- /operators -->"  # what operators.py puts into docs/performance.md


class Results:
    """Rows by (model, engine, threads, metric); models and engines in the order in which they were measured."""

    def __init__(self, rows: list[dict]) -> None:
        self.values = {(r["model"], r["engine"], r["threads"], r["metric"]): r["value"] for r in rows}
        untuned = {r["model"] for r in rows if r.get("group") == "untuned"}
        everything = list(dict.fromkeys(r["model"] for r in rows))
        self.models = [model for model in everything if model not in untuned]
        self.untuned = [model for model in everything if model in untuned]
        measured = {r["engine"] for r in rows}
        self.engines = [engine for engine in NAMES if engine in measured]
        self.threads = sorted({r["threads"] for r in rows})
        self.browser = next((r["browser"] for r in rows if "browser" in r), "no browser")
        self.rounds = min(r["samples"] for r in rows if r["metric"] == "run_median_ms")
        self.colds = min((r["samples"] for r in rows if r["metric"] == "first_output_ms" and "browser" in r), default=0)

    def get(self, model: str, engine: str, threads: int, metric: str) -> float | None:
        return self.values.get((model, engine, threads, metric))

    def ratio(self, model: str, engine: str, threads: int, metric: str, to: str = OURS) -> float | None:
        """How many times as much as ours."""
        theirs, ours = self.get(model, engine, threads, metric), self.get(model, to, threads, metric)
        return theirs / ours if theirs is not None and ours else None

    def engines_of(self, metric: str, threads: int, models: Iterable[str] | None = None) -> list[str]:
        models = models or self.models
        return [e for e in self.engines if any(self.get(m, e, threads, metric) is not None for m in models)]


def geomean(values: Iterable[float]) -> float:
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs))


def significant(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def megabytes(value: float) -> str:
    return significant(value / 1e6)


def table(header: list[str], lines: list[list[str]]) -> str:
    rows = [header, ["---"] + ["--:"] * (len(header) - 1), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def metric_table(
    results: Results,
    metric: str,
    threads: int,
    show: Callable[[float], str],
    leave_out: Iterable[str] = (),
    models: Iterable[str] | None = None,
) -> str:
    """A line per model: the value of each engine and, in brackets, how many times ours it is; geomeans below."""
    engines = [engine for engine in results.engines_of(metric, threads, models) if engine not in leave_out]
    lines, ratios = [], {engine: [] for engine in engines}
    for model in models or results.models:
        cells = []
        for engine in engines:
            value, ratio = results.get(model, engine, threads, metric), results.ratio(model, engine, threads, metric)
            if ratio:
                ratios[engine].append(ratio)
            note = f" ({ratio:.2f}×)" if ratio is not None and engine != OURS else ""
            cells.append("" if value is None else show(value) + note)
        if any(cells):
            lines.append([model, *cells])
    means = [f"{geomean(ratios[e]):.2f}×" if ratios[e] and e != OURS else "" for e in engines]
    if len(lines) > 1 and any(means):
        lines.append(["*geomean*", *means])
    return table(["model", *(NAMES[e] for e in engines)], lines)


def error_of(results: Results, model: str, engine: str, metric: str = "max_error_ratio") -> str:
    value = results.get(model, engine, results.threads[0], metric)
    return f"{value:.1e}" if value is not None else ""


def error_table(results: Results) -> str:
    engines = results.engines_of("max_abs_error", results.threads[0])
    lines = []
    for model in results.models:
        cells = [(error_of(results, model, e, "max_abs_error"), error_of(results, model, e)) for e in engines]
        if any(absolute for absolute, _ in cells):
            lines.append([model, *(f"{absolute} ({share})" if absolute else "" for absolute, share in cells)])
    return table(["model", *(NAMES[e] for e in engines)], lines)


def mean_of(ratios: Iterable[float | None]) -> str:
    known = [ratio for ratio in ratios if ratio is not None]
    return f"{geomean(known):.2f}×" if known else ""


def times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}×"


def fast_table(results: Results, threads: int) -> str:
    """Where 'fast' computes otherwise: its time over our default's, onnxruntime-web's over both, and their errors."""
    metric = "run_median_ms"
    lines, ratios, everywhere = [], [], []
    for model in results.models:
        faster, against_ours = (
            results.ratio(model, FAST, threads, metric),
            results.ratio(model, "ort-web", threads, metric),
        )
        against_fast = against_ours if faster is None else results.ratio(model, "ort-web", threads, metric, to=FAST)
        everywhere.append((faster or 1, against_ours, against_fast))
        if faster is not None:
            ratios.append(everywhere[-1])
            errors = [error_of(results, model, engine) for engine in (OURS, FAST)]
            lines.append([model, *map(times, ratios[-1]), *errors])
    for name, of in (("*geomean*", ratios), ("*geomean of all models: the others compute the same*", everywhere)):
        if len(of) > 1:
            lines.append([name, *(mean_of(column) for column in zip(*of, strict=True)), "", ""])
    header = ["model", "'fast' over the default", "onnxruntime-web over the default", "onnxruntime-web over 'fast'"]
    return table([*header, "error of the default", "error of 'fast'"], lines)


MEMORY_PARTS = {
    "file_weights_bytes": "weights in the file",
    "weights_bytes": "weights, packed",
    "arena_bytes": "arena",
    "scratch_bytes": "scratch",
}


def memory_table(results: Results, threads: int) -> str:
    """What the page holds for each of our models, and how much more that is than the file's weights and the arena."""
    lines = []
    names = {OURS: "", EARLY: ", runWhileLoading", FAST: ", 'fast'"}
    for model, engine in itertools.product(results.models, names):
        ratio = results.get(model, engine, threads, "peak_memory_ratio")
        if ratio is None:
            continue
        parts = {metric: results.get(model, engine, threads, metric) for metric in MEMORY_PARTS}
        peak = results.get(model, engine, threads, "peak_memory_bytes")
        rest = peak - sum(size for metric, size in parts.items() if metric != "file_weights_bytes")
        name = model + names[engine]
        lines.append([name, *map(megabytes, parts.values()), f"{rest / 1e6:.1f}", megabytes(peak), f"{ratio:.2f}×"])
    return table(["model", *MEMORY_PARTS.values(), "rest", "all", "all over file's weights + arena"], lines)


def scaling_table(results: Results) -> str:
    """What a second thread gives each engine."""
    one, two = results.threads[0], results.threads[-1]
    engines = results.engines_of("run_median_ms", two)
    lines, gains = [], {engine: [] for engine in engines}
    for model in results.models:
        cells = []
        for e in engines:
            before, after = (results.get(model, e, threads, "run_median_ms") for threads in (one, two))
            if before and after:
                gains[e].append(before / after)
            cells.append(f"{before / after:.2f}×" if before and after else "")
        if any(cells):
            lines.append([model, *cells])
    if len(lines) > 1:
        lines.append(["*geomean*", *(f"{geomean(gains[e]):.2f}×" if gains[e] else "" for e in engines)])
    return table(["model", *(NAMES[e] for e in engines)], lines)


def plot(results: Results, metric: str, threads: int, title: str, file: Path) -> None:
    """Bars of what each engine takes, in multiples of ours."""
    engines = [e for e in results.engines_of(metric, threads) if e != OURS]
    models = [m for m in results.models if results.get(m, OURS, threads, metric)]
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.19 * len(models) * (len(engines) + 1)))
    height = 0.8 / max(1, len(engines))
    for i, engine in enumerate(engines):
        at = [(j + i * height, r) for j, m in enumerate(models) if (r := results.ratio(m, engine, threads, metric))]
        bars = axes.barh(
            [y for y, _ in at], [r for _, r in at], height * 0.9, color=COLORS[engine], label=NAMES[engine]
        )
        axes.bar_label(bars, fmt="%.2f×", padding=3, fontsize=8)
    axes.axvline(1, color=COLORS[OURS], linewidth=2, label="wasmkiln")
    axes.set_yticks([j + 0.4 - height / 2 for j in range(len(models))], models)
    axes.invert_yaxis()
    axes.set_xlim(0)
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*: (.*)", info)
    return f"{name[1] if name else platform.processor()}, {info.count('processor')} logical cores"


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()


def page(results: Results) -> str:
    parts = [
        "# Performance",
        "Generated by `./dev bench --report`; do not edit.",
        "All engines of a table ran in turn in one run; browser engines ran in the same page. Times are medians: of "
        f"at least {results.rounds} runs after a warm-up, and of at least {results.colds} cold starts for first "
        "outputs. The number in brackets is an engine's figure over wasmkiln's; above 1, wasmkiln is better. "
        "Before each turn the engine rests for 250 ms, so that no thread of the previous engine is still awake. "
        "Then it runs untimed for 100 ms. A step of whisper-decoder adds to a cache of keys and values, which stays "
        "in tensors of each engine; onnxruntime-web copies them at each run. [Tuning](tuning.md) says how close the "
        "tuner comes to the best schedules.",
        "“wasmkiln” uses its default, `precision: 'balanced'`. 3×3 convolutions use Winograd's algorithm. In a page, "
        "large linear layers use Strassen's. The weights that whisper-decoder multiplies with single rows are rounded "
        "to 16 bits at load. [Precision](precision.md) says what this costs and gains.",
        f"Machine: {machine()}. Browser: {results.browser}. Commit {commit()}, {datetime.date.today()}.",
    ]
    if FAST in results.engines:
        parts.append(
            f"**{NAMES[FAST]}** is the same SDK with `precision: 'fast'`, which may be off by 1e-3 of an output's "
            "largest element. It runs as one more engine in the same page, for the models that it computes "
            "differently."
        )
    if EARLY in results.engines:
        parts.append(
            f"**{NAMES[EARLY]}** is the same SDK with `runWhileLoading: true`: the first run begins while weights "
            "arrive. Only first runs are measured, because later runs and visits are the same."
        )
    for threads in results.threads:
        count = f"{threads} thread{'s' if threads > 1 else ''}"
        parts += [f"## {count}", "### A run (ms)", metric_table(results, "run_median_ms", threads, significant)]
        parts.append(f"![Run time in multiples of wasmkiln's, {count}](images/performance-run-{threads}.svg)")
        if FAST in results.engines_of("run_median_ms", threads):
            parts += [
                "### Both precisions against onnxruntime-web",
                "Ratios of run times, and the largest error of an output over its largest element.",
                fast_table(results, threads),
            ]
        for metric, title, show in [
            ("first_output_ms", "Cold start to the first output (ms)", significant),
            ("second_visit_ms", "First output on a second visit (ms)", significant),
            ("peak_memory_bytes", "Memory of the page with the model loaded (MB)", megabytes),
        ]:
            if results.engines_of(metric, threads):
                parts += [f"### {title}", metric_table(results, metric, threads, show)]
        if results.engines_of("peak_memory_ratio", threads):
            parts += [
                "### What wasmkiln's memory holds (MB)",
                "Packed weights are larger than in the file where a layer uses Winograd's algorithm. They are half as "
                "large where they are 16-bit integers. “Rest” is the page's own: script, workers and their stacks, "
                "machine code. It is negative where parts of the arena were never touched.",
                memory_table(results, threads),
            ]
    if len(results.threads) > 1:
        parts += [f"## What {results.threads[-1]} threads give over {results.threads[0]}", scaling_table(results)]
    if results.untuned:
        parts.append(untuned_section(results))
    one = results.threads[0]
    if results.engines_of("downloaded_bytes", one):
        downloaded = metric_table(results, "downloaded_bytes", one, megabytes)
        parts += ["## Downloaded (MB, uncompressed)", downloaded]
    if results.engines_of("max_abs_error", one):
        parts += [
            "## Largest difference from PyTorch",
            "The largest difference of any element, and in brackets that over the largest element of its output.",
            error_table(results),
        ]
    return "\n\n".join(parts) + "\n"


def between(path: Path, start: str, end: str) -> tuple[str, str, str]:
    """The text before, between and after two marks, which stay with what is outside."""
    before, found, rest = path.read_text().partition(start)
    inside, closed, after = rest.partition(end)
    if not found or not closed or start in after:
        raise SystemExit(f"{path.name} must hold {start} … {end} once")
    return before + start, inside, end + after


def put_between(path: Path, start: str, end: str, text: str) -> None:
    before, _, after = between(path, start, end)
    path.write_text(f"{before}\n{text}\n{after}")


def untuned_section(results: Results) -> str:
    """Models that wasmkiln was not made with."""
    parts = [
        "## Models that nobody tuned for",
        "Ten architectures of `transformers` that are none of the above: what a model gains that wasmkiln was not made "
        "with. What holds each stands in [untuned](untuned.md). Their runs in ms, and the largest difference from "
        "PyTorch as a share of the largest element of an output.",
    ]
    for threads in results.threads:
        count = f"{threads} thread{'s' if threads > 1 else ''}"
        parts += [f"### {count}", metric_table(results, "run_median_ms", threads, significant, models=results.untuned)]
    engines = results.engines_of("max_error_ratio", results.threads[0], results.untuned)
    if engines:
        lines = [[model, *(error_of(results, model, engine) for engine in engines)] for model in results.untuned]
        parts += ["### Largest difference", table(["model", *(NAMES[e] for e in engines)], lines)]
    return "\n\n".join(parts)


def put_into_readme(results: Results) -> None:
    first, *others = results.threads
    fast = (
        "; `precision: 'fast'` also multiplies 16-bit integers in linear layers and attention"
        if FAST in results.engines
        else ""
    )
    lead = (
        f"Medians in ms with {first} thread{'s' if first > 1 else ''} in {results.browser}. Each line is from one "
        "run. The number in brackets is the time over wasmkiln's. wasmkiln reads whisper-decoder's weights as "
        f"16-bit integers{fast} ([precision](docs/precision.md)). "
        "[docs/performance.md](docs/performance.md) has more."
    )
    parts = [lead, metric_table(results, "run_median_ms", first, significant)]
    for threads in others:
        parts += [f"With {threads} threads:", metric_table(results, "run_median_ms", threads, significant, NATIVE)]
    put_between(ROOT / "README.md", START, END, "\n\n".join(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path, help="what ./dev bench wrote")
    results = Results(json.loads(parser.parse_args().json.read_text()))
    document = ROOT / "docs/performance.md"
    _, operators, _ = between(document, *OPERATORS)
    document.write_text(f"{page(results)}\n{operators.join(OPERATORS)}\n")
    for threads in results.threads:
        title = f"Run time in multiples of wasmkiln's ({threads} thread{'s' if threads > 1 else ''}, {results.browser})"
        plot(results, "run_median_ms", threads, title, ROOT / f"docs/images/performance-run-{threads}.svg")
    put_into_readme(results)


if __name__ == "__main__":
    main()
