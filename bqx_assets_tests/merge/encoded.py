"""Slabs of every value that a reader could get wrong, in each encoding that the product may choose for its type.

Belongs here: the values, the encodings, and a checkpoint folder that has all values in all of them, written as the
product writes. Does not: the readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.names import KEY, output_column
from bqx_assets.extract import choose, encoding, pieces
from bqx_assets.extract.encodings import POLICIES, Encoding
from bqx_assets_tests.frames import type_name
from bqx_assets_tests.merge.slabs import slab_folder

GROUP_ROWS, GROUPS, PAGE_ROWS = 2_100, 3, 1_001
"""Three pages a chunk, of which none ends where a block of an encoding does."""
PAGES = GROUPS * 3
"""The number of a column's pages."""
ROWS = GROUPS * GROUP_ROWS
_KNOWN_FROM = GROUP_ROWS + PAGE_ROWS + 99
"""Row of the first value after a warm-up: a row group and a page have none."""
_TIME = pl.Datetime("us", "UTC")
_SHORT_DICTIONARY_BYTES = 4_000
"""Of a longer dictionary the rest of the chunk is PLAIN; pyarrow's own limit is 1 MiB."""
_BATCH_ROWS = 500
"""After as many values a dictionary's length is looked at."""
VARIED = "varied"
"""The table whose columns have another encoding in each piece."""
_OVERFLOWING = "overflowing_"
"""Begins the names of tables whose dictionaries are too long."""


def encodings_of(kind: str) -> list[Encoding]:
    """Return the encodings that any setting may choose for columns of a type."""
    of_type = COLUMN_TYPES[kind].polars
    found = [each for policy in POLICIES.values() for each in choose.allowed(of_type, policy)]
    return list(dict.fromkeys(found))


def table_of(each: Encoding) -> str:
    """Return the name of the table whose columns are stored so."""
    return str(each).replace(" ", "_")


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
    """Write slabs of all values in all encodings; return which value each of the training file's columns has."""
    values = awkward_values()
    kinds = {name: type_name(dtype) for name, dtype in values.schema.items()}
    every = list(dict.fromkeys(each for kind in COLUMN_TYPES for each in encodings_of(kind)))
    tables, of_table = {VARIED: values}, dict[str, Encoding]()
    for each in every:
        of_table[table_of(each)] = each
        tables[table_of(each)] = values.select(name for name, kind in kinds.items() if each in encodings_of(kind))
        if each.kind == "dictionary":
            of_table[_OVERFLOWING + table_of(each)] = each
            tables[_OVERFLOWING + table_of(each)] = tables[table_of(each)]

    turns = {output_column(VARIED, name): encodings_of(kind) for name, kind in kinds.items()}
    rotation = count()

    def chosen(rows: pl.DataFrame, *_: object) -> dict[str, Encoding]:
        if KEY in rows.columns:
            return choose.choose(rows, "balanced", {})
        if rows.columns == list(turns):
            piece = next(rotation)
            return {name: turn[(n + piece) % len(turn)] for n, (name, turn) in enumerate(turns.items())}
        return dict.fromkeys(rows.columns, of_table[rows.columns[0].partition("__")[0]])

    patch.setattr(pieces, "choose", chosen)
    patch.setattr(encoding, "pq", _ShortPages)
    slab_folder(folder, tables, ROWS, GROUP_ROWS)
    return {output_column(table, name): name for table, frame in tables.items() for name in frame.columns}


class _ShortPages:
    """pyarrow's module as the product sees it, with pages and dictionaries as short as these tables are."""

    @staticmethod
    def ParquetWriter(output: Any, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:  # noqa: N802 -- as pyarrow's
        short: dict[str, Any] = {"max_rows_per_page": PAGE_ROWS, "write_batch_size": _BATCH_ROWS}
        if schema.names[0].startswith(_OVERFLOWING):
            short["dictionary_pagesize_limit"] = _SHORT_DICTIONARY_BYTES
        return pq.ParquetWriter(output, schema, **options | short)
