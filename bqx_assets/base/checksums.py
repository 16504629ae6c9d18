"""Checksums of bytes: CRC32C (Castagnoli), which Cloud Storage keeps of every object, and SHA-256.

The CRC32C of a concatenation is computed from those of its parts. Digests of values are in ``content``.

CRC32C finds accidents but not intent: four bytes that nobody reads can give a changed file any CRC32C.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import google_crc32c
import numpy as np
import numpy.typing as npt

from bqx_assets.base.files import open_regular

_POLYNOMIAL = 0x82F63B78
_CHUNK_BYTES = 1 << 20
"""A block stays in the processor's cache: with 4 MiB both checksums of a file take a tenth more."""
_extend: Callable[[int, bytes | npt.NDArray[np.uint8]], int] = google_crc32c.extend  # pyright: ignore[reportUnknownVariableType] -- untyped


def crc32c(data: bytes | memoryview, start: int = 0) -> int:
    """Return the CRC32C of ``data`` appended to bytes whose CRC32C is ``start``."""
    return _extend(start, data if isinstance(data, bytes) else np.asarray(data))  # it takes no view as such


def crc32c_of_blocks(blocks: Iterable[bytes | memoryview]) -> int:
    """Return the CRC32C of the concatenation of blocks of bytes."""
    total = 0
    for block in blocks:
        total = crc32c(block, total)
    return total


def crc32c_of_file(path: Path) -> int:
    """Return the CRC32C of a file, which is read in 1 MiB pieces."""
    with open_regular(path) as file:
        return crc32c_of_blocks(iter(lambda: file.read(_CHUNK_BYTES), b""))


class Sums(NamedTuple):
    """The size and the checksums that identify a run of bytes."""

    size_bytes: int
    crc32c: int
    sha256: str


def sums_of_files(spans: Iterable[tuple[Path, int]]) -> Sums:
    """Return the checksums of the concatenation of files, each from an offset on.

    **Cost**: one read in 1 MiB pieces; 0.6 s of a processor for a GB, nearly all of it SHA-256.
    """

    def blocks() -> Iterator[bytes]:
        for path, start in spans:
            with open_regular(path) as file:
                file.seek(start)
                while piece := file.read(_CHUNK_BYTES):
                    yield piece

    return sums_of_blocks(blocks())


class Summing:
    """Computes the checksums of bytes that come in blocks."""

    def __init__(self) -> None:
        self._size_bytes, self._crc, self._sha = 0, 0, hashlib.sha256()

    def add(self, block: bytes) -> None:
        """Take the next bytes."""
        self._size_bytes += len(block)
        self._crc = crc32c(block, self._crc)
        self._sha.update(block)

    def total(self) -> Sums:
        """Return the checksums of all bytes so far."""
        return Sums(self._size_bytes, self._crc, self._sha.hexdigest())


def sums_of_blocks(blocks: Iterable[bytes]) -> Sums:
    """Return the checksums of the concatenation of blocks of bytes."""
    sums = Summing()
    for block in blocks:
        sums.add(block)
    return sums.total()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_and_crc(size_bytes: int, crc: int | None) -> str:
    """Return a size and a CRC32C as errors and verdicts show them."""
    return f"{size_bytes:,} bytes, crc32c {'unknown' if crc is None else f'{crc:08x}'}"


class Stated(Protocol):
    """Something that states a size and, if known, a CRC32C: an object's facts, a slab's record, a manifest's file."""

    @property
    def size_bytes(self) -> int:
        """The number of bytes."""
        ...

    @property
    def crc32c(self) -> int | None:
        """The CRC32C of the bytes; None where it is not stated."""
        ...


def same_bytes(found: Stated, recorded: Stated) -> bool:
    """Return whether both state the same size and the same CRC32C; an unknown CRC32C equals no other."""
    return found.crc32c is not None and may_be_same(found, recorded)


def may_be_same(found: Stated, recorded: Stated) -> bool:
    """Return whether ``found`` states nothing that contradicts the record; a folder may not know a file's CRC32C."""
    return found.size_bytes == recorded.size_bytes and found.crc32c in (None, recorded.crc32c)


def to_base64(crc: int) -> str:
    """Return a CRC32C as Cloud Storage writes it: base64 of four bytes, the highest first."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def from_base64(text: str) -> int:
    """Return the CRC32C that ``to_base64`` wrote as ``text``."""
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
    """Return the matrix that advances a CRC over 2**power zero bytes."""
    if power:
        half = _zeros_operator(power - 1)
        return tuple(_times(half, row) for row in half)
    matrix = (_POLYNOMIAL, *(1 << n for n in range(31)))  # one zero bit
    for _ in range(3):  # squared three times: eight bits
        matrix = tuple(_times(matrix, row) for row in matrix)
    return matrix
