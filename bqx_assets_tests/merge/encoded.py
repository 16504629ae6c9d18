"""Slabs of every value that a reader could get wrong, in each encoding and compression that a column may have.

Belongs here: the values, the ways of writing them, and a checkpoint folder that has all values in all ways. Does not:
the readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.names import output_column
from bqx_assets.extract import encoding
from bqx_assets.merge.chunks import moved
from bqx_assets.merge.footer import Footer, RowGroup, merge_footers, read_footer
from bqx_assets_tests.frames import type_name
from bqx_assets_tests.merge.slabs import slab_folder

GROUP_ROWS, GROUPS, PAGE_ROWS = 2_100, 3, 1_001
"""Three pages a chunk, of which none ends where a block of an encoding does."""
ROWS = GROUPS * GROUP_ROWS
_KNOWN_FROM = GROUP_ROWS + PAGE_ROWS + 99
"""Row of the first value after a warm-up: a row group and a page have none."""
_TIME = pl.Datetime("us", "UTC")
_SHORT_DICTIONARY_BYTES = 4_000
"""Of a longer dictionary the rest of the chunk is PLAIN; pyarrow's own limit is 1 MiB."""

OVERFLOWING = "OVERFLOWING_DICTIONARY"


class Way(NamedTuple):
    """One way to write a column: an encoding and a compression, as pyarrow names them."""

    encoding: str
    codec: str

    @property
    def table(self) -> str:
        """The table whose columns are written so."""
        return f"{self.encoding}_{self.codec}".lower()


_CODECS = ("zstd", "lz4", "snappy", "none")
_DICTIONARIES = ("RLE_DICTIONARY", OVERFLOWING)
_CODECS_OF_DICTIONARIES = ("zstd", "snappy")
"""A chunk without any value has an empty dictionary. Neither hyparquet nor fastparquet reads one of every codec: LZ4's
empty block is out of range for the former, and no bytes at all are no number of bytes for the latter."""
_OF_ANY = ("PLAIN", *_DICTIONARIES)
_OF_INTEGERS = (*_OF_ANY, "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED")
ENCODINGS = {
    "FLOAT64": (*_OF_ANY, "BYTE_STREAM_SPLIT"),
    "INT64": _OF_INTEGERS,
    "TIMESTAMP": _OF_INTEGERS,
    "STRING": _OF_ANY,
    "BOOL": ("PLAIN",),
}
"""The encodings of each type."""
VARIED = "varied"
"""The table whose columns have another encoding and compression in each row group."""


def ways_of(kind: str) -> list[Way]:
    """Return all ways to write a column of the type."""
    return [
        Way(encoding, codec)
        for encoding in ENCODINGS[kind]
        for codec in (_CODECS_OF_DICTIONARIES if encoding in _DICTIONARIES else _CODECS)
    ]


def awkward_values() -> pl.DataFrame:
    """Return a column of each type's worst values: extremes, and nulls that are scattered, first or all there is."""
    rng = np.random.default_rng(14)
    bits = rng.integers(-(2**63), 2**63 - 1, ROWS)
    weekends = np.arange(ROWS) // 500 * 2_880
    plain = {
        "float": pl.Series(rng.standard_normal(ROWS)),
        "integer": pl.Series(rng.integers(-(2**40), 2**40, ROWS)),
        "time": pl.Series((28_000_000 + np.arange(ROWS) + weekends) * 60_000_000).cast(_TIME),
        "text": pl.Series([f"Ω{number}" for number in range(ROWS)]),
        "flag": pl.Series(rng.random(ROWS) < 0.3),
    }
    scattered, late = pl.Series(rng.random(ROWS) < 0.9), pl.Series(np.arange(ROWS) >= _KNOWN_FROM)
    found: dict[str, pl.Series] = {}
    for name, values in plain.items():
        unknown = pl.Series([None], dtype=values.dtype)
        found |= {
            name: values,
            f"{name}_scattered": values.zip_with(scattered, unknown),
            f"{name}_late": values.zip_with(late, unknown),
            f"{name}_unknown": unknown.new_from_index(0, ROWS),
            f"{name}_constant": values.new_from_index(1, ROWS),
        }
    largest, nan, infinity = float(np.finfo(np.float64).max), float("nan"), float("inf")
    found |= {
        "float_bits": pl.Series(bits.view(np.float64)),  # many a NaN of its own among them
        "float_edges": _cycle([nan, -0.0, None, 0.0, infinity, -infinity, 5e-324, largest, -largest], pl.Float64()),
        "float_rounded": pl.Series(rng.standard_normal(ROWS).round(2)),
        "integer_bits": pl.Series(bits),
        "integer_edges": _cycle([2**63 - 1, -(2**63), None, 0, -1], pl.Int64()),
        "integer_counts": pl.Series(rng.integers(0, 500, ROWS)),
        "time_ages": _cycle([-62_135_596_800_000_000, -1, None, 253_402_300_799_999_999], pl.Int64()).cast(_TIME),
        "text_few": _cycle(["down", "", None, "Ω𝄞é", "up"], pl.String()),
        "text_empty": pl.Series([""]).new_from_index(0, ROWS),
        "text_long": _cycle(["x" * 1_500, "€" * 700, None, "y"], pl.String()),
    }
    return pl.DataFrame([values.alias(name) for name, values in found.items()])


def _cycle(values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    return pl.Series(values, dtype=dtype)[np.arange(ROWS) % len(values)]


def write_encoded(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    """Write slabs of all values in all ways; return which value each of the training file's columns has."""
    values = awkward_values()
    kinds = {name: type_name(dtype) for name, dtype in values.schema.items()}
    ways = list(dict.fromkeys(way for kind in ENCODINGS for way in ways_of(kind)))
    tables = {
        way.table: values.select(name for name, kind in kinds.items() if way.encoding in ENCODINGS[kind])
        for way in ways
    } | {VARIED: values}
    encoded_as = {way.table: way for way in ways}

    def writer(path: Path, frame: pl.DataFrame, _: object) -> Any:
        schema = encoding.as_arrow(frame.clear()).schema
        way = encoded_as.get(path.stem, Way("PLAIN", "zstd"))
        if path.stem != VARIED:
            return _writer(path, schema, dict.fromkeys(schema.names, way))
        turns = {name: ways_of(kinds[name.rpartition("__")[2]]) for name in schema.names}
        numbered = list(enumerate(turns.items()))
        rotations = [{name: turn[(n + group) % len(turn)] for n, (name, turn) in numbered} for group in range(GROUPS)]
        return _VariedWriter(path, rotations)

    patch.setattr(encoding, "parquet_writer", writer)
    slab_folder(folder, tables, ROWS, GROUP_ROWS)
    return {output_column(table, name): name for table, frame in tables.items() for name in frame.columns}


def _writer(path: Path, schema: pa.Schema, ways: dict[str, Way]) -> pq.ParquetWriter:
    dictionaries = [name for name, way in ways.items() if way.encoding in _DICTIONARIES]
    overflowing = OVERFLOWING in {way.encoding for way in ways.values()}
    options: dict[str, Any] = {
        "column_encoding": {name: way.encoding for name, way in ways.items() if name not in dictionaries},
        "use_dictionary": dictionaries,
        "compression": {name: way.codec for name, way in ways.items()},
        "compression_level": {name: 1 for name, way in ways.items() if way.codec == "zstd"},
        "dictionary_pagesize_limit": _SHORT_DICTIONARY_BYTES if overflowing else None,
        "max_rows_per_page": PAGE_ROWS,
    }
    return pq.ParquetWriter(path, schema, store_schema=False, **options)


class _VariedWriter:
    """Writes each row group in ways of its own: as a file by itself, whose footers become one."""

    def __init__(self, path: Path, ways: Sequence[dict[str, Way]]) -> None:
        self._path = path
        self._ways = ways
        self._parts: list[Path] = []
        self._metadata: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def write_table(self, group: pa.Table, row_group_size: int) -> None:
        part = self._path.with_suffix(f".{len(self._parts)}")
        with _writer(part, group.schema, self._ways[len(self._parts)]) as writer:
            writer.write_table(group, row_group_size=row_group_size)
        self._parts.append(part)

    def add_key_value_metadata(self, metadata: dict[str, str]) -> None:
        self._metadata = metadata

    def __exit__(self, *_: object) -> None:
        whole: Footer | None = None
        for footer in map(read_footer, self._parts):
            whole = footer if whole is None else _below(whole, footer)
        assert whole is not None
        data = b"".join(part.read_bytes() for part in self._parts)
        self._path.write_bytes(data + merge_footers([whole], whole.row_groups, self._metadata))


def _below(upper: Footer, lower: Footer) -> Footer:
    """The footer of two files of the same columns, one behind the other: the rows of both."""
    groups = [RowGroup(rows, tuple(moved(each, upper.file_bytes) for each in chunks)) for rows, chunks in lower.groups]
    return replace(upper, file_bytes=upper.file_bytes + lower.file_bytes, groups=(*upper.groups, *groups))
