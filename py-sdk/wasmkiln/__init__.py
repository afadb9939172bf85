"""Exports PyTorch models to .kiln files, which wasmkiln compiles and runs in a web page."""

from wasmkiln.exporter import KEPT_WHOLE, ExportError, UnsupportedOperatorError, decompositions, export

__all__ = ["KEPT_WHOLE", "ExportError", "UnsupportedOperatorError", "decompositions", "export"]
