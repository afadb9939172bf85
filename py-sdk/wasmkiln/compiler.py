"""Runs the compiler that pages download, under wasmtime. So export knows whether the compiler takes a file."""

from __future__ import annotations

import functools
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import wasmtime

from wasmkiln import model_generated as fb
from wasmkiln.errors import ExportError, UncheckedWarning
from wasmkiln.sizes import solved

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parents[1]
SOURCES = ("format", "ir", "jit", "runtime", "support", "tuner")  # of what is built in a checkout
BUGS = ("bad-file", "internal")  # no answers to a file that export wrote, at the sizes of its example
NATIVE_ONLY = re.compile(r"runtime/(cli|c_api|native_)|backends/native")


@dataclass(frozen=True)
class Refusal:
    """The compiler's error for a file that it refuses (runtime/web_api.h)."""

    code: str
    message: str
    where: str
    at_an_end: bool = False  # of a range, and not at the sizes of the example


class CompilerMissingError(Exception):
    """There is no compiler. The message says why, and how to get it."""


def find_compiler() -> Path:
    """The compiler in the package, as in a wheel. In a checkout, the compiler that was built there, unless its
    sources have changed."""
    packaged = PACKAGE / "compiler-full.wasm"
    if packaged.exists():
        return packaged
    built = CHECKOUT / "build/wasm/runtime/kiln_compiler_full.wasm"
    if not built.exists():
        raise CompilerMissingError("the compiler was not built: ./dev build does it")
    files = (file for name in SOURCES for file in (CHECKOUT / name).glob("**/*.*"))
    newest = max(file.stat().st_mtime for file in files if not NATIVE_ONLY.search(file.as_posix()))
    if newest > built.stat().st_mtime:
        raise CompilerMissingError("the compiler is older than its sources: ./dev build brings it up to date")
    return built


class Compiler:
    """An instance of the compiler. It checks one file after another."""

    def __init__(self, path: Path) -> None:
        module = compiled(path, path.stat().st_mtime)
        self.store = wasmtime.Store(module[0])
        linker = wasmtime.Linker(module[0])
        linker.define_wasi()
        self.store.set_wasi(wasmtime.WasiConfig())
        grown = wasmtime.FuncType([wasmtime.ValType.i32()], [])
        linker.define_func("env", "emscripten_notify_memory_growth", grown, lambda _: None)
        self.exports = linker.instantiate(self.store, module[1]).exports(self.store)
        self.call("_initialize")

    def call(self, name: str, *arguments: float) -> int:
        return self.exports[name](self.store, *arguments)

    def put(self, data: bytes) -> int:
        """Copies bytes into the compiler's memory."""
        at = self.call("kiln_alloc", max(len(data), 1)) & 0xFFFFFFFF
        if at == 0:
            raise MemoryError
        self.exports["memory"].write(self.store, data, at)
        return at

    def open(self, head: bytes, file_bytes: int, dims: dict[str, int]) -> Refusal | None:
        """Reads, optimizes and lowers a model with these sizes. Returns nothing if the compiler takes it."""
        options = "".join(f"dim.{name}={size}\n" for name, size in dims.items()).encode()
        places = [self.put(head), self.put(options)]
        status = self.call("kiln_open", places[0], len(head), float(file_bytes), places[1], len(options))
        for place in places:
            self.call("kiln_free", place)
        begin = self.call("kiln_result_data") & 0xFFFFFFFF
        result = self.exports["memory"].read(self.store, begin, begin + self.call("kiln_result_size"))
        return Refusal(**json.loads(bytes(result).decode(errors="replace"))) if status < 0 else None


@functools.lru_cache(maxsize=1)
def compiled(path: Path, _: float) -> tuple[wasmtime.Engine, wasmtime.Module]:
    """Compiles the module. This takes a second, so wasmtime caches the machine code for other processes, if it can."""
    try:
        config = wasmtime.Config()
        config.cache = True
        engine = wasmtime.Engine(config)
    except wasmtime.WasmtimeError:  # no place for files of a user's own
        engine = wasmtime.Engine()
    return engine, wasmtime.Module.from_file(engine, str(path))


def sizes_to_try(model: fb.ModelT) -> Iterator[dict[str, int]]:
    """The example's sizes of all dims that a load must give, then each dim at both ends of its range. PyTorch's
    default for the least size is 0."""
    codes = [[] if symbol.code is None else symbol.code for symbol in model.symbols or []]
    free = {text(symbol.name): symbol for symbol, code in zip(model.symbols or [], codes, strict=True) if not len(code)}
    known = {text(model.symbols[i].name): size for i, size in solved(codes, examples(model)).items()}
    named = {name: known.get(name, max(symbol.min, 1)) for name, symbol in free.items()}
    yield named
    for name, symbol in free.items():
        for end in {symbol.min, symbol.max} - {0, named[name]}:
            yield named | {name: end}


def examples(model: fb.ModelT) -> list[tuple[int, int]]:
    """Symbols with their sizes in the example, which dims and arguments note."""
    dims = [(dim.symbol, dim.value) for value in model.values for dim in value.dims or []]
    for attr in (attr for node in model.nodes for attr in node.attrs or []):
        if attr.symbols is not None:
            dims += zip(attr.symbols, [attr.i] if attr.kind == fb.AttrKind.integer else attr.ints, strict=False)
    return [(int(symbol), int(size)) for symbol, size in dims if symbol >= 0]


def text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def refusal(model: fb.ModelT, head: bytes, file_bytes: int) -> Refusal | None:
    """Why the compiler refuses a model, or nothing. Sizes that the file's own guards exclude do not count. Nor does
    a lack of memory, which depends on who loads the file."""
    path = find_compiler()
    try:
        compiler = Compiler(path)
        for i, dims in enumerate(sizes_to_try(model)):
            found = compiler.open(head, file_bytes, dims)
            allowed = ("out-of-memory",) if i == 0 else ("out-of-memory", "bad-option", "bad-input")
            if found and found.code not in allowed:
                at = "" if not found.where or found.where in found.message else f" [{found.where}]"
                sizes = ", ".join(f"{name} = {size}" for name, size in dims.items())
                end = ", an end of the range that dynamic_shapes gives" if i else ""
                message = f"{found.message}{at}" + (f" (with {sizes}{end})" if sizes else "")
                return replace(found, message=message, at_an_end=i > 0)
    except (wasmtime.Trap, wasmtime.WasmtimeError, MemoryError) as error:
        raise ExportError(f"the compiler failed, a bug of wasmkiln: please report it ({error})") from error
    return None


def check(model: fb.ModelT, head: bytes, file_bytes: int) -> None:
    """Raises the error that a page would give for this file. Warns if there is no compiler to ask."""
    try:
        refused = refusal(model, head, file_bytes)
    except CompilerMissingError as error:
        warnings.warn(f"the file is written unchecked, a page may refuse it: {error}", UncheckedWarning, stacklevel=4)
        return
    if refused and refused.code in BUGS and not refused.at_an_end:
        raise ExportError(f"{refused.message}\nThis is a bug of wasmkiln, which wrote the file: please report it.")
    if refused:
        raise ExportError(refused.message)
