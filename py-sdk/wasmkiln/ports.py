"""The names of a file's inputs and outputs. They come from `forward`'s parameters and the keys of its results, or
from the user."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.utils import _pytree as pytree

from wasmkiln.errors import ExportError

Path = tuple[str | int, ...]  # keys and indices, outermost first


@dataclass(frozen=True)
class Argument:
    """A leaf of `forward`'s arguments: `state.0` is the first of the tuple `state`."""

    name: str
    value: Any
    dims: Any  # what dynamic_shapes says of it


def leaf_paths(spec: pytree.TreeSpec, prefix: Path = ()) -> list[Path]:
    """The path of each leaf in a nested argument or result."""
    if spec.is_leaf():
        return [prefix]
    keys = keys_of(spec)
    return [
        path for key, child in zip(keys, spec.children(), strict=True) for path in leaf_paths(child, (*prefix, key))
    ]


def keys_of(spec: pytree.TreeSpec) -> Sequence[str | int]:
    """The keys of a dict, the fields of a named tuple or data class, else indices."""
    context = spec.context
    if hasattr(context, "_fields"):  # a named tuple's context is its class
        return context._fields
    if spec.type is defaultdict:
        context = context[1]
    elif isinstance(context, (list, tuple)) and context and isinstance(context[0], (list, tuple)):
        context = context[0]  # a data class's: the fields that are there, and those that are None
    keyed = isinstance(context, (list, tuple)) and len(context) == spec.num_children
    return [key if isinstance(key, int) else str(key) for key in context] if keyed else range(spec.num_children)


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def arguments(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], dynamic_shapes: Any = None
) -> list[Argument]:
    """Every leaf of the arguments, in torch.export's order, with the name of its parameter."""
    signature = inspect.signature(module.forward)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ExportError(
            f"{type(module).__name__}.forward cannot be called with the example inputs: {error}"
        ) from error
    found = []
    for root, keys, value in roots(signature, args, kwargs):
        leaves, spec = pytree.tree_flatten(value)
        for path, leaf in zip(leaf_paths(spec), leaves, strict=True):
            where = (*root, *path) if isinstance(dynamic_shapes, Mapping) else (*keys, *path)
            found.append(Argument(dotted((*root, *path)), leaf, entry_at(dynamic_shapes, where)))
    return found


def roots(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[Path, Path, Any]]:
    """For each argument: its parameter's name, its position, and the argument itself."""
    parameters = signature.parameters.values()
    names = [p.name for p in parameters if p.kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD][: len(args)]
    rest = next((p.name for p in parameters if p.kind == inspect.Parameter.VAR_POSITIONAL), "")
    for i, value in enumerate(args):
        extra = i - len(names)
        yield ((names[i],), (i,), value) if extra < 0 else ((rest, extra), (len(names), extra), value)
    first = len(names) + (len(args) > len(names))
    for i, (name, value) in enumerate(kwargs.items()):
        yield (name,), (first + i,), value


def entry_at(nested: Any, path: Path) -> Any:
    """The element of nested dicts and sequences at a path. None if they end before it."""
    for key in path:
        try:
            nested = nested[key]
        except (KeyError, IndexError, TypeError):
            return None
    return nested


def results_of(
    spec: pytree.TreeSpec, returned: Sequence[Any], names_of: Mapping[fx.Node, str]
) -> list[tuple[str, Any]]:
    """The results of `forward` except None, with names: the keys that lead to them, or the name of the node."""
    results: list[tuple[str, Any]] = []
    names: set[str] = set()
    for i, (path, result) in enumerate(zip(leaf_paths(spec), returned, strict=True)):
        if result is None:
            continue
        keyed = any(isinstance(key, str) for key in path)
        own = names_of.get(result, result.name) if isinstance(result, fx.Node) else f"output_{i}"
        name = dotted(path) if keyed else own
        results.append((distinct(name, names), result))
    return results


def distinct(name: str, names: set[str]) -> str:
    """Makes a name that is not in `names`, and adds it."""
    candidate, n = name, 1
    while candidate in names:
        n += 1
        candidate = f"{name}_{n}"
    names.add(candidate)
    return candidate


def named(kind: str, given: Sequence[str] | None, defaults: list[str]) -> list[str]:
    """The names of all inputs, or of all outputs. Given names are used exactly, or refused with a reason."""
    if given is None:
        return defaults
    if isinstance(given, str) or not all(isinstance(name, str) and name for name in given):
        raise ExportError(f"{kind}_names is a sequence of names, not {given!r}")
    if len(given) != len(defaults):
        theirs = ", ".join(defaults) or "none"
        raise ExportError(
            f"{kind}_names has {len(given)} names, and the model has {len(defaults)} {kind}s that are tensors: {theirs}"
        )
    repeated = sorted({name for name in given if list(given).count(name) > 1})
    if repeated:
        raise ExportError(f"{kind}_names has '{repeated[0]}' twice: each {kind} needs a name of its own")
    return list(given)
