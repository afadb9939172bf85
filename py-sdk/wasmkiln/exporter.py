"""From torch.export to a .kiln file: the graph in ATen operators, every weight once."""

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
    """Traces `model` on `example_inputs` and writes it to `path`.

    example_inputs: the positional arguments of `forward` as a tuple, or all arguments by name as a dict. Tensors are
    inputs of the file, in order, also inside tuples, lists, dicts and registered data classes. Anything else (numbers,
    booleans, None, strings) keeps its value of the example.

    kwargs: keyword arguments beside positional ones.

    dynamic_shapes: as for torch.export. The dims become symbols of the file. A symbol has the name of its
    torch.export.Dim, or `<input>_<dim>`. It gets its size when the file is loaded (`dims`), and every size that depends
    on it follows. A whole number that dynamic_shapes says is dynamic becomes a symbol too.

    The outputs of the file are the tensors that `forward` returns, in order, without None. A number becomes a tensor
    without dims. If `forward` changes a tensor in place, it changes a copy; the caller's stays as it was.

    input_names, output_names: the exact names, one for each tensor. An input and an output may have the same name. By
    default an input has the name of `forward`'s parameter, with the path into nested ones (`state.0`, `batch.ids`). An
    output has the key under which it is returned, or the graph's name if it has no key.

    Raises UnsupportedOperatorError, which lists every operator that the runtime does not have. Raises ExportError if
    the file cannot express the model for any other reason, or if the compiler refuses it. The compiler that pages
    download reads, optimizes and plans the file, with the example's sizes and with each dim at both ends of its range.
    If that compiler is missing, there is an UncheckedWarning.
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
    """Shows the current stage and its time. Tracing a large model takes a minute and does not report progress."""
    with progress_bar(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=None)
        yield lambda name: progress.reset(task, description=name)
