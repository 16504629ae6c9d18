"""Collects the rows on which each table has values, while a pass decodes its columns one after another.

A table that lacks rows of the spine, or compares series of which one lacks bars, has nulls in all its columns there.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.column_types import is_number

Rows = npt.NDArray[np.int64]


class TableRows:
    """The rows of each table: in each row group those of its column of numbers with the fewest nulls.

    **Cost**: a bit for each row of a table that lacks some; tables that lack the same rows share them.
    """

    def __init__(self, tables: dict[str, str]) -> None:
        """``tables`` has the table of each column that counts, by the column's name in the file."""
        self._tables = tables
        self._best: dict[str, dict[int, tuple[int, int, bytes]]] = {}
        """By table and first row of the row group: its rows, its nulls, and the bits of those that are known."""
        self._known: dict[bytes, bytes] = {}

    @classmethod
    def of(cls, manifest: Manifest) -> TableRows:
        """Return an empty collection for the features of a manifest that are numbers."""
        return cls(
            {
                column.name: slab.provenance.source.table
                for slab in manifest.extraction.features()
                for column in slab.provenance.columns
                if is_number(column.type)
            }
        )

    def add(self, column: str, first_row: int, values: pl.Series) -> None:
        """Take the values of a column in the row group that begins at a row of the file."""
        table = self._tables.get(column)
        if table is None:
            return
        groups = self._best.setdefault(table, {})
        nulls = values.null_count()
        if first_row in groups and groups[first_row][1] <= nulls:
            return
        bits = np.packbits(values.is_not_null().to_numpy()).tobytes() if nulls else b""
        groups[first_row] = (len(values), nulls, self._known.setdefault(bits, bits))

    def tables(self) -> Iterable[str]:
        """Return the tables of which a column was seen."""
        return self._best.keys()

    def count(self, table: str) -> int:
        """Return the number of rows on which a table has values."""
        return sum(rows - nulls for rows, nulls, _ in self._best.get(table, {}).values())

    def places(self, table: str) -> Rows:
        """Return the positions of these rows in the file, ascending."""
        found = [np.empty(0, np.int64)]
        for first, (rows, nulls, bits) in sorted(self._best.get(table, {}).items()):
            if nulls:
                known = np.unpackbits(np.frombuffer(bits, np.uint8), count=rows)
                found.append(np.flatnonzero(known) + first)
            else:
                found.append(np.arange(first, first + rows))
        return np.concatenate(found)
