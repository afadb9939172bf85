"""Exports PyTorch models to .kiln files, which wasmkiln compiles and runs in a web page."""

from wasmkiln.errors import ExportError, UncheckedWarning, UnsupportedOperatorError
from wasmkiln.exporter import export
from wasmkiln.tracing import KEPT_WHOLE, decompositions
from wasmkiln.version import VERSION as __version__

__all__ = [
    "KEPT_WHOLE",
    "ExportError",
    "UncheckedWarning",
    "UnsupportedOperatorError",
    "__version__",
    "decompositions",
    "export",
]
