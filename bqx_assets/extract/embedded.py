"""Reads the embedded warehouse: a folder of Parquet tables, described and read like BigQuery's."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.column_types import type_of_arrow
from bqx_assets.base.errors import BqxError, TableChanged, TableMissing, TableUnreadable
from bqx_assets.base.files import open_regular
from bqx_assets.base.frame_files import TAIL_BYTES, end_bytes_of
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import first_line
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.columns import ColumnFile, KeyBounds, arrow_file, bounds_of, wanted_groups
from bqx_assets.extract.embedded_layout import (
    DATASETS,
    odd_entries,
    refuse_unusable,
    table_path,
    table_paths,
)
from bqx_assets.extract.embedded_months import months_or_none
from bqx_assets.extract.kept_months import KeptMonths, keep_months, load_months
from bqx_assets.extract.warehouse import MonthState, Outage, ReadRequest

_PIECE_BYTES = 16 << 20
"""Decoded size of the columns that are decoded at once."""
_READERS = 4
_MOST_FOOTER_BYTES = 1 << 26
"""Most bytes of a footer that are read for a table's etag."""


class LocalWarehouse:
    """The tables ``root/{dataset}/{table}.parquet``. Safe to use from several threads; opens no file before a call.

    A file that cannot be read is described with its ``defect``, so that this table alone fails.
    """

    def __init__(self, root: Path, pair: Pair = ALL_PAIRS[0]) -> None:
        self._root = root
        self._pair = pair
        """The pair that is read first: what a missing warehouse is to be made of."""
        self._known: dict[Path, tuple[tuple[int, int], TableDescription]] = {}
        self._bounds: dict[tuple[str, str, str], list[KeyBounds | None]] = {}
        """Bounds by dataset, table and etag: a table is read in time slices, and its keys are decoded only once."""
        self._months: dict[tuple[str, str, str], Mapping[str, MonthState] | None] = {}
        """States by the same three, since every byte of a file is read for them."""
        self._lock = threading.Lock()
        self._outage = Outage()

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._root)

    @property
    def outage(self) -> Outage:
        """The outage of this folder, which always answers; a run that ends also ends its reads."""
        return self._outage

    @property
    def read_bytes(self) -> int:
        """Zero, since nothing is billed."""
        return 0

    def describe(self) -> Sequence[TableDescription]:
        """Return every table, by the files' footers; an unchanged file is not opened again.

        **Cost**: about 1 ms a table the first time.

        Raises:
            TableMissing: there is no warehouse. TableUnreadable: ``bqx warehouse create`` was interrupted.
        """
        refuse_unusable(self._root, self._pair)
        paths = [(dataset, path) for dataset in DATASETS for path in table_paths(self._root, dataset)]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="describe") as pool:
            found = [*pool.map(self._describe, *zip(*paths, strict=True))] if paths else []
        odd = [_defective(dataset, *each) for dataset in DATASETS for each in odd_entries(self._root, dataset).items()]
        return [*(description for description in found if description is not None), *odd]

    def states(self, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the etags of those tables that exist. Raises as :meth:`describe` does."""
        refuse_unusable(self._root, self._pair)
        found = {each: self._describe(each[0], table_path(self._root, *each)) for each in tables}
        return {each: description.etag for each, description in found.items() if description is not None}

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """Return the states of months by the bytes of the files; a file of which they are known is not read again.

        A file that cannot be read, or is not the one that was described, is left out: ``read`` says what is wrong.

        **Cost**: little for a file whose months were kept by :meth:`keep_months`; else the first time 0.2 s of a
        processor a GB and 0.04 s a million rows. Raises as :meth:`describe` does.
        """
        refuse_unusable(self._root, self._pair)
        kept = load_months(self._root)
        states = in_threads(lambda table: self._months_of(table, kept), tables, _READERS, "months")
        return {
            (each.dataset, each.table): found for each, found in zip(tables, states, strict=True) if found is not None
        }

    def keep_months(self) -> None:
        """Keep the states of months beside the tables, so that no later process reads unchanged files for them.

        **Cost**: that of :meth:`months` for all tables. Raises as :meth:`describe` does, and OSError.
        """
        keep_months(self._root, self.describe())

    @property
    def months_refused(self) -> str:
        """An empty text: a folder refuses nothing."""
        return ""

    def snapshot(self) -> datetime:
        """Return the present time. A folder keeps no earlier state, so a file that is written later is refused.

        Raises as :meth:`describe` does.
        """
        refuse_unusable(self._root, self._pair)
        return datetime.now(UTC)

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows in file order, columns and types as described, rows without a key included.

        **Cost**: the requested rows, and three times a few columns of their row groups, of ``_PIECE_BYTES`` or a single
        one. Of row groups outside the time range only the key is read, once, since statistics may be wrong.

        Raises:
            TableMissing: no such file. TableUnreadable: it is corrupt, or its row count differs from its footer's.
            TableChanged: it is not the file that was described.
            BadSetting: a table or dataset name that is no identifier.
            ReadsEnded: the run ends.
        """
        self._outage.go_on()
        table = request.table
        path = table_path(self._root, table.dataset, table.table)
        refuse_unusable(self._root, self._pair)
        try:
            with open_regular(path) as file:
                _refuse_changed(file, table)
                yield from self._batches(file, request)
                _refuse_changed(file, table)
        except FileNotFoundError as error:
            raise TableMissing(
                table.table, got="no such file", expected=str(path), cure="Restore the table, then extract again."
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(table.table, error, path) from error

    def _batches(self, file: BinaryIO, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        columns = ColumnFile(file, request.table.table)
        _refuse_miscounted(columns, request.table)
        groups = self._groups(columns, request)
        kept = _kept(columns, groups, request)
        if kept is not None and kept.is_empty():
            return
        pieces = [_piece(columns, groups, some, kept) for some in _few(columns, request.columns)]
        yield from pl.concat(pieces, how="horizontal").to_arrow().to_batches()

    def _groups(self, columns: ColumnFile, request: ReadRequest) -> list[int]:
        """Return the row groups that may contain a row of the request, by the keys in them."""
        if request.start is None and request.end is None:
            return columns.groups
        state = (request.table.dataset, request.table.table, request.table.etag)
        with self._lock:
            bounds = self._bounds.get(state)
        if bounds is None:
            bounds = [bounds_of(columns.read([KEY], [group]).to_series()) for group in columns.groups]
            with self._lock:
                self._bounds[state] = bounds
        return wanted_groups(bounds, request)

    def _months_of(self, table: TableDescription, kept: KeptMonths) -> Mapping[str, MonthState] | None:
        self._outage.go_on()
        state = (table.dataset, table.table, table.etag)
        with self._lock:
            if state in self._months:
                return self._months[state]
        try:
            with open_regular(table_path(self._root, table.dataset, table.table)) as file:
                _refuse_changed(file, table)
                found = kept.of(file, table) or months_or_none(file, table)
                _refuse_changed(file, table)
        except (BqxError, OSError):
            return None
        if found is None:
            return None
        with self._lock:
            self._months[state] = found.months
            self._bounds[state] = found.bounds  # the keys need not be decoded again
        return found.months

    def _describe(self, dataset: str, path: Path) -> TableDescription | None:
        """Return the description of a file, known if the file is unchanged; None if it was removed meanwhile."""
        try:
            with open_regular(path) as file:
                stat = os.fstat(file.fileno())
                mark = (stat.st_size, stat.st_mtime_ns)
                with self._lock:
                    mark_known, known = self._known.get(path, (None, None))
                if mark_known == mark:
                    return known
                found = _describe(dataset, path.stem, file)
        except FileNotFoundError:
            return None  # removed after it was listed, so it counts as missing
        except OSError as error:
            return _defective(dataset, path.stem, first_line(error))
        with self._lock:
            self._known[path] = (mark, found)
        return found


def _describe(dataset: str, table: str, file: BinaryIO) -> TableDescription:
    stat = os.fstat(file.fileno())
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    try:
        parquet = pq.ParquetFile(arrow_file(file))
        schema = parquet.schema_arrow
        columns = tuple((name, type_of_arrow(kind)) for name, kind in zip(schema.names, schema.types, strict=True))
        return TableDescription(dataset, table, columns, parquet.metadata.num_rows, stat.st_size, modified, _etag(file))
    except (pa.ArrowException, OSError) as error:
        return TableDescription(dataset, table, (), 0, stat.st_size, modified, _etag(file), defect=first_line(error))


def _defective(dataset: str, name: str, defect: str) -> TableDescription:
    return TableDescription(dataset, name, (), 0, 0, datetime.fromtimestamp(0, UTC), "", defect=defect)


def _etag(file: BinaryIO) -> str:
    """Return size, time and checksum of the footer, which holds every column's sizes, offsets and bounds."""
    stat = os.fstat(file.fileno())
    end_bytes = end_bytes_of(file) or TAIL_BYTES
    file.seek(max(0, stat.st_size - min(end_bytes, TAIL_BYTES + _MOST_FOOTER_BYTES)))
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}-{crc32c(file.read()):08x}"


def _refuse_changed(file: BinaryIO, table: TableDescription) -> None:
    now = _etag(file)
    file.seek(0)
    if now != table.etag:
        raise TableChanged(
            table.table,
            got=f"file {now}",
            expected=f"{table.etag}, as it was described",
            cure="Extract again: a new run describes it anew.",
        )


def _few(columns: ColumnFile, names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the columns in groups of at most ``_PIECE_BYTES``, or of a single column.

    Arrow holds whole row groups three times: encoded, decompressed and decoded. All columns of a wide table at once
    took 230 MB for 32 MB of rows.
    """
    some: list[str] = []
    room_bytes = _PIECE_BYTES
    for name in names:
        size_bytes = columns.decoded_bytes(name)
        if some and size_bytes > room_bytes:
            yield some
            some, room_bytes = [], _PIECE_BYTES
        some.append(name)
        room_bytes -= size_bytes
    yield some


def _kept(columns: ColumnFile, groups: Sequence[int], request: ReadRequest) -> pl.Series | None:
    """Return the positions of the request's rows in the row groups; None if all rows are wanted."""
    ranged = request.start is not None or request.end is not None
    deciding = [*([KEY] if ranged else []), *([PAIR_COLUMN] if request.pair is not None else [])]
    if not deciding:
        return None
    wanted = columns.read(deciding, groups).select(_wanted_rows(request)).to_series().fill_null(value=False)
    return None if wanted.all() else wanted.arg_true()


def _piece(columns: ColumnFile, groups: Sequence[int], names: Sequence[str], kept: pl.Series | None) -> pl.DataFrame:
    """Return some columns of row groups, with the described types."""
    rows = columns.read(names, groups)
    # Gathered, not filtered: filtered neighbouring rows would be a view, which holds all others in memory.
    return rows if kept is None else rows.select(pl.all().gather(kept))


def _refuse_miscounted(columns: ColumnFile, table: TableDescription) -> None:
    held = columns.row_count(columns.groups)
    if held != table.rows:
        msg = f"{held:,} rows in its row groups, {table.rows:,} by its footer"
        raise pa.ArrowInvalid(msg)


def _wanted_rows(request: ReadRequest) -> pl.Expr:
    """Return the filter of pair and time range. It keeps rows without a key, a defect that the extraction reports."""
    wanted = pl.lit(value=True) if request.pair is None else pl.col(PAIR_COLUMN) == request.pair
    if request.start is not None:
        wanted &= (pl.col(KEY) >= request.start).fill_null(value=True)
    if request.end is not None:
        wanted &= (pl.col(KEY) <= request.end).fill_null(value=True)
    return wanted


def _unreadable(table: str, error: Exception, path: Path) -> BqxError:
    return TableUnreadable(
        table, got=first_line(error), expected=f"a Parquet file at {path}", cure="Restore the table."
    )
