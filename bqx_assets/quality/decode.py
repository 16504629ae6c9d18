"""Columns decoded a few at a time: which ones together, and from where.

Belongs here: groups of columns under a byte bound, and reading a group. Does not: what values mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.merge.footer import Footer
from bqx_assets.quality.statistics import Stated

GROUP_BYTES = 64 << 20
"""Decoded size of the columns in work at once; one column of a very long file may pass it."""
_GROUP_COLUMNS = 512
_CELL_BYTES = {"BOOL": 1, "STRING": 16}


def column_groups(
    footer: Footer, stated: Sequence[Sequence[Stated]], places: Sequence[int], bound_bytes: int
) -> list[list[int]]:
    """Return ``places`` (column positions, ascending) cut into groups of at most ``bound_bytes`` decoded."""
    types = footer.types
    groups: list[list[int]] = []
    room_bytes = 0
    for place in places:
        size_bytes = _CELL_BYTES.get(types[place] or "", 8) * footer.rows
        if types[place] == "STRING":
            size_bytes += sum(group[place].raw_bytes for group in stated)
        if not groups or size_bytes > room_bytes or len(groups[-1]) == _GROUP_COLUMNS:
            groups.append([])
            room_bytes = bound_bytes
        groups[-1].append(place)
        room_bytes -= size_bytes
    return groups


class Unreadable(Exception):
    """A group of columns could not be decoded."""


class ColumnReader:
    """Reads any columns of one file by position; its footer is parsed once.

    Arrow's reader is used, for Polars' parses the whole footer again at each call: 0.2 s at 17,038 columns.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Unreadable(_first_line(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close(force=True)

    def row_groups(self, places: Sequence[int], *, check_texts: bool) -> Iterator[pl.DataFrame]:
        """Give each row group's columns at ``places`` (ascending), named by position.

        ``check_texts``: also check that texts are UTF-8, where no checksum vouches for the bytes. Raises Unreadable.
        """
        try:
            for number in range(int(self._file.num_row_groups)):
                table: pa.Table = self._file.reader.read_row_group(
                    number, column_indices=list(places), use_threads=True
                )
                table = table.rename_columns([str(place) for place in places])
                for column in table.itercolumns() if check_texts else ():
                    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                        column.validate(full=True)
                yield pl.DataFrame(table)
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise Unreadable(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
