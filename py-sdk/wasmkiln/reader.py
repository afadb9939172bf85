"""Reads .kiln files: the head as objects, and whether the weights are what the head says."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wasmkiln import model_generated as fb
from wasmkiln.errors import FileError
from wasmkiln.writer import ALIGN, FORMAT_VERSION, HASH_BLOCK


def read_model(path: Path) -> tuple[fb.ModelT, bytes]:
    """The head as objects, without the weights, and its bytes; only the compiler's reader verifies it."""
    with path.open("rb") as file:
        prefix = file.read(12)
        if len(prefix) < 12 or prefix[8:] != b"KILN":
            raise FileError(f"{path} is not a .kiln file")
        size = struct.unpack_from("<I", prefix)[0] + 4
        head = prefix + file.read(size - 12)
    if len(head) < size:
        raise FileError(f"{path} is truncated: its head is {size} bytes long, the file only {len(head)}")
    try:
        return fb.ModelT.InitFromObj(fb.Model.GetRootAs(head, 4)), head
    except Exception as error:  # Python's FlatBuffers read without a check
        raise FileError(f"{path} is damaged: its head cannot be read") from error


def weight_blocks(file: BinaryIO, head_bytes: int, weights_bytes: int) -> Iterator[bytes]:
    """The weights in blocks, as far as there are any."""
    file.seek(-(-head_bytes // ALIGN) * ALIGN)
    for at in range(0, weights_bytes, HASH_BLOCK):
        yield file.read(min(HASH_BLOCK, weights_bytes - at))


def integrity(path: str | Path) -> str:
    """`sha256-…` of a .kiln file, for loadModel's `integrity`: the page then takes this very file and no other.

    It is the SHA-256 of the head, in base64. The head has that of every block of the weights, which are compared here.
    """
    path = Path(path)
    model, head = read_model(path)
    if model.version != FORMAT_VERSION:
        raise FileError(f"{path} is of format version {model.version}, not {FORMAT_VERSION}: export it again")
    digests = b"" if model.blockDigests is None else bytes(np.asarray(model.blockDigests, np.uint8))
    with path.open("rb") as file:
        found = (hashlib.sha256(block).digest() for block in weight_blocks(file, len(head), model.weightsBytes))
        if b"".join(found) != digests:
            raise FileError(f"{path} is damaged: its weights do not have the digests that its head says")
    return "sha256-" + base64.b64encode(hashlib.sha256(head).digest()).decode()
