"""torch.export → .kiln: the graph in ATen's own words, every weight once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from torch import nn

from wasmkiln.compiler import check
from wasmkiln.errors import ExportError
from wasmkiln.folding import fold_batch_norms
from wasmkiln.graph import GraphExporter
from wasmkiln.guards import user_lines
from wasmkiln.ports import arguments
from wasmkiln.tracing import drop_dead_nodes, keep_results_only, trace
from wasmkiln.writer import progress_bar


def export(
    model: nn.Module,
    example_inputs: Sequence[Any] | Mapping[str, Any],
    path: str | Path,
    dynamic_shapes: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> None:
    """Writes `model`, as traced on `example_inputs`, to `path`.

    example_inputs: the positional arguments of `forward` as a tuple, or all of them by keyword as a dict; `kwargs`:
    those that it takes by keyword beside positional ones. Tensors, also in tuples, lists, dicts and registered data
    classes, are inputs of the file, in order; anything else (numbers, booleans, None, strings) stays what it is in the
    example. dynamic_shapes: as torch.export takes it; the dims become symbols of the file, named as the
    torch.export.Dim or `<input>_<dim>`, and given sizes when it is loaded (`dims`); every size that follows from them
    follows. So do whole numbers that dynamic_shapes says are dynamic.

    The outputs of the file are what `forward` returns, in its order, without None; a number is a tensor without dims.
    A tensor that `forward` changes in place is a copy of what the caller gave.

    input_names, output_names: one for each tensor, taken exactly; an input and an output may share a name. Without
    them inputs are called as `forward`'s parameters, with the way into nested ones (`state.0`, `batch.ids`), outputs
    as the keys under which they are returned, or as the graph calls what is returned without a key.

    Raises UnsupportedOperatorError with every operator that the runtime does not have, ExportError for anything else
    that has no form in the file, or that the compiler refuses: what is written was read, optimized and planned by the
    one that pages download, with the example's sizes and with each dim at the ends of its range. Where that is missing
    an UncheckedWarning says so.
    """
    if not isinstance(model, nn.Module):
        raise ExportError(f"export takes a torch.nn.Module, not a {type(model).__name__}: call it in one's forward")
    positional, keywords = call_of(example_inputs, kwargs)
    leaves = arguments(model, positional, keywords, dynamic_shapes)
    with torch.no_grad(), user_lines(), stages() as stage:
        program = trace(model, positional, keywords, dynamic_shapes, stage)
        keep_results_only(program, model.training)
        fold_batch_norms(program)
        drop_dead_nodes(program)
        stage("collecting")
        exporter = GraphExporter(program, type(model).__name__, leaves, input_names, output_names)
        exporter.build()
    exporter.writer.write(Path(path), check)


def call_of(example_inputs: Any, kwargs: Mapping[str, Any] | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """How `forward` is called: (args, kwargs)."""
    if isinstance(example_inputs, Mapping):
        return (), {**example_inputs, **(kwargs or {})}
    if not isinstance(example_inputs, (tuple, list)):
        raise ExportError(
            "example_inputs is a tuple of forward's arguments, or a dict by name, "
            f"not a {type(example_inputs).__name__}: write (x,) for one"
        )
    return tuple(example_inputs), dict(kwargs or {})


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Shows what goes on and for how long: tracing a large model takes a minute, and says nothing of how far it is."""
    with progress_bar(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=None)
        yield lambda name: progress.reset(task, description=name)
