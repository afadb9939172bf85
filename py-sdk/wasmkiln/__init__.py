"""Exports PyTorch models to .kiln files, which wasmkiln compiles and runs in a web page."""

from wasmkiln.errors import ExportError, FileError, UncheckedWarning, UnsupportedOperatorError
from wasmkiln.exporter import export
from wasmkiln.reader import integrity
from wasmkiln.tracing import KEPT_WHOLE, decompositions
from wasmkiln.version import VERSION as __version__

__all__ = [
    "KEPT_WHOLE",
    "ExportError",
    "FileError",
    "UncheckedWarning",
    "UnsupportedOperatorError",
    "__version__",
    "decompositions",
    "export",
    "integrity",
]
