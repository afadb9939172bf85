"""Exports PyTorch models to .kiln files, which wasmkiln compiles and runs in a web page."""

from wasmkiln.exporter import KEPT_WHOLE, UnsupportedOperatorError, decompositions, export

__all__ = ["KEPT_WHOLE", "UnsupportedOperatorError", "decompositions", "export"]
