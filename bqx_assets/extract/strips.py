"""Keeps the columns of a piece while they are encoded, a few at a time, and joins the files that they are written as.

Arrow keeps all columns of a row group that it writes. Encoded strip by strip, columns leave their memory to encoded
ones. The joined file is that of all columns written at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from bqx_assets.base.content import validity_of
from bqx_assets.base.frame_files import PARQUET_MAGIC, TAIL_BYTES
from bqx_assets.base.parquet_fields import (
    CHILDREN,
    CHUNKS,
    DATA_PAGE,
    DICTIONARY_PAGE,
    GROUP_BYTES,
    GROUP_COMPRESSED,
    GROUPS,
    KEY_VALUES,
    META,
    ORDERS,
    SCHEMA,
    file_metadata,
)
from bqx_assets.base.thrift import Struct, parse, render

_STRIP_BYTES = 16 << 20
"""Decoded bytes of the columns that are encoded together: so many that joining them costs next to nothing."""


def collected(frames: Iterable[pl.DataFrame], rows: int) -> dict[str, pl.Series]:
    """Return the columns of frames by name, the frames one below another.

    Several frames are copied, so that the memory of each column is free once it is encoded: all columns of a frame may
    be parts of one message. A single frame is not copied.

    Raises:
        ValueError: the frames do not have ``rows`` rows.
    """
    coming = iter(frames)
    frame: pl.DataFrame | None = next(coming)
    if frame.height == rows:
        _refuse_other(rows + sum(each.height for each in coming), rows)
        return {column.name: column for column in frame}
    copies = {name: _Copy(rows) for name in frame.columns}
    found = 0
    while frame is not None:
        if found + frame.height > rows:
            break
        _copy(frame, copies, found)
        found += frame.height
        frame = None  # gone before the next one is made
        frame = next(coming, None)
    _refuse_other(found + (frame.height if frame is not None else 0), rows)
    return {name: copy.series(name) for name, copy in copies.items()}


def _refuse_other(found: int, rows: int) -> None:
    if found != rows:
        msg = f"{found:,} rows, expected {rows:,}"
        raise ValueError(msg)


def _copy(frame: pl.DataFrame, copies: Mapping[str, _Copy], first_row: int) -> None:
    for column in frame:
        row = first_row
        for series in column.get_chunks():
            copies[column.name].put(row, cast("Any", series).to_arrow(compat_level=pl.CompatLevel.newest()))
            row += series.len()


class _Copy:
    """The values of one column, in memory of its own."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._kind = pa.null()
        self._numbers: npt.NDArray[Any] | None = None
        self._known: npt.NDArray[np.bool_] | None = None
        """False for each null; None while there was no null."""
        self._others: list[pl.Series] = []
        """Texts and flags."""

    def put(self, row: int, chunk: pa.Array[Any]) -> None:
        """Copy the values of the rows from ``row`` on."""
        self._kind = chunk.type
        if chunk.type == pa.string_view():
            # Each text once: its view may point into a whole message.
            coded = cast("Any", chunk.cast(pa.large_string()).dictionary_encode())
            self._others.append(_series(coded.dictionary).gather(_series(coded.indices)))
        elif pa.types.is_boolean(chunk.type):
            self._others.append(_series(pa.concat_arrays([chunk])))
        else:
            kind = np.dtype(f"<u{chunk.type.bit_width // 8}")
            if self._numbers is None:
                self._numbers = np.empty(self._rows, kind)
            values: npt.NDArray[Any] = np.frombuffer(cast("Any", chunk.buffers()[1]) or b"", kind)
            self._numbers[row : row + len(chunk)] = values[chunk.offset : chunk.offset + len(chunk)]
            if (known := validity_of(chunk)) is not None:
                self._known = np.ones(self._rows, np.bool_) if self._known is None else self._known
                self._known[row : row + len(chunk)] = known

    def series(self, name: str) -> pl.Series:
        """Return the whole column."""
        if self._numbers is None:
            return pl.concat(self._others, rechunk=False).alias(name)
        bits = None if self._known is None else pa.py_buffer(np.packbits(self._known, bitorder="little").data)
        buffers = [bits, pa.py_buffer(self._numbers.data)]
        return _series(pa.Array.from_buffers(self._kind, self._rows, buffers)).alias(name)


def _series(array: pa.Array[Any]) -> pl.Series:
    return cast("pl.Series", pl.from_arrow(array, rechunk=False))


def strips(columns: dict[str, pl.Series]) -> Iterator[pl.DataFrame]:
    """Take out columns, in order, a few at a time. Texts are alone, because long ones are encoded few rows at once."""
    for _, names in groupby(list(columns), lambda name: isinstance(columns[name].dtype, pl.String)):
        left = list(names)
        while left:
            count = max(1, _STRIP_BYTES // max(1, 8 * columns[left[0]].len()))
            yield pl.DataFrame([columns.pop(name) for name in left[:count]])
            left = left[count:]


class JoinedFile:
    """A parquet file in memory that is made of others with the same rows and other columns, side by side."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = [PARQUET_MAGIC]
        self._size_bytes = len(PARQUET_MAGIC)
        self._content: Struct = {}

    def add(self, blocks: Sequence[bytes], footer: bytes) -> None:
        """Add the columns of a file of one row group, given as the blocks before its footer and the footer."""
        content, _ = parse(footer, file_metadata())
        data = [blocks[0][len(PARQUET_MAGIC) :], *blocks[1:]]
        for chunk in content[GROUPS][0][CHUNKS]:
            for place in (DATA_PAGE, DICTIONARY_PAGE):
                if place in chunk[META]:
                    chunk[META][place] += self._size_bytes - len(PARQUET_MAGIC)
        if not self._content:
            self._content = content
        else:
            self._widen(content)
        self.blocks += filter(None, data)
        self._size_bytes += sum(map(len, data))

    def _widen(self, content: Struct) -> None:
        whole, (group,), (added,) = self._content, self._content[GROUPS], content[GROUPS]
        whole[SCHEMA][0][CHILDREN] += content[SCHEMA][0][CHILDREN]
        whole[SCHEMA] += content[SCHEMA][1:]
        whole[ORDERS] += content[ORDERS]
        group[CHUNKS] += added[CHUNKS]
        for size in (GROUP_BYTES, GROUP_COMPRESSED):
            group[size] += added[size]

    def close(self, metadata: Mapping[str, str]) -> int:
        """Write the footer with key-value metadata; return the size of it with its length and the magic."""
        self._content[KEY_VALUES] = [{1: key.encode(), 2: value.encode()} for key, value in metadata.items()]
        footer = render(self._content, file_metadata())
        self.blocks += (footer, struct.pack("<I", len(footer)), PARQUET_MAGIC)
        return len(footer) + TAIL_BYTES
