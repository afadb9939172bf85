"""torch.export → .kiln: the graph in ATen's own words, every weight once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from wasmkiln import model_generated as fb
from wasmkiln.writer import INLINE_BYTES, KilnWriter

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

# Nodes that compute nothing.
DROPPED = (aten._assert_tensor_metadata.default, aten._assert_scalar.default, aten.sym_constrain_range_for_size.default)


class UnsupportedOperatorError(RuntimeError):
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
    dims become symbols of the file, bound when it is loaded. Names default to those of `forward`'s parameters and of
    the graph's results.
    Raises UnsupportedOperatorError with every operator that the runtime does not have.
    """
    keywords = dict(example_inputs) if isinstance(example_inputs, Mapping) else {}
    positional = () if keywords else tuple(example_inputs)
    with torch.no_grad():
        program = torch.export.export(model, positional, keywords, dynamic_shapes=dynamic_shapes, strict=False)
        program = program.run_decompositions(decompositions())
    join_nothing_empty(program)
    drop_dead_nodes(program)
    check_supported(program)
    GraphExporter(program, type(model).__name__, input_names, output_names).write(Path(path))


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


def compute_nodes(program: ExportedProgram) -> list[fx.Node]:
    """Calls of operators, in order; those that compute nothing or that nobody reads left out."""
    return [
        n
        for n in program.graph.nodes
        if n.op == "call_function" and isinstance(n.target, torch._ops.OpOverload) and n.target not in DROPPED
    ]


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
        self, program: ExportedProgram, name: str, input_names: Sequence[str] | None, output_names: Sequence[str] | None
    ) -> None:
        self.program = program
        self.writer = KilnWriter(name, f"wasmkiln 0.1.0, torch {torch.__version__}")
        self.ids: dict[fx.Node, int] = {}
        self.parts: dict[fx.Node, list[int]] = {}  # outputs of nodes that have several
        self.input_names = input_names
        self.output_names = output_names

    def write(self, path: Path) -> None:
        self.add_inputs()
        for node in self.program.graph.nodes:
            if node.op == "call_function" and "getitem" in getattr(node.target, "__name__", ""):
                self.ids[node] = self.parts[node.args[0]][node.args[1]]
        nodes = compute_nodes(self.program)
        for node in nodes:
            self.add_node(node)
        self.add_outputs()
        self.writer.write(path)

    # -- values

    def shape_of(self, value: Tensor) -> list[tuple[int, int]]:
        """(size, symbol or -1) per dim."""
        dims = []
        for size in value.shape:
            if isinstance(size, int):
                dims.append((size, -1))
            else:
                expression = size.node.expr
                symbol = (
                    self.writer.symbol(str(expression), self.program.range_constraints.get(expression))
                    if expression.is_Symbol
                    else -1
                )
                dims.append((int(size.node.hint), symbol))
        return dims

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
            elif self.is_computed(node):
                self.reserve(node)

    @staticmethod
    def is_computed(node: fx.Node) -> bool:
        return (
            node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload) and node.target not in DROPPED
        )

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
            raise UnsupportedOperatorError(f"{name} is a tensor without elements, which .kiln files do not hold")
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
            elif not isinstance(value, (torch.device, torch.layout, torch.memory_format)):
                attrs.append(self.writer.attr(argument.name, self.concrete(node, value)))
        outputs = self.parts[node] if node in self.parts else [self.ids[node]]
        self.writer.node(operator_name(node), inputs, outputs, attrs, user_line(node))

    def tensor_operands(self, node: fx.Node, value: Any) -> list[int]:
        if isinstance(value, (list, tuple)):
            return [i for part in value for i in self.tensor_operands(node, part)]
        if value is None:
            return [-1]
        if isinstance(value, fx.Node):
            return [self.ids[value]]
        dtype = torch.bool if isinstance(value, bool) else torch.int64 if isinstance(value, int) else torch.float32
        return [self.writer.constant(f"{node.name}.scalar", torch.tensor(value, dtype=dtype))]

    def concrete(self, node: fx.Node, value: Any) -> Any:
        """Attributes without symbols: a size that depends on a symbolic dim is no operator argument yet."""
        if isinstance(value, (list, tuple)):
            return [self.concrete(node, part) for part in value]
        if isinstance(value, (fx.Node, torch.SymInt)):
            raise UnsupportedOperatorError(
                f"{operator_name(node)} has an argument that depends on a dynamic dim, at {user_line(node)}"
            )
        return value

    def add_outputs(self) -> None:
        names = iter(self.output_names or [])
        (returned,) = next(node for node in self.program.graph.nodes if node.op == "output").args
        for node in returned:
            if not isinstance(node, fx.Node):
                continue
            value = self.ids[node]
            name = next(names, None)
            if name:
                self.writer.rename(value, name)
            self.writer.model.outputs.append(value)
