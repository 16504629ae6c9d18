"""Tables shared by all pairs, read from the warehouse once and kept as files: every further pair reads those.

Belongs here: which tables are shared, their files, and when a file still is the table. Does not: reading a
warehouse, or aligning. 411 of a pair's 667 tables, three quarters of its columns, are the same for all 28 pairs.
"""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import Record, SourceTable
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.files import atomic_path, remove_partials
from bqx_assets.base.names import KEY, check_identifier
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.catalogue.families import FAMILIES, FEATURES_DATASET, PAIR_COLUMN, family_of
from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.read import POLARS_TYPES
from bqx_assets.extract.slabs import source_of
from bqx_assets.extract.warehouse import ReadRequest, Warehouse

_ROW_GROUP_ROWS = 32_768
"""Rows that are in memory while a file is written or read: 60 MB of the widest table."""


class StagedTable(Record):
    """What a staged file holds, and of which state of the table."""

    warehouse: str
    source: SourceTable
    columns: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    size_bytes: int
    crc32c: int

    def serves(self, request: ReadRequest) -> bool:
        """Return whether the request's rows are in the file: same state of the table, enough columns and days.

        The snapshot is no part, as in a slab's fingerprint: a table last modified before two snapshots has the same
        rows at both.
        """
        after = self.start is None or (request.start is not None and request.start >= self.start)
        before = self.end is None or (request.end is not None and request.end <= self.end)
        return self.source == source_of(request.table) and {*request.columns} <= {*self.columns} and after and before


class StagedWarehouse:
    """Another warehouse whose shared tables are read once into a folder. For several threads and processes.

    Pairs, and the targets, are read through. The folder needs no tidying: a changed table replaces its file.
    """

    def __init__(self, inner: Warehouse, folder: Path) -> None:
        self._inner = inner
        self._folder = folder

    @property
    def name(self) -> str:
        """The inner warehouse's."""
        return self._inner.name

    @property
    def read_bytes(self) -> int:
        """What the inner warehouse bills: nothing for what was staged before."""
        return self._inner.read_bytes

    def describe(self) -> Sequence[TableDescription]:
        """Return what the inner warehouse has."""
        return self._inner.describe()

    def snapshot(self) -> datetime:
        """Return the inner warehouse's."""
        return self._inner.snapshot()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, from the staged file if the table is shared; it is staged first where it is not yet.

        **Cost**: memory of a few batches; on disk the table's wanted columns, compressed. A file is checksummed
        before it is used, and one table is staged by one reader while the others wait for it.

        Raises what the inner warehouse raises.
        """
        if not is_shared(request.table):
            yield from self._inner.read(request)
            return
        with self._exclusive(request.table):
            if not (self.holds(request) and self._intact(request.table)):
                self._stage(request)
            # Opened here, read below: whoever replaces the file meanwhile does not change what is read.
            file = self._file(request.table).open("rb")
        with file:
            yield from _rows(file, request)

    def holds(self, request: ReadRequest) -> bool:
        """Return whether reading this would be free, by the file's record; its bytes are checked when it is used."""
        record, file = self._record(request.table), self._file(request.table)
        return record is not None and record.serves(request) and file.is_file()

    def _intact(self, table: TableDescription) -> bool:
        record, file = self._record(table), self._file(table)
        if record is None or file.stat().st_size != record.size_bytes:
            return False
        return crc32c_of_file(file) == record.crc32c

    def _stage(self, request: ReadRequest) -> None:
        """Read the table into its file: the request, and what the file had of the same state of the table."""
        wanted = _widened(request, self._record(request.table))
        file = self._file(request.table)
        self._record_path(request.table).unlink(missing_ok=True)
        with atomic_path(file) as temp:
            _write(self._inner.read(wanted), wanted, temp)
            record = StagedTable(
                warehouse=self._inner.name,
                source=source_of(request.table),
                columns=wanted.columns,
                start=wanted.start,
                end=wanted.end,
                size_bytes=temp.stat().st_size,
                crc32c=crc32c_of_file(temp),
            )
        record.save(self._record_path(request.table))

    @contextmanager
    def _exclusive(self, table: TableDescription) -> Generator[None]:
        """Hold the table's file, among threads and processes; clears what dead ones left half-written."""
        folder = self._file(table).parent
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{table.table}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            remove_partials(folder)
            yield

    def _file(self, table: TableDescription) -> Path:
        folder = self._folder / check_identifier(table.dataset, "dataset")
        return folder / f"{check_identifier(table.table, 'table')}.parquet"

    def _record_path(self, table: TableDescription) -> Path:
        return self._file(table).with_suffix(".json")

    def _record(self, table: TableDescription) -> StagedTable | None:
        try:
            record = StagedTable.load(self._record_path(table))
        except CheckpointCorrupt:
            return None
        return record if record.warehouse == self._inner.name else None


def is_shared(table: TableDescription) -> bool:
    """Return whether all pairs read the same rows of a table: a feature table of no pair, without a ``pair`` column."""
    if table.dataset != FEATURES_DATASET or PAIR_COLUMN in table.types():
        return False
    families = {family_of(table.table, pair) for pair in ALL_PAIRS}
    return not families & {None, FAMILIES[0]}


def _widened(request: ReadRequest, before: StagedTable | None) -> ReadRequest:
    """The request over whole days, which costs no more as tables are partitioned by day, and over what was staged.

    So pairs whose spines begin some days apart end in one range, and two settings' columns in one file.
    """
    start = request.start and datetime.combine(request.start.date(), time(), request.start.tzinfo)
    end = request.end and datetime.combine(request.end.date(), time.max, request.end.tzinfo)
    columns = request.columns
    if before is not None and before.source == source_of(request.table):
        start = min(start, before.start) if start and before.start else None
        end = max(end, before.end) if end and before.end else None
        columns = tuple(dict.fromkeys([*columns, *before.columns]))
    return replace(request, start=start, end=end, columns=columns)


def _write(batches: Iterator[pa.RecordBatch], request: ReadRequest, path: Path) -> None:
    """Write batches as they come; a table without rows becomes a file of its described columns."""
    columns = list(request.columns)
    first = next(batches, None)
    if first is None:
        types = request.table.types()
        empty = pl.DataFrame(schema={name: POLARS_TYPES[types[name]] for name in columns})
        pq.write_table(empty.to_arrow(), path)
        return
    schema = first.select(columns).schema
    # Dictionaries of numbers that never repeat are memory and time for nothing; the few texts compress without.
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="zstd", compression_level=1) as writer:
        for batch in itertools.chain([first], batches):
            writer.write_batch(batch.select(columns), row_group_size=_ROW_GROUP_ROWS)


def _rows(file: BinaryIO, request: ReadRequest) -> Iterator[pa.RecordBatch]:
    """Yield a staged file's rows of the request; those without a key too, for extraction to report."""
    key = pc.field(KEY)
    within = pc.scalar(value=True)
    if request.start is not None:
        within &= key >= _moment(request.start)
    if request.end is not None:
        within &= key <= _moment(request.end)
    for batch in pq.ParquetFile(file).iter_batches(_ROW_GROUP_ROWS, columns=list(request.columns)):
        yield batch.filter(within | key.is_null())


def _moment(bound: datetime) -> pa.Scalar[Any]:
    aware = bound.replace(tzinfo=UTC) if bound.tzinfo is None else bound
    return pa.scalar(aware, pa.timestamp("us", tz="UTC"))
