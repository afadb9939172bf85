"""From an exported program to the values and nodes of a .kiln file. Every weight is in the file once."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import ExportedProgram

from wasmkiln import model_generated as fb
from wasmkiln.errors import ExportError, UnsupportedOperatorError, place_of, user_line
from wasmkiln.guards import guards_of, refuse_data_checks, text_of
from wasmkiln.ports import Argument, named, results_of
from wasmkiln.sizes import UnknownSizeError, dim_names, expression_of
from wasmkiln.tracing import stored, stored_tensor, user_inputs
from wasmkiln.version import VERSION
from wasmkiln.writer import DTYPES, INLINE_BYTES, KilnWriter

# What an argument says of where and how a tensor lies: the runtime's own business.
PLACEMENT = (torch.device, torch.layout, torch.memory_format)

# Operands in whose place PyTorch takes numbers. They do not count as tensors in the result's type: 1 - x has x's.
NUMBERS = ("self", "other", "exponent")

INSTEAD = {  # of what many try
    torch.float64: "call .float() on it",
    torch.complex64: "keep the real and the imaginary part in tensors of their own",
    torch.complex128: "keep the real and the imaginary part in tensors of their own",
}


def supported_operators() -> frozenset[str]:
    """Names that the runtime's operator table has (`kiln ops`)."""
    return frozenset(resources.files("wasmkiln").joinpath("opset.txt").read_text().split())


def operator_name(node: fx.Node) -> str:
    """`aten.relu.default`, `torch.cond`."""
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return f"torch.{node.target}"
    return str(node.target)


def is_getitem(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target is operator.getitem


def is_computed(node: fx.Node) -> bool:
    """Whether a node calls an operator on tensors. Sizes are expressions, not values."""
    return (
        node.op == "call_function" and not is_getitem(node) and isinstance(node.meta.get("val"), (Tensor, tuple, list))
    )


def is_number(value: Any) -> bool:
    """Whether it is a number or a size."""
    return isinstance(value, (bool, int, float)) or expression_of(value) is not None


def compute_nodes(program: ExportedProgram) -> list[fx.Node]:
    """Calls of operators, in order."""
    return [node for node in program.graph.nodes if is_computed(node)]


def check_supported(program: ExportedProgram) -> None:
    """Raises an error that lists every node that a file cannot express."""
    known = supported_operators()
    rows = []
    unknown = False
    for node in compute_nodes(program):
        unsupported = operator_name(node) not in known
        reason = why_not(node)
        if unsupported or reason:
            shapes = ", ".join(describe(arg) for arg in node.all_input_nodes if arg.op != "get_attr")
            rows.append(f"  {operator_name(node)}({shapes})  {place_of(node)}" + (f" — {reason}" if reason else ""))
            unknown = unknown or unsupported
    if rows:
        kind = UnsupportedOperatorError if unknown else ExportError
        what = "1 operation is" if len(rows) == 1 else f"{len(rows)} operations are"
        raise kind(f"{what} not supported by wasmkiln:\n" + "\n".join(rows))


def why_not(node: fx.Node) -> str:
    """Why a file cannot express a node or its results. Only the first node of a chain gets a reason."""
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return "files hold no control flow: compute what either way needs and choose by torch.where"
    if any(why_not_held(tensor) for operand in node.all_input_nodes for tensor in tensors_of(operand)):
        return ""
    return next(filter(None, map(why_not_held, tensors_of(node))), "")


def tensors_of(node: fx.Node) -> list[Tensor]:
    value = node.meta.get("val")
    return [part for part in (value if isinstance(value, (tuple, list)) else [value]) if isinstance(part, Tensor)]


def why_not_held(tensor: Tensor) -> str:
    if tensor.dtype not in DTYPES:
        return f"its result is {of_dtype(tensor.dtype)}"
    if any(is_data_dependent(size) for size in tensor.shape):
        return "the size of its result depends on data: keep it and choose by a mask (torch.where)"
    return ""


def of_dtype(dtype: torch.dtype) -> str:
    advice = f": {INSTEAD[dtype]}" if dtype in INSTEAD else ""
    return f"{str(dtype).removeprefix('torch.')}, which .kiln files do not hold{advice}"


def is_data_dependent(size: Any) -> bool:
    if not isinstance(size, torch.SymInt):
        return False
    return any(size.node.shape_env.is_unbacked_symint(symbol) for symbol in size.node.expr.free_symbols)


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
        arguments: Sequence[Argument],
        input_names: Sequence[str] | None,
        output_names: Sequence[str] | None,
    ) -> None:
        self.program = program
        self.stored = stored(program)
        self.arguments = list(zip(user_inputs(program), arguments, strict=True))
        tensors = [argument.name for node, argument in self.arguments if is_tensor(node)]
        self.input_names = named("input", input_names, tensors)
        names = {**dict(self.stored), **{node: argument.name for node, argument in self.arguments}}
        results = results_of(program.call_spec.out_spec, program.graph.output_node().args[0], names)
        self.results = [result for _, result in results]
        self.output_names = named("output", output_names, [name for name, _ in results])
        if not results:
            raise ExportError(f"{name}.forward returns no tensor")
        self.writer = KilnWriter(name, f"wasmkiln {VERSION}, torch {torch.__version__}")
        self.writer.names.update(self.input_names, self.output_names)  # inner values have others
        self.ids: dict[fx.Node, int] = {}
        self.parts: dict[fx.Node, list[int]] = {}  # outputs of nodes that have several

    def build(self) -> None:
        """Adds inputs and weights first, because their errors cause errors of nodes."""
        for symbol, name in dim_names(self.arguments).items():
            self.writer.free_symbol(symbol, name, self.program.range_constraints.get(symbol))
        self.add_guards()
        self.add_inputs()
        for node, name in self.stored:
            if node.users:
                self.ids[node] = self.add_weight(name)
        check_supported(self.program)
        refuse_data_checks(self.program)
        for node in compute_nodes(self.program):
            with errors_at(node):
                self.reserve(node)
        for node in filter(is_getitem, self.program.graph.nodes):
            self.ids[node] = self.parts[node.args[0]][node.args[1]]
        for node in compute_nodes(self.program):
            with errors_at(node):
                self.add_node(node)
        for name, result in zip(self.output_names, self.results, strict=True):
            self.writer.output(self.result(name, result), name)

    def add_guards(self) -> None:
        for guard in guards_of(self.program):
            try:
                self.writer.guard(guard)
            except UnknownSizeError as error:
                text = text_of(guard.condition, self.writer.symbol_names)
                raise ExportError(
                    f"the model is right only where {text}, at {guard.where or 'a line of PyTorch'}, "
                    f"and a .kiln file cannot check that: {error}"
                ) from error

    # -- values

    def shape_of(self, value: Tensor) -> list[tuple[int, int]]:
        """(size, symbol or -1) per dim."""
        return [self.size_of(size) for size in value.shape]

    def size_of(self, size: int | torch.SymInt | fx.Node) -> tuple[int, int]:
        """A size and its symbol (-1: none)."""
        expression = expression_of(size)
        if expression is None:
            return int(size), -1
        if expression.is_Integer:
            return int(expression), -1
        value = size.meta["val"] if isinstance(size, fx.Node) else size
        return int(value.node.hint), self.writer.symbol(expression)

    def add_inputs(self) -> None:
        names = iter(self.input_names)
        for node, argument in self.arguments:
            value = node.meta["val"]
            if not isinstance(value, Tensor):
                continue
            name = next(names)
            if value.dtype not in DTYPES:
                raise ExportError(f"the input {name} is {of_dtype(value.dtype)}")
            try:
                self.ids[node] = self.writer.input(name, value.dtype, self.shape_of(value))
            except UnknownSizeError as error:
                raise ExportError(
                    f"the input {argument.name} has a size that has no form in a file: {error}"
                ) from error

    def reserve(self, node: fx.Node) -> None:
        """Reserves ids for a node's results, so that getitem nodes can name them."""
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
        tensor = stored_tensor(self.program, name)
        if tensor.dtype not in DTYPES:
            raise ExportError(f"{name} is {of_dtype(tensor.dtype)}")
        if tensor.device.type == "meta" or isinstance(tensor, FakeTensor):
            raise ExportError(f"{name} has a shape and no values: load the model's weights before you export it")
        if tensor.layout != torch.strided:
            raise ExportError(f"{name} is {tensor.layout}, which .kiln files do not hold: call .to_dense() on it")
        tensor = tensor.detach().cpu().contiguous()
        if tensor.numel() == 0:
            value = self.writer.value(name, tensor.dtype, self.shape_of(tensor))  # nothing to store
            size, dtype = self.attribute("size", list(tensor.shape)), self.attribute("dtype", tensor.dtype)
            self.writer.node("aten.zeros.default", [], [value], [size, dtype], "")
            return value
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
            if "Tensor" in kind and argument.name in NUMBERS and is_number(value):
                inputs.append(-1)
                attrs.append(self.attribute(argument.name, value))
            elif "Tensor" in kind:
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
        if expression_of(value) is not None:
            return [self.size_as_tensor(f"{node.name}.size", value, user_line(node))]
        if isinstance(value, fx.Node):
            raise UnknownSizeError(
                "an operand is a number that depends on dynamic dims or on data: keep it a tensor, without .item()"
            )
        return [self.writer.constant(f"{node.name}.scalar", number(value))]

    def size_as_tensor(self, name: str, value: Any, where: str) -> int:
        """A size as a 0-d tensor of the graph."""
        size = self.writer.value(name, torch.int64, [])
        attributes = [self.attribute("s", value), self.attribute("dtype", torch.int64)]
        self.writer.node("aten.scalar_tensor.default", [], [size], attributes, where)
        return size

    def attribute(self, name: str, value: Any) -> fb.AttrT:
        """An argument. Sizes in it that depend on dynamic dims become symbols."""
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

    def result(self, name: str, result: Any) -> int:
        """The value of one result: a tensor, or a number as a tensor without dims."""
        if isinstance(result, (bool, int, float)):
            return self.writer.constant(name, number(result))
        if isinstance(result, fx.Node) and result in self.ids:
            return self.ids[result]
        if expression_of(result) is not None:
            try:
                return self.size_as_tensor(name, result, user_line(result))
            except UnknownSizeError as error:
                raise ExportError(f"the output {name} is a number that depends on data: {error}") from error
        kind = type(result.meta.get("val") if isinstance(result, fx.Node) else result).__name__
        raise ExportError(f"the output {name} is a {kind}, and .kiln files hold tensors and numbers")


def is_tensor(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor)


def number(value: float) -> Tensor:
    """A number as the file holds it: as float32, if it has a fraction."""
    dtype = torch.bool if isinstance(value, bool) else torch.int64 if isinstance(value, int) else torch.float32
    try:
        return torch.tensor(value, dtype=dtype)
    except (RuntimeError, OverflowError) as error:
        raise UnknownSizeError(f"the number {value} has no form in a .kiln file") from error


@contextmanager
def errors_at(node: fx.Node) -> Iterator[None]:
    """Turns an error about a node into an ExportError with its line."""
    try:
        yield
    except (UnknownSizeError, TypeError, OverflowError) as error:
        raise ExportError(f"{operator_name(node)}, {place_of(node)}: {error}") from error
