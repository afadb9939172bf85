"""Exports PyTorch models to .kiln files, which wasmkiln compiles and runs in a web page."""

from wasmkiln.errors import ExportError, UncheckedWarning, UnsupportedOperatorError
from wasmkiln.exporter import export
from wasmkiln.tracing import KEPT_WHOLE, decompositions

__all__ = [
    "KEPT_WHOLE",
    "ExportError",
    "UncheckedWarning",
    "UnsupportedOperatorError",
    "decompositions",
    "export",
]
