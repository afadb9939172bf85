"""bench/report.py on made-up rows: what it compares with what."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import report

RUNS = {
    ("minilm", "wasmkiln"): 24.0,
    ("minilm", "wasmkiln-fast"): 16.0,
    ("minilm", "ort-web"): 48.0,
    ("bert-base", "wasmkiln"): 300.0,
    ("bert-base", "wasmkiln-fast"): 240.0,
    ("bert-base", "ort-web"): 600.0,
    ("resnet50", "wasmkiln"): 100.0,
    ("resnet50", "ort-web"): 250.0,
}


def row(model: str, engine: str, metric: str, value: float, threads: int = 1) -> dict:
    unit = {"ms": "ms", "bytes": "bytes", "ratio": "ratio"}.get(metric.split("_")[-1], "absolute")
    named = {"model": model, "engine": engine, "threads": threads, "metric": metric, "value": value}
    return named | {"unit": unit, "samples": 20, "browser": "chromium"}


def rows(engines: tuple[str, ...]) -> list[dict]:
    made = []
    for (model, engine), run in RUNS.items():
        if engine not in engines:
            continue
        made += [row(model, engine, "run_median_ms", run, threads) for threads in (1, 2)]
        made.append(row(model, engine, "first_output_ms", run * 5))
        made.append(row(model, engine, "max_abs_error", 4e-3 if engine == "wasmkiln-fast" else 2e-5))
        made.append(row(model, engine, "max_error_ratio", 5e-4 if engine == "wasmkiln-fast" else 2e-6))
        if engine == "ort-web":
            continue
        parts = {
            "file_weights": 80e6,
            "weights": 40e6 if engine == "wasmkiln-fast" else 80e6,
            "arena": 4e6,
            "scratch": 1e6,
        }
        made += [row(model, engine, f"{part}_bytes", size) for part, size in parts.items()]
        made.append(row(model, engine, "peak_memory_bytes", sum(parts.values()) - 80e6 + 5e6))
        made.append(row(model, engine, "peak_memory_ratio", 1.0))
    return made


def cells(text: str, first: str) -> list[list[str]]:
    """The lines of a table, or of all tables of a page, that begin with this cell."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [line for line in lines if line[0] == first]


@pytest.fixture
def both() -> report.Results:
    return report.Results(rows(("wasmkiln", "wasmkiln-fast", "ort-web")))


def test_fast_has_a_column_of_its_own(both: report.Results) -> None:
    text = report.metric_table(both, "run_median_ms", 1, report.significant)
    assert cells(text, "model") == [["model", "wasmkiln", "wasmkiln, 'fast' (16-bit products)", "onnxruntime-web"]]
    assert cells(text, "minilm") == [["minilm", "24.0", "16.0 (0.67×)", "48.0 (2.00×)"]]
    assert cells(text, "resnet50") == [["resnet50", "100", "", "250 (2.50×)"]]
    assert cells(text, "*geomean*") == [["*geomean*", "", "0.73×", "2.15×"]]


def test_what_fast_changes_about_the_others(both: report.Results) -> None:
    text = report.fast_table(both, 1)
    assert cells(text, "minilm") == [["minilm", "0.67×", "2.00×", "3.00×", "2.0e-06", "5.0e-04"]]
    assert cells(text, "*geomean*") == [["*geomean*", "0.73×", "2.00×", "2.74×", "", ""]]
    assert not cells(text, "resnet50")
    others = "*geomean of all models: the others compute the same*"
    assert cells(text, others) == [[others, "0.81×", "2.15×", "2.66×", "", ""]]


def test_the_rest_is_the_same_with_and_without_fast(both: report.Results) -> None:
    """Its numbers stand beside those of the default, never in their place."""
    alone = report.Results(rows(("wasmkiln", "ort-web")))
    for metric in ("run_median_ms", "first_output_ms", "max_abs_error"):
        for model in alone.models:
            for engine in alone.engines:
                assert both.get(model, engine, 1, metric) == alone.get(model, engine, 1, metric)
                assert both.ratio(model, engine, 1, metric) == alone.ratio(model, engine, 1, metric)
    assert "'fast'" not in report.page(alone)


def test_a_page_shows_both_precisions(both: report.Results) -> None:
    text = report.page(both)
    assert text.count("### Both precisions against onnxruntime-web") == 2, "one thread, and two"
    assert "`precision: 'fast'`" in text
    assert ["minilm, 'fast'", "80.0", "40.0", "4.00", "1.00", "5.0", "50.0", "1.00×"] in cells(text, "minilm, 'fast'")
    assert ["bert-base", "2.0e-05 (2.0e-06)", "4.0e-03 (5.0e-04)", "2.0e-05 (2.0e-06)"] in cells(text, "bert-base")


def test_models_that_nobody_tuned_for_are_a_group_of_their_own() -> None:
    untuned = [
        row("vit", engine, metric, value) | {"group": "untuned"}
        for engine, run in (("wasmkiln", 50.0), ("ort-web", 100.0))
        for metric, value in (("run_median_ms", run), ("max_error_ratio", 1e-6))
    ]
    tuned = rows(("wasmkiln", "ort-web"))
    results = report.Results(tuned + untuned)
    text = report.page(results)
    assert results.models == report.Results(tuned).models
    before, after = text.split("## Models that nobody tuned for")
    assert not cells(before, "vit")
    assert cells(after, "vit") == [["vit", "50.0", "100 (2.00×)"], ["vit", "1.0e-06", "1.0e-06"]]
