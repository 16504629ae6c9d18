"""Reads tables that all pairs share from the warehouse once, and keeps them as objects, which later pairs read.

411 of a pair's 667 tables, with three quarters of its columns, are the same for all 28 pairs. Where a
read names its period, a table has an object for each. An object is used only while its table is unchanged, in that
period, and only for the columns and days that it holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import fingerprint
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import ChecksumMismatch, FolderBusy, ObjectMissing, PreconditionFailed
from bqx_assets.base.files import Blocks, JoinedBlocks
from bqx_assets.base.names import KEY, check_identifier
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.store.lease import exclusive
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore, version_of
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET, PAIR_COLUMN, families, family_of
from bqx_assets.extract.columns import as_utc, stated_bounds, wanted_groups
from bqx_assets.extract.encodings import COMPRESSION, COMPRESSION_LEVEL
from bqx_assets.extract.object_file import CheckedFile, block_checksums
from bqx_assets.extract.slab_records import source_of
from bqx_assets.extract.warehouse import InFront, ReadRequest, Warehouse

_ROW_GROUP_ROWS = 32_768
"""Number of rows that are decoded at once: 60 MB of the widest table."""
_LEASE_SECONDS = 20.0
"""Duration of the lease on a table that is being staged. Others look at it each second, and take over when it ends."""
_LOOK_SECONDS = 1.0
_RUN_BYTES = 64 << 20
"""Decoded size of a run of days: a larger range is staged in several, one after another."""
_GROUP_BYTES = 16 << 20
"""Decoded size of a row group: many small ones of a wide table take longer to encode and to decode."""
_SOURCE, _COLUMNS, _START, _END, _BLOCKS = "source", "columns", "start", "end", "blocks"
"""Metadata of a staged object: the state of its table, the columns and the range of days that it holds, and the
checksums of its blocks. A range without the key of a bound is open at that end."""


class StagedWarehouse(InFront):
    """A warehouse in front of another one, whose shared tables it reads once into a store.

    Tables of a single pair, and the targets, are read from the other warehouse each time. Several threads, processes
    and containers may use one store. Nothing needs to be cleaned up: a changed table replaces its object.
    """

    def __init__(self, inner: Warehouse, store: ObjectStore, prefix: str = "") -> None:
        super().__init__(inner)
        self.store = store
        self.prefix = prefix
        self._listed: dict[str, ObjectInfo] | None = None

    def describe(self) -> Sequence[TableDescription]:
        """Return the tables of the inner warehouse."""
        self._listed = None
        return super().describe()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows. A shared table is read from its staged object, and is staged first if it is not yet.

        **Cost**: the rows and 16 MiB of the object in memory. Only the row groups that may hold the range are read, and
        every byte is checked by its block's CRC32C before it is used. One reader stages a table while the others wait
        for it, and has the encoded object in memory meanwhile.

        Raises what the inner warehouse and the store raise.
        """
        if is_shared(request.table):
            yield from self._staged(request)
        else:
            yield from self._inner.read(request)

    def holds(self, request: ReadRequest) -> bool:
        """Return whether this read would be free, by a listing that is made once after each ``describe``."""
        listed = self._listed
        if listed is None:
            listed = self._listed = {info.name: info for info in self.store.list_objects(self.prefix)}
        info = listed.get(self._name(request))
        return info is not None and self._serves(info, request)

    def _staged(self, request: ReadRequest) -> list[pa.RecordBatch]:
        """Return the request's rows from the staged object, which the first reader makes."""
        while True:
            self.outage.go_on()
            rows = self._fetch(request)
            if rows is not None:
                return rows
            holding = exclusive(self.store, self._name(request), seconds=_LEASE_SECONDS, wait=self.outage.wait)
            try:
                with holding:
                    rows = self._fetch(request)
                    return self._stage(request) if rows is None else rows
            except FolderBusy:
                self.outage.wait(_LOOK_SECONDS)  # another reader stages the table; its object is read next

    def _fetch(self, request: ReadRequest) -> list[pa.RecordBatch] | None:
        """Return the rows of the staged object; None if there is no fitting one, or its bytes are damaged."""
        info = self.store.head(self._name(request))
        if info is None or not self._serves(info, request):
            return None
        try:
            file = CheckedFile(self.store, info, info.metadata[_BLOCKS])
            return list(_rows(pa.PythonFile(cast("Any", file), mode="r"), request))
        except (ObjectMissing, ChecksumMismatch):
            return None

    def _stage(self, request: ReadRequest) -> list[pa.RecordBatch]:
        """Read the table and keep it: the request's days, and those kept before if the table is unchanged.

        Of a request that is one of several for a period, the days of all of them are kept.
        """
        name = self._name(request)
        before = self.store.head(name)
        wanted = _widened(request, before if before and self._is_of(before, request) else None)
        output = Blocks()
        _encode((batch for part in _in_order(wanted) for batch in self._inner.read(part)), wanted, output)
        bounds = {_START: wanted.start, _END: wanted.end}
        facts = {_SOURCE: self._state(request), _BLOCKS: block_checksums(output.blocks)}
        facts |= {_COLUMNS: f"{_marks(wanted):x}"}
        facts |= {key: bound.isoformat() for key, bound in bounds.items() if bound is not None}
        with suppress(PreconditionFailed):  # another reader was quicker; these rows are correct as well
            self.store.put_blocks(name, output.blocks, metadata=facts, only_if=version_of(before))
        self._listed = None
        return list(_rows(pa.PythonFile(cast("Any", JoinedBlocks(output.blocks)), mode="r"), request))

    def _serves(self, info: ObjectInfo, request: ReadRequest) -> bool:
        """Return whether the object has the request's rows: the same state of the table, all columns and all days.

        The snapshot does not matter, as in a slab's fingerprint: a table that was last modified before two snapshots
        has the same rows at both.
        """
        start, end = _bound(info.metadata, _START), _bound(info.metadata, _END)
        after = start is None or (request.start is not None and as_utc(request.start) >= start)
        before = end is None or (request.end is not None and as_utc(request.end) <= end)
        if not self._is_of(info, request) or _marks(request) & ~int(info.metadata[_COLUMNS], 16):
            return False
        return _BLOCKS in info.metadata and after and before

    def _is_of(self, info: ObjectInfo, request: ReadRequest) -> bool:
        return info.metadata.get(_SOURCE) == self._state(request) and _COLUMNS in info.metadata

    def _state(self, request: ReadRequest) -> str:
        """Return the fingerprint of what an object holds: the table's state, or its state in the request's period."""
        table = request.table
        source: object = source_of(table).model_dump(mode="json")
        if request.period and request.state:
            source = [table.dataset, table.table, request.period, request.state]
        return fingerprint({"warehouse": self.name, "columns": table.columns, "source": source})

    def _name(self, request: ReadRequest) -> str:
        table = request.table
        dataset, name = check_identifier(table.dataset, "dataset"), check_identifier(table.table, "table")
        period = f"/{request.period}" if request.period else ""
        return f"{self.prefix}{dataset}/{name}{period}.parquet"


def is_shared(table: TableDescription) -> bool:
    """Return whether all pairs read the same rows: a feature table of no pair, without a ``pair`` column."""
    if table.dataset != FEATURES_DATASET or PAIR_COLUMN in table.types():
        return False
    shared = {family.name for family in families() if family.shared}
    return {family_of(table.table, pair) for pair in ALL_PAIRS} <= shared


def _widened(request: ReadRequest, before: ObjectInfo | None) -> ReadRequest:
    """Return the request, widened to whole days and to the days and columns that were staged before.

    Whole days cost no more, since tables are partitioned by day. So one object serves pairs whose spines begin some
    days apart. Columns that nobody asked for are not read: access to one may be denied (a policy tag), and then the
    whole table would fail.
    """
    columns = request.columns
    first, last = request.whole or (request.start, request.end)
    start = first and datetime.combine(as_utc(first).date(), time(), UTC)
    end = last and datetime.combine(as_utc(last).date(), time.max, UTC)
    if before is not None:
        first, last = _bound(before.metadata, _START), _bound(before.metadata, _END)
        start = min(start, first) if start and first else None
        end = max(end, last) if end and last else None
        marks = int(before.metadata[_COLUMNS], 16)
        held = [name for place, name in enumerate(request.table.types()) if marks >> place & 1]
        columns = tuple(dict.fromkeys([*columns, *held]))
    return replace(request, start=start, end=end, columns=columns)


def _marks(request: ReadRequest) -> int:
    """Return the request's columns as bits, by their place in the table: 232 names do not fit an object's metadata."""
    places = {name: place for place, name in enumerate(request.table.types())}
    return sum(1 << places[name] for name in set(request.columns))


def _in_order(request: ReadRequest) -> Iterator[ReadRequest]:
    """Yield the request; a large one in runs of whole days of about ``_RUN_BYTES``, so that its object is in key order.

    The streams of a read arrive side by side. If a large range were read at once, every part of its object would hold
    rows of all its days, and no time slice of it could be read alone. Each run is a read session, which takes a second.
    """
    if request.start is None or request.end is None:
        yield request
        return
    minutes = (request.end - request.start) // timedelta(minutes=1)
    rows = min(request.table.rows, minutes)  # a range has at most one row a minute
    days = (request.end - request.start).days + 1
    runs = max(1, rows * 8 * len(request.columns) // _RUN_BYTES)
    step = timedelta(days=-(-days // runs))
    start = request.start
    while start <= request.end:
        yield replace(request, start=start, end=min(start + step - timedelta(microseconds=1), request.end))
        start += step


def _encode(batches: Iterator[pa.RecordBatch], request: ReadRequest, output: Blocks) -> None:
    """Write batches as they arrive; a table without rows becomes an empty file with the described columns."""
    columns = list(request.columns)
    first = next(batches, None)
    if first is None:
        types = request.table.types()
        empty = pl.DataFrame(schema={name: COLUMN_TYPES[types[name]].polars for name in columns})
        pq.write_table(empty.to_arrow(), cast("Path", output))
        return
    schema = first.select(columns).schema
    # Dictionaries of numbers that never repeat cost memory and time; the few texts compress well without.
    with pq.ParquetWriter(
        cast("Path", output), schema, use_dictionary=False, compression=COMPRESSION, compression_level=COMPRESSION_LEVEL
    ) as writer:
        group: list[pa.RecordBatch] = []
        for batch in itertools.chain([first], batches):
            group.append(batch.select(columns))
            if sum(each.nbytes for each in group) >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(group), row_group_size=_ROW_GROUP_ROWS)
                group.clear()
        if group:
            writer.write_table(pa.Table.from_batches(group), row_group_size=_ROW_GROUP_ROWS)


def _rows(source: pa.NativeFile, request: ReadRequest) -> Iterator[pa.RecordBatch]:
    """Yield the request's rows of a staged table, and rows without a key, which the extraction reports."""
    key = pc.field(KEY)
    within = pc.scalar(value=True)
    if request.start is not None:
        within &= key >= _moment(request.start)
    if request.end is not None:
        within &= key <= _moment(request.end)
    file = pq.ParquetFile(source)
    groups = wanted_groups(stated_bounds(file.metadata), request)
    for batch in file.iter_batches(_ROW_GROUP_ROWS, row_groups=groups, columns=list(request.columns)):
        yield batch.filter(within | key.is_null()).select(list(request.columns))


def _bound(metadata: Mapping[str, str], key: str) -> datetime | None:
    return datetime.fromisoformat(metadata[key]) if key in metadata else None


def _moment(bound: datetime) -> pa.Scalar[Any]:
    return pa.scalar(as_utc(bound), pa.timestamp("us", tz="UTC"))
