"""torch.export → .kiln: the graph in ATen's own words, every weight once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from torch import Tensor, fx
from torch.export import ExportedProgram

from wasmkiln import model_generated as fb
from wasmkiln.folding import fold_batch_norms
from wasmkiln.sizes import UnknownSizeError, dim_names, expression_of
from wasmkiln.writer import INLINE_BYTES, KilnWriter, progress_bar

aten = torch.ops.aten

# Composite operators that the runtime has kernels for: taken out of the decomposition table.
KEPT_WHOLE = (
    aten.linear.default,
    aten.scaled_dot_product_attention.default,
    aten.layer_norm.default,
    aten.native_layer_norm.default,
    aten.gelu.default,
    aten.silu.default,
    aten.hardtanh.default,
    aten.relu6.default,
    aten.softmax.int,
    aten.batch_norm.default,
    aten.avg_pool2d.default,
    aten.max_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.embedding.default,
)

# What an argument says of where and how a tensor lies: the runtime's own business.
PLACEMENT = (torch.device, torch.layout, torch.memory_format)


class ExportError(RuntimeError):
    """The model has no form in a .kiln file; says what to do."""


class UnsupportedOperatorError(ExportError):
    """Lists every node that the runtime has no operator for, with shapes and the line of the model's code."""


def decompositions() -> dict[Any, Callable[..., Any]]:
    """PyTorch's Core ATen table without `KEPT_WHOLE`."""
    table = torch.export.default_decompositions()
    for op in KEPT_WHOLE:
        table.pop(op, None)
    return table


def supported_operators() -> frozenset[str]:
    """Names that the runtime's operator table has (`kiln ops`)."""
    return frozenset(resources.files("wasmkiln").joinpath("opset.txt").read_text().split())


def export(
    model: torch.nn.Module,
    example_inputs: Sequence[Tensor] | Mapping[str, Tensor],
    path: str | Path,
    dynamic_shapes: Any = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> None:
    """Writes `model`, as traced on `example_inputs`, to `path`.

    example_inputs: positional tensors, or keyword tensors of `forward`. dynamic_shapes: as torch.export takes it; the
    dims become symbols of the file, named as the torch.export.Dim or `<input>_<dim>`, and given sizes when it is loaded
    (`dims`); every size that follows from them follows. Names default to those of `forward`'s parameters and of
    the graph's results.
    Raises UnsupportedOperatorError with every operator that the runtime does not have, ExportError for anything else
    that has no form in the file.
    """
    keywords = dict(example_inputs) if isinstance(example_inputs, Mapping) else {}
    positional = () if keywords else tuple(example_inputs)
    with torch.no_grad(), stages() as stage:
        stage("tracing")
        program = torch.export.export(model, positional, keywords, dynamic_shapes=dynamic_shapes, strict=False)
        stage("decomposing")
        program = program.run_decompositions(decompositions())
        join_nothing_empty(program)
        fold_batch_norms(program)
        drop_dead_nodes(program)
        check_supported(program)
        stage("collecting")
        exporter = GraphExporter(program, type(model).__name__, input_names, output_names, dynamic_shapes)
        exporter.build()
    exporter.writer.write(Path(path))


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Shows what goes on and for how long: tracing a large model takes a minute, and says nothing of how far it is."""
    with progress_bar(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=None)
        yield lambda name: progress.reset(task, description=name)


def join_nothing_empty(program: ExportedProgram) -> None:
    """Takes operands without elements out of concatenations: a cache that transformers has just made."""
    for node in program.graph.find_nodes(op="call_function", target=aten.cat.default):
        parts = [part for part in node.args[0] if not (part.meta["val"].numel() == 0)]
        if parts:
            node.update_arg(0, parts)


def drop_dead_nodes(program: ExportedProgram) -> None:
    """Removes checks, and whatever nobody reads: it needs no support at run time."""
    for node in reversed(list(program.graph.nodes)):
        if node.op == "call_function" and not node.users:
            program.graph.erase_node(node)


def operator_name(node: fx.Node) -> str:
    """`aten.relu.default`."""
    return str(node.target)


def user_line(node: fx.Node) -> str:
    """Where the user's code made this node: `model.py:31 in forward`."""
    trace = [line.strip() for line in node.meta.get("stack_trace", "").splitlines() if line.strip().startswith("File ")]
    if not trace:
        return ""
    file, line, *rest = trace[-1].removeprefix("File ").split(", ")
    return f"{Path(file.strip(chr(34))).name}:{line.removeprefix('line ')} {' '.join(rest)}".strip()


def is_computed(node: fx.Node) -> bool:
    """A call of an operator on tensors: sizes are expressions, not values."""
    is_operator = node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    return is_operator and isinstance(node.meta.get("val"), (Tensor, tuple, list))


def compute_nodes(program: ExportedProgram) -> list[fx.Node]:
    """Calls of operators, in order."""
    return [node for node in program.graph.nodes if is_computed(node)]


def check_supported(program: ExportedProgram) -> None:
    """Raises with every unsupported node."""
    known = supported_operators()
    rows = []
    for node in compute_nodes(program):
        if operator_name(node) in known:
            continue
        shapes = ", ".join(describe(arg) for arg in node.all_input_nodes)
        rows.append(f"  {operator_name(node)}({shapes})  at {user_line(node) or 'an unknown line'}")
    if rows:
        raise UnsupportedOperatorError(f"{len(rows)} operations are not supported by wasmkiln:\n" + "\n".join(rows))


def describe(node: fx.Node) -> str:
    value = node.meta.get("val")
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}[{'x'.join(map(str, value.shape))}]"
    return str(value)


class GraphExporter:
    """Walks one exported program into a KilnWriter."""

    def __init__(
        self,
        program: ExportedProgram,
        name: str,
        input_names: Sequence[str] | None,
        output_names: Sequence[str] | None,
        dynamic_shapes: Any = None,
    ) -> None:
        self.program = program
        self.dims = dim_names(program, dynamic_shapes)
        self.writer = KilnWriter(name, f"wasmkiln 0.1.0, torch {torch.__version__}")
        self.ids: dict[fx.Node, int] = {}
        self.parts: dict[fx.Node, list[int]] = {}  # outputs of nodes that have several
        self.input_names = input_names
        self.output_names = output_names

    def build(self) -> None:
        for symbol, name in self.dims.items():
            self.writer.free_symbol(symbol, name, self.program.range_constraints.get(symbol))
        self.add_inputs()
        for node in self.program.graph.nodes:
            if node.op == "call_function" and "getitem" in getattr(node.target, "__name__", ""):
                self.ids[node] = self.parts[node.args[0]][node.args[1]]
        for node in compute_nodes(self.program):
            try:
                self.add_node(node)
            except (UnknownSizeError, TypeError) as error:
                raise ExportError(
                    f"{operator_name(node)}, at {user_line(node) or 'an unknown line'}: {error}"
                ) from error
        self.add_outputs()

    # -- values

    def shape_of(self, value: Tensor) -> list[tuple[int, int]]:
        """(size, symbol or -1) per dim."""
        return [self.size_of(size) for size in value.shape]

    def size_of(self, size: int | torch.SymInt | fx.Node) -> tuple[int, int]:
        """A size, and the symbol that stands for it (-1: none)."""
        expression = expression_of(size)
        if expression is None:
            return int(size), -1
        if expression.is_Integer:
            return int(expression), -1
        value = size.meta["val"] if isinstance(size, fx.Node) else size
        return int(value.node.hint), self.writer.symbol(expression)

    def add_inputs(self) -> None:
        signature = self.program.graph_signature
        tensors = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        names = iter(self.input_names or [])
        for node in self.program.graph.nodes:
            if node.op == "placeholder" and node.name in tensors:
                if node.users:
                    self.ids[node] = self.add_weight(tensors[node.name])
            elif node.op == "placeholder":
                value = node.meta["val"]
                self.ids[node] = self.writer.value(next(names, node.name), value.dtype, self.shape_of(value))
                self.writer.model.inputs.append(self.ids[node])
            elif is_computed(node):
                self.reserve(node)

    def reserve(self, node: fx.Node) -> None:
        """Ids of a node's results, so that getitem nodes can name them."""
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            self.ids[node] = self.writer.value(node.name, value.dtype, self.shape_of(value))
        elif isinstance(value, (tuple, list)):
            read = {user.args[1] for user in node.users}
            self.parts[node] = [
                self.writer.value(f"{node.name}.{i}", part.dtype, self.shape_of(part)) if i in read else -1
                for i, part in enumerate(value)
            ]

    def add_weight(self, name: str) -> int:
        program = self.program
        tensor = program.state_dict[name] if name in program.state_dict else program.constants[name]
        tensor = tensor.detach().cpu().contiguous()
        if tensor.numel() == 0:
            raise ExportError(f"{name} is a tensor without elements, which .kiln files do not hold")
        if tensor.nbytes <= INLINE_BYTES and not tensor.is_floating_point():
            return self.writer.constant(name, tensor)
        return self.writer.weight(name, tensor)

    # -- nodes

    def add_node(self, node: fx.Node) -> None:
        inputs: list[int] = []
        attrs: list[fb.AttrT] = []
        schema = node.target._schema
        for position, argument in enumerate(schema.arguments):
            value = (
                node.args[position]
                if position < len(node.args)
                else node.kwargs.get(argument.name, argument.default_value)
            )
            kind = str(argument.type)
            if "Tensor" in kind:
                inputs += self.tensor_operands(node, value)
            elif not isinstance(value, PLACEMENT):
                attrs.append(self.attribute(argument.name, value))
        outputs = self.parts[node] if node in self.parts else [self.ids[node]]
        self.writer.node(operator_name(node), inputs, outputs, attrs, user_line(node))

    def tensor_operands(self, node: fx.Node, value: Any) -> list[int]:
        if isinstance(value, (list, tuple)):
            return [i for part in value for i in self.tensor_operands(node, part)]
        if value is None:
            return [-1]
        if isinstance(value, fx.Node) and value in self.ids:
            return [self.ids[value]]
        if expression_of(value) is not None:  # a size as a number
            size = self.writer.value(f"{node.name}.size", torch.int64, [])
            self.writer.node("aten.scalar_tensor.default", [], [size], [self.attribute("s", value)], user_line(node))
            return [size]
        if isinstance(value, fx.Node):
            raise UnknownSizeError(
                f"an operand is a {type(value.meta.get('val')).__name__} that depends on dynamic dims"
            )
        dtype = torch.bool if isinstance(value, bool) else torch.int64 if isinstance(value, int) else torch.float32
        return [self.writer.constant(f"{node.name}.scalar", torch.tensor(value, dtype=dtype))]

    def attribute(self, name: str, value: Any) -> fb.AttrT:
        """An argument; sizes in it that depend on dynamic dims are symbols."""
        many = isinstance(value, (list, tuple))
        parts = list(value) if many else [value]
        if all(expression_of(part) is None for part in parts):
            unknown = next((part for part in parts if isinstance(part, fx.Node)), None)
            if unknown is not None:
                kind = type(unknown.meta.get("val")).__name__
                raise UnknownSizeError(f"the argument {name} is a {kind} that depends on dynamic dims or on data")
            return self.writer.attr(name, parts if many else value)
        sizes = [self.size_of(part) for part in parts]
        attr = self.writer.attr(name, [size for size, _ in sizes] if many else sizes[0][0])
        attr.symbols = [symbol for _, symbol in sizes]
        return attr

    def add_outputs(self) -> None:
        names = iter(self.output_names or [])
        (returned,) = next(node for node in self.program.graph.nodes if node.op == "output").args
        for node in returned:
            if not isinstance(node, fx.Node):
                continue
            if node not in self.ids:
                raise ExportError(f"the result {node.name} is no tensor")
            value = self.ids[node]
            name = next(names, None)
            if name:
                self.writer.rename(value, name)
            self.writer.model.outputs.append(value)
