"""CRC32C (Castagnoli), the checksum Cloud Storage keeps of every object.

Belongs here: CRC of bytes and files, and of a concatenation from its parts' CRCs alone. Does not: other hashes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import google_crc32c
import numpy as np
import numpy.typing as npt

from bqx_assets.base.files import open_regular

_POLYNOMIAL = 0x82F63B78
_CHUNK_BYTES = 4 << 20
_extend: Callable[[int, bytes | npt.NDArray[np.uint8]], int] = google_crc32c.extend  # pyright: ignore[reportUnknownVariableType] -- untyped


def crc32c(data: bytes | memoryview, start: int = 0) -> int:
    """Return the CRC32C of ``data`` appended to bytes whose CRC32C is ``start``."""
    return _extend(start, data if isinstance(data, bytes) else np.asarray(data))  # views go in as arrays only, uncopied


def crc32c_of_file(path: Path, start: int = 0) -> int:
    """Return the CRC32C of a file from byte ``start`` on, read in 4 MiB pieces."""
    total = 0
    with open_regular(path) as file:
        file.seek(start)
        while piece := file.read(_CHUNK_BYTES):
            total = crc32c(piece, total)
    return total


def to_base64(crc: int) -> str:
    """Return a CRC32C as Cloud Storage writes it: base64 of four bytes, the highest first."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def from_base64(text: str) -> int:
    """Return the CRC32C that ``text`` is."""
    return int.from_bytes(base64.b64decode(text), "big")


def combine(first: int, second: int, second_bytes: int) -> int:
    """Return the CRC32C of two runs of bytes end to end, from their CRCs and the second's length.

    Cost: O(log second_bytes), no byte is read. Source: Mark Adler's method, "advance the first CRC over
    ``second_bytes`` zeros": one matrix over GF(2) for each power of two.
    """
    bit = 0
    while second_bytes:
        if second_bytes & 1:
            first = _times(_zeros_operator(bit), first)
        second_bytes >>= 1
        bit += 1
    return first ^ second


def _times(matrix: tuple[int, ...], vector: int) -> int:
    total = 0
    for row in matrix:
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


@lru_cache(maxsize=64)
def _zeros_operator(power: int) -> tuple[int, ...]:
    """The matrix that advances a CRC over 2**power zero bytes."""
    if power:
        half = _zeros_operator(power - 1)
        return tuple(_times(half, row) for row in half)
    matrix = (_POLYNOMIAL, *(1 << n for n in range(31)))  # one zero bit
    for _ in range(3):  # squared three times: eight bits
        matrix = tuple(_times(matrix, row) for row in matrix)
    return matrix
