"""A node's attributes, as the rows of onnx_ops.py take them."""

from __future__ import annotations

from typing import Any


class PassedOver(Exception):  # noqa: N818, it is no error
    """PyTorch, or the runtime, has nothing like this case; says what it is."""


class Attributes(dict[str, Any]):
    """A node's attributes; `outputs` is how many results are asked for."""

    def __init__(self, values: dict[str, Any], outputs: tuple[bool, ...]) -> None:
        super().__init__({k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()})
        self.outputs = outputs

    def refuse(self, **usual: Any) -> None:
        """Passes over a case with another value than the usual one."""
        for name, value in usual.items():
            if self.get(name, value) != value:
                raise PassedOver(f"{name}={self[name]}")

    def but(self, **other: Any) -> Attributes:
        return Attributes({**self, **other}, self.outputs)
