"""The .kiln file: a size-prefixed FlatBuffer (format/model.fbs), then 64-byte-aligned weight segments."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import sympy
import torch
import xxhash
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from torch import Tensor

from wasmkiln import model_generated as fb
from wasmkiln.guards import Guard, text_of
from wasmkiln.ports import distinct
from wasmkiln.sizes import GREATER, Code, postfix

FORMAT_VERSION = 4
HEAD_HASH_SLOT = 4 + 2 * 13  # in the table's offsets: the fourteenth field of Model
ALIGN = 64
HASH_BLOCK = 1 << 20
ROUNDED_TOGETHER = 32  # elements whose products are summed as integers (jit/kernels/int16.h)
GUARDS = "guards"  # the feature of files that have any, or expressions of which the first readers knew nothing
LONG_CODE = 16  # a part of an expression that is longer has a symbol of its own
LONGEST_TEXT = 1000  # bytes; readers take 4096
INLINE_BYTES = 256  # constants up to this size stand in the head, where the compiler can fold them

DTYPES = {
    torch.float32: fb.DType.f32,
    torch.float16: fb.DType.f16,
    torch.bfloat16: fb.DType.bf16,
    torch.int8: fb.DType.i8,
    torch.uint8: fb.DType.u8,
    torch.int32: fb.DType.i32,
    torch.int64: fb.DType.i64,
    torch.bool: fb.DType.boolean,
    torch.int16: fb.DType.i16,
    torch.uint16: fb.DType.u16,
    torch.uint32: fb.DType.u32,
    torch.uint64: fb.DType.u64,
}


def shown(text: str) -> str:
    """What a file says for people to read: a reader takes no characters that cannot be shown, and no longer text."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return plain.encode("utf-8", "backslashreplace")[:LONGEST_TEXT].decode("utf-8", "ignore")


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A progress bar. It disappears when it is done. There is none outside of a terminal, because a log would keep
    its blank lines."""
    return Progress(*columns, transient=True, disable=not Console().is_terminal)


def raw_bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """All pieces together, cut into blocks of HASH_BLOCK bytes; the last may be shorter."""
    block = bytearray()
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            part, rest = rest[: HASH_BLOCK - len(block)], rest[HASH_BLOCK - len(block) :]
            block += part
            if len(block) == HASH_BLOCK:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)


def hash_blocks(pieces: Iterable[bytes]) -> tuple[list[int], bytes]:
    """XXH64 of each block, which notices damage, and SHA-256, which resists who means harm."""
    hashes, digests = [], bytearray()
    for block in blocks(pieces):
        hashes.append(xxhash.xxh64_intdigest(block))
        digests += hashlib.sha256(block).digest()
    return hashes, bytes(digests)


def describe_spread(segment: fb.SegmentT, tensor: Tensor) -> None:
    """Notes how far apart a weight's elements are, as format/model.fbs defines it. It notes nothing for a weight
    that is no matrix of finite numbers."""
    if tensor.dtype != torch.float32 or tensor.dim() < 2 or tensor.numel() == 0:
        return
    matrix = tensor.detach().reshape(tensor.shape[0], -1)
    if not matrix.isfinite().all():
        return

    def spread(matrix: Tensor) -> float:
        of_columns = torch.maximum(matrix.amax(0), -matrix.amin(0))
        reached = of_columns[of_columns > 0].sort().values
        if len(reached) == 0:
            return 1.0
        norms = (part.double().norm(dim=1).max() for part in matrix.split(ROUNDED_TOGETHER, dim=1))
        largest = max(reached[-1].double(), max(norms) / 2**0.5)
        return min(float(largest / reached[len(reached) // 10]), torch.finfo(torch.float32).max)

    segment.rows, segment.rowSpread, segment.columnSpread = tensor.shape[0], spread(matrix.T), spread(matrix)


class KilnWriter:
    """Collects a model. write() writes the file."""

    def __init__(self, name: str, producer: str) -> None:
        self.model = fb.ModelT()
        self.model.version = FORMAT_VERSION
        self.model.features = []
        self.model.producer = producer
        self.model.name = shown(name)
        self.model.opNames, self.model.symbols, self.model.values, self.model.nodes = [], [], [], []
        self.model.inputs, self.model.outputs, self.model.segments, self.model.metadata = [], [], [], []
        self.model.guards = []
        self.weights: list[Tensor] = []
        self.names: set[str] = set()
        self.ops: dict[str, int] = {}
        self.symbols: dict[sympy.Basic, int] = {}
        self.symbol_names: dict[sympy.Symbol, str] = {}
        self.stored: dict[tuple[Any, ...], int] = {}

    def value(self, name: str, dtype: torch.dtype, dims: list[tuple[int, int]]) -> int:
        value = fb.ValueT()
        value.name = distinct(shown(name), self.names)
        value.dtype = DTYPES.get(dtype, -1)
        if value.dtype < 0:
            raise TypeError(f"{name} is {dtype}, which .kiln files do not hold")
        value.dims = []
        for size, symbol in dims:
            dim = fb.DimT()
            dim.value, dim.symbol = size, symbol
            value.dims.append(dim)
        value.segment = -1
        value.data = None
        self.model.values.append(value)
        return len(self.model.values) - 1

    def constant(self, name: str, tensor: Tensor) -> int:
        index = self.value(name, tensor.dtype, [(size, -1) for size in tensor.shape])
        self.model.values[index].data = list(raw_bytes(tensor))
        return index

    def weight(self, name: str, tensor: Tensor) -> int:
        index = self.value(name, tensor.dtype, [(size, -1) for size in tensor.shape])
        key = (tensor.data_ptr(), tensor.dtype, tensor.numel())
        if key not in self.stored:
            segment = fb.SegmentT()
            segment.size = tensor.nbytes
            describe_spread(segment, tensor)
            self.model.segments.append(segment)
            self.weights.append(tensor)
            self.stored[key] = len(self.weights) - 1
        self.model.values[index].segment = self.stored[key]
        return index

    def input(self, name: str, dtype: torch.dtype, dims: list[tuple[int, int]]) -> int:
        index = self.value(name, dtype, dims)
        self.model.values[index].name = name
        self.model.inputs.append(index)
        return index

    def output(self, index: int, name: str) -> None:
        """Gives a value a public name. A value that has another name already, or that is stored, becomes an output
        by an alias."""
        value = self.model.values[index]
        taken = {*self.model.inputs, *self.model.outputs}
        if index in taken or value.segment >= 0 or value.data is not None:
            dtype = next(dtype for dtype, number in DTYPES.items() if number == value.dtype)
            alias = self.value(name, dtype, [(dim.value, dim.symbol) for dim in value.dims])
            self.node("aten.alias.default", [index], [alias], [], "")
            index = alias
        self.model.values[index].name = name
        self.model.outputs.append(index)

    def free_symbol(self, expression: sympy.Symbol, name: str, constraint: Any) -> None:
        """Adds a dim of an input that gets its size when the model is loaded."""
        upper = constraint.upper if constraint is not None else None
        low = int(constraint.lower) if constraint is not None else 1
        high = int(upper) if upper is not None and upper.is_Integer and int(upper) < 1 << 31 else 0  # 0: any
        self.symbol_names[expression] = name
        self.add_symbol(expression, name, low, high, [])

    def symbol(self, expression: sympy.Expr) -> int:
        """The index of the symbol with this size."""
        if expression not in self.symbols:
            code = self.code_of(expression)
            self.add_symbol(expression, text_of(expression, self.symbol_names), 0, 0, code)
        return self.symbols[expression]

    def guard(self, guard: Guard) -> None:
        """Adds a condition that the sizes must meet."""
        one = fb.GuardT()
        one.code = self.code_of(guard.condition)
        one.text, one.where = text_of(guard.condition, self.symbol_names), shown(guard.where)
        self.model.guards.append(one)
        self.model.features = [GUARDS]

    def code_of(self, expression: sympy.Basic) -> Code:
        self.share_long_parts(expression)
        code = postfix(expression, self.symbols)
        if max(code[::2]) > GREATER:
            self.model.features = [GUARDS]
        return code

    def share_long_parts(self, expression: sympy.Basic) -> None:
        """Gives symbols to long parts of an expression, because PyTorch's expressions nest and repeat their parts."""
        for part in () if expression in self.symbols else expression.args:
            self.share_long_parts(part)
            if getattr(part, "is_integer", None) and len(postfix(part, self.symbols)) > LONG_CODE:
                self.symbol(part)

    def add_symbol(self, expression: sympy.Expr, name: str, low: int, high: int, code: list[int]) -> None:
        symbol = fb.SymbolT()
        symbol.name, symbol.min, symbol.max, symbol.code = name, low, high, code
        self.symbols[expression] = len(self.model.symbols)
        self.model.symbols.append(symbol)

    def attr(self, name: str, value: Any) -> fb.AttrT:
        attr = fb.AttrT()
        attr.name = name
        if isinstance(value, torch.dtype):
            value = str(value).removeprefix("torch.")
        if value is None:
            attr.kind = fb.AttrKind.none
        elif isinstance(value, bool):
            attr.kind, attr.i = fb.AttrKind.boolean, int(value)
        elif isinstance(value, int):
            attr.kind, attr.i = fb.AttrKind.integer, value
        elif isinstance(value, float):
            attr.kind, attr.f = fb.AttrKind.real, value
        elif isinstance(value, str):
            attr.kind, attr.s = fb.AttrKind.text, value
        elif isinstance(value, list) and all(isinstance(v, int) for v in value):
            attr.kind, attr.ints = fb.AttrKind.integers, [int(v) for v in value]
        elif isinstance(value, list) and all(isinstance(v, (int, float)) for v in value):
            attr.kind, attr.reals = fb.AttrKind.reals, [float(v) for v in value]
        else:
            raise TypeError(f"argument {name} = {value!r} has no form in a .kiln file")
        return attr

    def node(self, op: str, inputs: list[int], outputs: list[int], attrs: list[fb.AttrT], where: str) -> None:
        node = fb.NodeT()
        if op not in self.ops:
            self.ops[op] = len(self.model.opNames)
            self.model.opNames.append(op)
        node.op, node.inputs, node.outputs, node.attrs, node.where = self.ops[op], inputs, outputs, attrs, shown(where)
        self.model.nodes.append(node)

    def order_weights(self) -> None:
        """Sorts segments into the order in which nodes first read them, which is the order in which they should
        arrive."""
        order: list[int] = []
        seen: set[int] = set()
        for node in self.model.nodes:
            for index in node.inputs:
                segment = self.model.values[index].segment if index >= 0 else -1
                if segment >= 0 and segment not in seen:
                    seen.add(segment)
                    order.append(segment)
        order += [i for i in range(len(self.weights)) if i not in seen]
        position = {segment: i for i, segment in enumerate(order)}
        self.weights = [self.weights[i] for i in order]
        self.model.segments = [self.model.segments[i] for i in order]
        for value in self.model.values:
            if value.segment >= 0:
                value.segment = position[value.segment]

    def head(self) -> bytes:
        self.model.headHash = 1  # anything but the default, which is left out
        builder = flatbuffers.Builder(1 << 16)
        builder.FinishSizePrefixed(self.model.Pack(builder), file_identifier=b"KILN")
        head = bytearray(builder.Output())
        assert struct.unpack_from("<I", head)[0] == len(head) - 4
        table = fb.Model.GetRootAs(head, 4)._tab
        field = table.Pos + table.Offset(HEAD_HASH_SLOT)
        struct.pack_into("<Q", head, field, 0)
        struct.pack_into("<Q", head, field, xxhash.xxh64_intdigest(head))
        return bytes(head)

    def lay_out(self) -> None:
        """Gives every segment its place."""
        offset = 0
        for segment in self.model.segments:
            segment.offset = offset
            offset = -(-(offset + segment.size) // ALIGN) * ALIGN
        self.model.weightsBytes = offset

    def padded_weights(self) -> Iterator[bytes]:
        for tensor in self.weights:
            yield raw_bytes(tensor)
            yield b"\0" * (-tensor.nbytes % ALIGN)

    def write(self, path: Path, check: Callable[[fb.ModelT, bytes, int], None]) -> None:
        """Writes the file, unless `check` raises. `check` gets the model, the bytes of the head and the size of the
        file."""
        self.order_weights()
        self.lay_out()
        with progress_bar(*Progress.get_default_columns()) as progress:
            task = progress.add_task(f"writing {path.name}", total=2 * self.model.weightsBytes or 1)

            def weights() -> Iterator[bytes]:
                for piece in self.padded_weights():
                    yield piece
                    progress.advance(task, len(piece))

            self.model.blockHashes, digests = hash_blocks(weights())
            self.model.blockDigests = np.frombuffer(digests, np.uint8)
            head = self.head()
            padding = b"\0" * (-len(head) % ALIGN)
            check(self.model, head, len(head) + len(padding) + self.model.weightsBytes)
            with path.open("wb") as file:
                file.write(head)
                file.write(padding)
                file.writelines(weights())
