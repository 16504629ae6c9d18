"""Reads columns of a Parquet file in the types of a training file: every value is exact, or refused by name.

Arrow decodes them, since Polars reads INT96 as nanoseconds and gives 2262 for every later year, panics at a time zone
such as ``+05:30``, and silently cuts digits in a cast. Which types a table may have is decided by ``catalogue`` and
``merge.raw_file``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeAlias, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import InexactValue
from bqx_assets.base.names import KEY
from bqx_assets.extract.warehouse import ReadRequest

KEY_TYPE = COLUMN_TYPES["TIMESTAMP"].polars
"""Type of timestamps, and so of the key."""
LARGEST_INTEGER = 2**63 - 1
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds of the years 1 and 9999, the limits of timestamps in BigQuery and in Python."""
_MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_DAY = 86_400_000_000
_WHOLE_FLOATS = 2**53
"""The largest number up to which a float holds every whole number."""
_TEXT_ROWS = 16_384
"""Number of rows of texts without a dictionary that are decoded at once."""
_VIEW_BYTES = 16
"""Bytes that Polars keeps of a text besides its characters, which equal texts of a dictionary share."""

_Array: TypeAlias = "pa.Array[Any]"
_Chunks: TypeAlias = "pa.ChunkedArray[Any]"
_Encoded: TypeAlias = "pa.DictionaryArray[Any, Any]"


class ColumnFile:
    """An open Parquet file, read column by column. ``subject`` is its name in errors.

    The checksum of a page is verified where there is one.
    """

    def __init__(self, file: BinaryIO, subject: str, metadata: pq.FileMetaData | None = None) -> None:
        """Read the footer, unless it is given.

        Raises ArrowException, OSError, UnicodeDecodeError: the file is not Parquet, or Arrow cannot read it.
        """
        self._file, self._subject = arrow_file(file), subject
        self.metadata = pq.ParquetFile(self._file).metadata if metadata is None else metadata
        leaves = [self.metadata.schema.column(place) for place in range(self.metadata.num_columns)]
        self._places = {leaf.path: place for place, leaf in enumerate(leaves)}
        self._int96 = frozenset(leaf.path for leaf in leaves if leaf.physical_type == "INT96")
        self._in_dictionary = [
            leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and self._few(leaf.path)
        ]
        self._parquet = self._opened("us")
        schema = self._parquet.schema_arrow
        self.fields = list(zip(schema.names, schema.types, strict=True))
        """Name and Arrow type of each column, in the file's order."""
        self._kinds = dict(self.fields)

    @property
    def groups(self) -> list[int]:
        """The numbers of all row groups."""
        return list(range(self.metadata.num_row_groups))

    def row_count(self, groups: Iterable[int]) -> int:
        """Return the number of rows that these row groups state."""
        return sum(self.metadata.row_group(number).num_rows for number in groups)

    def decoded_bytes(self, name: str) -> int:
        """Return the bytes of a column in memory. Texts count with their stored size, without repeats."""
        if not _is_text(self._kinds[name]):
            return 8 * self.metadata.num_rows
        return _VIEW_BYTES * self.metadata.num_rows + sum(self._stored_bytes(name))

    def read(self, names: Sequence[str], groups: Sequence[int] | None = None) -> pl.DataFrame:
        """Return columns of row groups, or of all: integers as Int64, fractions as Float64, timestamps in UTC.

        **Shape**: the groups' rows x ``names``. **Cost**: ``decoded_bytes`` once, and for a short time the pages.

        Raises:
            InexactValue: a value that those types cannot hold exactly.
            ArrowException, PolarsError, OSError: the file is damaged; see ``first_unreadable``.
        """
        wanted = self.groups if groups is None else list(groups)
        several = [name for name in names if not self._is_alone(name)]
        table = self._parquet.read_row_groups(wanted, columns=several) if several else pa.table({})
        read = {name: table.column(name) for name in several}
        columns = [self._column(name, read.get(name), wanted) for name in names]
        short = next((each for each in columns if each.len() != self.row_count(wanted)), None)
        if short is not None:
            msg = f"{short.name}: {short.len():,} rows decoded of {self.row_count(wanted):,}"
            raise pa.ArrowInvalid(msg)
        return pl.DataFrame(columns)

    def first_unreadable(self, names: Sequence[str]) -> str | None:
        """Return the first column that cannot be decoded on its own; None if all can."""
        for name in names:
            try:
                self.read([name])
            except (pa.ArrowException, pl.exceptions.PolarsError, OSError):
                return name
        return None

    def _column(self, name: str, read: _Chunks | None, groups: Sequence[int]) -> pl.Series:
        if _is_text(self._kinds[name]):
            chunks = self._encoded_texts(name, groups) if read is None else read.chunks
            return _texts(name, chunks)
        if name in self._int96:
            return self._int96_moments(name, groups)
        return exact(name, cast("_Chunks", read), self._subject)

    def _is_alone(self, name: str) -> bool:
        """Return whether a column is read on its own, not together with others."""
        return name in self._int96 or (_is_text(self._kinds[name]) and name not in self._in_dictionary)

    def _encoded_texts(self, name: str, groups: Sequence[int]) -> Iterator[_Array]:
        """Yield texts that are stored without a dictionary, a few rows at a time, encoded as one: many may be equal."""
        for batch in self._parquet.iter_batches(_TEXT_ROWS, row_groups=list(groups), columns=[name]):
            column = cast("_Array", batch.column(0))
            yield column if pt.is_dictionary(column.type) else pc.dictionary_encode(column)

    def _int96_moments(self, name: str, groups: Sequence[int]) -> pl.Series:
        """Return timestamps of 96 bits, a day and its nanoseconds, read in three units, each with other limits."""
        seconds, micros, nanos = (
            _integers(self._opened(unit).read_row_groups(list(groups), columns=[name]).column(0))
            for unit in ("s", "us", "ns")
        )
        self._refuse(name, "INT96", _outside(seconds, 1_000_000), "outside of the years 1 to 9999")
        # Both sides overflow modulo 2^64, so that the last digits of nanoseconds are right in any year.
        self._refuse(name, "INT96", int((nanos - micros * 1_000 != 0).sum()), "with digits below a microsecond")
        return micros.cast(KEY_TYPE).alias(name)

    def _refuse(self, name: str, kind: str, count: int, what: str) -> None:
        if count:
            raise inexact(self._subject, name, kind, f"{count:,} values {what}")

    def _stored_bytes(self, name: str) -> Iterator[int]:
        place = self._places[name]
        return (self.metadata.row_group(number).column(place).total_uncompressed_size for number in self.groups)

    def _few(self, name: str) -> bool:
        """Return whether every chunk of a column begins with a dictionary."""
        chunks = [self.metadata.row_group(number).column(self._places[name]) for number in self.groups]
        return bool(chunks) and all(chunk.has_dictionary_page or not chunk.num_values for chunk in chunks)

    def _opened(self, unit: str) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._file,
            metadata=self.metadata,
            read_dictionary=self._in_dictionary,
            coerce_int96_timestamp_unit=unit,
            page_checksum_verification=True,
        )


def arrow_file(file: BinaryIO) -> pa.NativeFile:
    """Return an open file as Arrow's own, which reads without Python; an object that is read by ranges as it is."""
    # A Python file gives Python's bytes, and Arrow's threads may release some of them late: a program that had ended by
    # then died by SIGABRT, after its work was done, up to one time in ten.
    try:
        return pa.OSFile(f"/dev/fd/{file.fileno()}", mode="r")
    except OSError:
        return pa.PythonFile(cast("Any", file), mode="r")


def exact(name: str, column: _Chunks, subject: str) -> pl.Series:
    """Return numbers, flags or timestamps in the type that their kind is read as; any other type unchanged.

    Raises:
        InexactValue: that type cannot hold a value exactly.
    """
    kind = column.type
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return _moments(name, column, subject)
    found = cast("pl.Series", pl.from_arrow(column, rechunk=False)).alias(name)
    over = int((found > LARGEST_INTEGER).sum()) if pt.is_uint64(kind) else 0
    if over:
        raise inexact(subject, name, "UINT64", f"{over:,} values over {LARGEST_INTEGER:,}")
    if pt.is_integer(kind):
        return found.cast(pl.Int64)
    return found.cast(pl.Float64) if pt.is_floating(kind) or pt.is_null(kind) else found


def as_moments(ticks: pl.Series, unit: str, subject: str) -> pl.Series:
    """Return whole numbers of ``unit`` (s, ms, us, ns) since 1970 as timestamps.

    Raises:
        InexactValue: digits below a microsecond, or outside of the years 1 to 9999.
    """
    if unit == "ns":
        cut = int((ticks % 1_000 != 0).sum())
        if cut:
            raise inexact(subject, ticks.name, "nanoseconds", f"{cut:,} values with digits below a microsecond")
        return (ticks // 1_000).cast(KEY_TYPE)
    outside = _outside(ticks, _MICROS[unit])
    if outside:
        raise inexact(subject, ticks.name, f"timestamps[{unit}]", f"{outside:,} values outside of the years 1 to 9999")
    return (ticks if unit == "us" else ticks * _MICROS[unit]).cast(KEY_TYPE)


def as_floats(whole: pl.Series, subject: str) -> pl.Series:
    """Return whole numbers as floats. Raises InexactValue for one that a float cannot hold exactly."""
    over = int((~whole.is_between(-_WHOLE_FLOATS, _WHOLE_FLOATS)).sum())
    if over:
        raise inexact(subject, whole.name, "INT64", f"{over:,} values with more digits than FLOAT64 has")
    return whole.cast(pl.Float64)


def inexact(subject: str, column: str, kind: str, what: str) -> InexactValue:
    """Return the error for values of a column of stored type ``kind`` that reading would change."""
    return InexactValue(
        subject,
        got=f"{column} {kind}: {what}",
        expected="values that FLOAT64, INT64 or TIMESTAMP (microseconds, years 1 to 9999) can represent exactly",
        cure=f"Round or correct {column} where the table is made, or leave the column out there.",
    )


def _moments(name: str, column: _Chunks, subject: str) -> pl.Series:
    """Return timestamps in UTC. A time zone only tells how to show them; those without one count as UTC."""
    kind = column.type
    if pt.is_date(kind):
        days = _integers(column.cast(pa.date32())).alias(name)
        return as_moments(days * (_DAY // 1_000_000), "s", subject)
    return as_moments(_integers(column).alias(name), cast("pa.TimestampType", kind).unit, subject)


def _integers(column: _Chunks) -> pl.Series:
    """Return the stored numbers of timestamps or dates."""
    stored = pa.int32() if pt.is_date32(column.type) else pa.int64()
    found = pl.from_arrow(pa.chunked_array([chunk.view(stored) for chunk in column.chunks], stored), rechunk=False)
    return cast("pl.Series", found).cast(pl.Int64)


def _outside(ticks: pl.Series, micros: int) -> int:
    low, high = ticks.min(), ticks.max()
    if low is None or (cast("int", low) * micros >= _EARLIEST and cast("int", high) * micros <= _LATEST):
        return 0
    return int((~ticks.is_between(-(-_EARLIEST // micros), _LATEST // micros)).sum())


def _texts(name: str, chunks: Iterable[_Array]) -> pl.Series:
    """Return texts whose characters are kept once for each entry of the dictionary, however often it occurs."""
    parts: list[pl.Series] = []
    for chunk in chunks:
        places, letters = cast("_Encoded", chunk).indices, cast("_Array", cast("_Encoded", chunk).dictionary)
        letters.validate(full=True)  # checks that they are UTF-8, which Polars does not
        parts.append(pl.Series(name, letters, pl.String)[pl.Series(places).cast(pl.UInt32)])
    return pl.concat(parts, rechunk=False) if parts else pl.Series(name, [], pl.String)


def _is_text(kind: pa.DataType) -> bool:
    if pt.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """The first and last key of a row group in which every row has a key."""

    first: datetime
    last: datetime


def bounds_of(keys: pl.Series) -> KeyBounds | None:
    """Return the bounds of keys (any rows); None if there is no row, or a row without a key."""
    first, last = cast("datetime | None", keys.min()), cast("datetime | None", keys.max())
    return None if keys.null_count() or first is None or last is None else KeyBounds(first, last)


def wanted_groups(bounds: Iterable[KeyBounds | None], request: ReadRequest) -> list[int]:
    """Return the row groups that may hold a row of the request's range; those without bounds always may."""
    return [number for number, each in enumerate(bounds) if each is None or _overlaps(each, request)]


def stated_bounds(file: pq.FileMetaData) -> list[KeyBounds | None]:
    """Return each row group's bounds by the file's statistics, which are reliable only in files that we wrote."""
    return [_stated(file.row_group(number)) for number in range(file.num_row_groups)]


def as_utc(moment: datetime) -> datetime:
    """Return a time in UTC; one without a time zone counts as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _stated(group: pq.RowGroupMetaData) -> KeyBounds | None:
    chunks = (group.column(position) for position in range(group.num_columns))
    stated = next((chunk.statistics for chunk in chunks if chunk.path_in_schema == KEY), None)
    if stated is None or not stated.has_min_max or stated.null_count != 0:
        return None
    return KeyBounds(*(as_utc(cast("datetime", bound)) for bound in (stated.min, stated.max)))


def _overlaps(bounds: KeyBounds, request: ReadRequest) -> bool:
    late = request.start is not None and bounds.last < as_utc(request.start)
    early = request.end is not None and bounds.first > as_utc(request.end)
    return not (late or early)
