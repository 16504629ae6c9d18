"""Computes content digests, which identify the values of a column or a file, whichever run wrote them, when and how.

The digest of a column depends on its type and, for each calendar month (UTC) of the rows' keys, on the number of rows,
the values, and which of them are null. All NaN are the same value; 0.0 and -0.0 are two, because their bits differ.
Encodings, row groups, chunks, the order of a file's columns, and the bytes in memory behind a null have no influence.
Why it is BLAKE3, and why by months: docs/adr/0021-content-digest.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import blake3
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from bqx_assets.base.column_types import COLUMN_TYPES

_VERSION = b"bqx content 1"
"""A part of every digest: raise the number when the same values would give another digest."""
_NAN = np.uint64(0x7FF8_0000_0000_0000)
_TEXTS = 16_384
"""Number of texts of a column that are laid out one after another in memory at once."""

Bytes = npt.NDArray[np.uint8]
Places = int | npt.NDArray[np.int64]
"""Either the bytes of each value, or the offset where each value begins, followed by the one where the last ends."""
Hasher = Any
"""A BLAKE3 that has taken some bytes and takes more."""
_hasher: Callable[..., Hasher] = blake3.blake3
"""It takes arrays too, although its stub does not say so."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The calendar months that the keys of rows fall into."""

    labels: tuple[str, ...]
    """Names of the months, such as 2026-01."""
    starts: tuple[int, ...]
    """The first row of each month, followed by the number of rows."""


def periods_of(keys: pl.Series) -> Periods:
    """Return the months of ascending UTC keys without nulls. **Cost**: 16 bytes a row, for a short time."""
    months = keys.dt.year().cast(pl.Int32) * 12 + keys.dt.month() - 1
    starts = [0, *(np.flatnonzero(np.diff(months.to_numpy())) + 1).tolist()] if keys.len() else []
    labels = (divmod(months[start], 12) for start in starts)
    return Periods(tuple(f"{year:04}-{month + 1:02}" for year, month in labels), (*starts, keys.len()))


@dataclass(slots=True)
class _Month:
    """The hashes of one month's values of a column, as far as they were taken."""

    rows: int = 0
    values: Hasher = field(default_factory=_hasher)
    lengths: Hasher = None
    """The lengths of texts; None for other types."""
    validity: Hasher = None
    """The places of nulls; None while there was no null."""

    def add(self, values: Bytes, lengths: Bytes | None, validity: Bytes | None, rows: int) -> None:
        self.values.update(values)
        if lengths is not None:
            self.lengths = self.lengths or _hasher()
            self.lengths.update(lengths)
        if validity is not None and self.validity is None:
            self.validity = _hasher(np.ones(self.rows, np.uint8))
        if self.validity is not None:
            self.validity.update(np.ones(rows, np.uint8) if validity is None else validity)
        self.rows += rows

    def digest(self) -> bytes:
        parts = [each.digest() if each is not None else b"" for each in (self.values, self.lengths, self.validity)]
        return b"".join([self.rows.to_bytes(8, "little"), *(bytes([len(part)]) + part for part in parts)])


class ColumnContent:
    """Computes a column's digest; it takes the values in order, in pieces of any size."""

    def __init__(self, periods: Periods) -> None:
        self._periods = periods
        self._closed: list[bytes] = []
        self._arrow: pa.DataType | None = None
        self._type: bytes = b""
        self._row = self._number = 0
        self._month = _Month()

    def add(self, array: pa.Array[Any]) -> None:
        """Take the next rows. **Cost**: 0.02 s of a processor for 100 MB of numbers; texts take three times as long.

        Raises:
            TypeError: not a type that a training file holds.
        """
        kind = array.type
        if kind != self._arrow:
            self._arrow, self._type = kind, _type_name(kind)
        if kind == pa.string_view():
            for start in range(0, len(array), _TEXTS):  # equal texts lie in memory once; to hash them copies each
                piece = array.slice(start, _TEXTS)
                self._take(len(piece), validity_of(piece), *_views(piece))
        elif self._type != b"STRING":
            validity = validity_of(array)
            self._take(len(array), validity, *_numbers(array, validity))
        elif array.null_count:
            self.add_series(pl.Series(array))  # what lies under a null is no empty text here
        else:
            self._take(len(array), None, *_texts(array))

    def add_series(self, series: pl.Series) -> None:
        """Take the next rows of a Polars series as ``add`` does. Texts are copied, some at a time; numbers are not."""
        chunks: Any = series.get_chunks()
        for piece in chunks:
            self.add(piece.to_arrow(compat_level=pl.CompatLevel.newest()))

    def months(self) -> bytes | None:
        """Return what ``digest_of`` makes the digest from, 50 to 120 bytes a month; None while rows are missing."""
        return b"".join(self._closed) if self._row == self._periods.starts[-1] else None

    def digest(self) -> str | None:
        """Return the digest; None while rows are missing."""
        months = self.months()
        return None if months is None else digest_of([months])

    def _take(self, rows: int, validity: Bytes | None, values: Bytes, places: Places, lengths: Bytes | None) -> None:
        first, starts = self._row, self._periods.starts
        while self._row - first < rows:
            at = self._row - first
            end = min(starts[self._number + 1] - first, rows)
            begin, until = (at * places, end * places) if isinstance(places, int) else (places[at], places[end])
            texts = None if lengths is None else lengths[4 * at : 4 * end]
            # Nulls in other months must not change the hash of a month without nulls.
            known = None if validity is None or validity[at:end].all() else validity[at:end]
            self._month.add(values[begin:until], texts, known, end - at)
            self._row = first + end
            if self._row == starts[self._number + 1]:
                self._close()

    def _close(self) -> None:
        self._closed.append(self._type + self._periods.labels[self._number].encode() + self._month.digest())
        self._number += 1
        self._month = _Month()


class Contents:
    """Computes the digests of a table's columns; it takes the rows in order, in pieces of any size."""

    def __init__(self, periods: Periods) -> None:
        self._periods = periods
        self._columns: dict[str, ColumnContent] = {}

    def add(self, rows: pa.Table) -> None:
        """Take the next rows of any of the columns. Raises TypeError as ``ColumnContent.add``."""
        for name in rows.column_names:
            column = self._columns.setdefault(name, ColumnContent(self._periods))
            for chunk in rows.column(name).chunks:
                column.add(chunk)

    def digests(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the digests of columns, in the order of ``names``. Raises ValueError if rows of one are missing."""
        return tuple(digest_of([months]) for months in self.months(names))

    def months(self, names: Iterable[str]) -> tuple[bytes, ...]:
        """Return of each column what its digest follows from, for ``digest_of``. Raises ValueError as ``digests``."""
        found = [self._columns[name].months() for name in names]
        if None in found:
            msg = "not all rows were taken"
            raise ValueError(msg)
        return tuple(each for each in found if each is not None)


def digest_of(pieces: Iterable[bytes]) -> str:
    """Return a column's digest from the ``months`` of its pieces, in the order of their rows; no value is read.

    A piece has whole calendar months, so that the digest is that of the column as one, however it is cut.
    """
    whole: Hasher = _hasher(_VERSION + b" column")
    for months in pieces:
        whole.update(months)
    return whole.hexdigest()


def file_digest(columns: Iterable[tuple[str, str]]) -> str:
    """Return the digest of a file from its columns' names and digests, in any order."""
    whole: Hasher = _hasher(_VERSION + b" file")
    for name, digest in sorted(columns):
        encoded = name.encode()
        whole.update(len(encoded).to_bytes(8, "little") + encoded + bytes.fromhex(digest))
    return whole.hexdigest()


def _type_name(arrow: pa.DataType) -> bytes:
    kind = pa.string() if pa.types.is_large_string(arrow) or arrow == pa.string_view() else arrow
    known_as = next((each.name for each in COLUMN_TYPES.values() if each.arrow == kind), None)
    if known_as is None:
        msg = f"no content digest of {arrow}"
        raise TypeError(msg)
    return known_as.encode()


def _numbers(array: pa.Array[Any], known: Bytes | None) -> tuple[Bytes, int, None]:
    """Return the bytes of numbers, moments or flags, with 0 for each null, and the number of bytes of each."""
    data = array.buffers()[1]
    if pa.types.is_boolean(array.type):
        flags = _bits(data, array.offset, len(array))
        return (flags if known is None else flags & known), 1, None
    width = array.type.bit_width // 8
    numbers: npt.NDArray[Any] = _view(data, np.dtype(f"<u{width}"))[array.offset : array.offset + len(array)]
    if known is not None:
        empty = np.flatnonzero(known == 0)
        if numbers[empty].any():
            numbers = numbers.copy()
            numbers[empty] = 0
    if pa.types.is_floating(array.type):
        floats = numbers.view(np.float64)
        # The maximum is NaN if any value is: it is found without another array, and values stay near for the hash.
        if floats.size and np.isnan(floats.max()):
            numbers = np.where(np.isnan(floats), _NAN, numbers)
    return numbers.view(np.uint8), width, None


def _views(array: pa.Array[Any]) -> tuple[Bytes, Places, Bytes]:
    """Return the bytes of texts, the place of each, and the bytes of their lengths, 4 each; a null is an empty text.

    Most texts of a pair are identifiers, the same in all rows: their views are equal, and nothing has to be cast.
    """
    views = _view(array.buffers()[1], np.dtype("<u8"))[2 * array.offset : 2 * (array.offset + len(array))]
    if array.null_count or not np.array_equal(views[2:], views[:-2]):
        return _texts(array.cast(pa.large_string()))
    text = str(array[0]).encode()
    lengths = np.full(len(array), len(text), np.dtype("<u4"))
    return np.frombuffer(text * len(array), np.uint8), len(text), lengths.view(np.uint8)


def _texts(array: pa.Array[Any]) -> tuple[Bytes, Places, Bytes]:
    _, offsets_buffer, data = array.buffers()
    kind = np.dtype("<i8") if pa.types.is_large_string(array.type) else np.dtype("<i4")
    offsets: npt.NDArray[np.int64] = _view(offsets_buffer, kind)[array.offset : array.offset + len(array) + 1]
    values: Bytes = _view(data, np.dtype(np.uint8))
    return values, offsets, np.diff(offsets).astype("<u4").view(np.uint8)


def validity_of(array: pa.Array[Any]) -> Bytes | None:
    """Return 1 for each known value and 0 for each null; None if all values are known."""
    return _bits(array.buffers()[0], array.offset, len(array)) if array.null_count else None


def _bits(buffer: Any, start: int, count: int) -> Bytes:  # noqa: ANN401 -- pyarrow's stubs know no buffer of numpy's
    first, skip = divmod(start, 8)
    packed: Bytes = _view(buffer, np.dtype(np.uint8))[first : first + (skip + count + 7) // 8]
    return np.unpackbits(packed, count=skip + count, bitorder="little")[skip:]


def _view(buffer: Any, kind: np.dtype[Any]) -> npt.NDArray[Any]:  # noqa: ANN401 -- as above
    return np.frombuffer(buffer if buffer is not None else b"", kind)
