"""A warehouse in front of BigQuery whose features are joined there, batch by batch, and read from the exported files.

It yields the rows that BigQuery itself would: those on the spine come from the join, all other keys without values,
because alignment only counts them. So all behind it, from alignment to publication, is the same as in the other way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, TypeVar, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import (
    BqxError,
    BudgetExceeded,
    ChecksumMismatch,
    ObjectMissing,
    QueryTooLarge,
    ReadsEnded,
    StoreError,
    TableUnreadable,
    TransientReadError,
    WarehouseError,
    WarehouseUnavailable,
)
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.base.store.lease import exclusive
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore
from bqx_assets.base.store.staging_names import JOINS
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import PAIR_COLUMN, TARGETS_DATASET, targets_table
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.export_jobs import ExportJobs
from bqx_assets.extract.bigquery.join_sql import COPIES, PART, JoinSql, batches, exported, here
from bqx_assets.extract.columns import KeyBounds, bounds_of, wanted_groups
from bqx_assets.extract.object_file import BLOCK_BYTES, CheckedFile, block_checksums
from bqx_assets.extract.warehouse import AheadRead, InFront, ReadRequest, Warehouse

_Result = TypeVar("_Result")
_JOBS_AT_ONCE = 4
_ROWS = 32_768
"""Number of rows that are decoded at once."""
_EXPORTED: Final = re.compile(r"\d+-(?:rows|keys|proof)-\d{12}\.parquet")
"""Names of exported files: the number of the batch, what they hold, and the number that BigQuery gives them."""


@dataclass(frozen=True, slots=True)
class _File:
    """An exported file, with the checksums of its blocks and the keys of its row groups."""

    info: ObjectInfo
    checksums: str
    bounds: Sequence[KeyBounds | None]
    rows: int


@dataclass(frozen=True, slots=True)
class _Fetched:
    """The rows of one table: its place in an exported batch, and the keys that are not in the batch."""

    read: AheadRead
    place: int
    files: Sequence[_File]
    odd: pl.DataFrame
    """Keys that are null, off the spine or repeated, each as often as the table has it."""


@dataclass(frozen=True, slots=True)
class Spine:
    """The part of a pair's targets table that makes its spine: rows on which the shortest target is known."""

    pair: Pair
    shortest: str


def open_joined(inner: Warehouse, store: ObjectStore, spine: Spine) -> JoinedWarehouse:
    """Return the warehouse of one pair in front of BigQuery's own. Raises TypeError for any other warehouse."""
    if not isinstance(inner, BigQueryWarehouse):
        msg = "tables are joined in BigQuery alone"
        raise TypeError(msg)
    return JoinedWarehouse(inner, inner.export_jobs(), store, spine)


@dataclass
class _Tables:
    """The tables that were fetched, and the errors of the others."""

    fetched: dict[str, _Fetched] = field(default_factory=dict[str, _Fetched])
    errors: dict[str, BqxError] = field(default_factory=dict[str, BqxError])


class JoinedWarehouse(InFront):
    """BigQuery's tables for one pair, its features by joins. Safe to use from several threads, but for ``ahead``."""

    def __init__(self, inner: Warehouse, jobs: ExportJobs, store: ObjectStore, spine: Spine) -> None:
        super().__init__(inner)
        self._jobs, self._store, self._spine = jobs, store, spine
        self._prefix = f"{JOINS}{spine.pair}/"
        self._described: Sequence[TableDescription] = ()
        self._tables = _Tables()

    @property
    def queried_bytes(self) -> int:
        """Bytes that the joins were billed so far, by BigQuery's own estimates."""
        return self._jobs.queried_bytes

    def describe(self) -> Sequence[TableDescription]:
        """Return the tables of the inner warehouse."""
        self._described = super().describe()
        return self._described

    @contextmanager
    def ahead(self, reads: Sequence[AheadRead]) -> Generator[None]:
        """Join the tables of these reads, and keep the exported files for the block.

        All queries are first run dry, so that a budget refuses them before any is billed. A batch that is refused is
        halved until the table that is the reason stands alone. **Cost**: the files are read once for their checksums.

        Raises:
            FolderBusy: another run of the pair holds its exported files.
        """
        with exclusive(self._store, self._prefix, wait=self.outage.wait):
            self._remove_exported()  # what a killed run left
            try:
                self._fetch(reads)
                yield
            except BaseException as error:
                if not isinstance(error, Exception):
                    self.outage.end()  # running jobs are cancelled, and no further one begins
                raise
            finally:
                self._tables = _Tables()
                with suppress(StoreError):  # what stays goes by the pair's next run, or by age
                    self._remove_exported()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows. The inner warehouse reads a table that ``ahead`` was not told of, such as the targets.

        Raises the error with which the table's join failed, and what the store and the inner warehouse raise.
        """
        table = request.table.table
        if table in self._tables.errors:
            raise self._tables.errors[table]
        fetched = self._tables.fetched.get(table)
        return self._inner.read(request) if fetched is None else _rows(self._store, fetched, request)

    def _fetch(self, reads: Sequence[AheadRead]) -> None:
        if not reads:
            return
        errors = self._tables.errors
        try:
            sql = JoinSql(self._inner.name, self._spine_request(reads[0].request))
            self._jobs.run(exported("SELECT 0 AS part", self._uri("0-proof")), self._spine.pair.name)
            asked = self._each(batches(reads), lambda batch: (batch, self._planned_bytes(sql, batch)), WarehouseError)
            self._jobs.admit(sum(size for _, size in asked), f"{self._spine.pair}")
            numbers = count()
            ready = [batch for batch, _ in asked]

            def join(batch: Sequence[AheadRead]) -> list[_Fetched]:
                if batch not in ready:  # half of one that was too large, of which the queries so far are billed
                    self._jobs.admit(self._planned_bytes(sql, batch), _subject(batch))
                return self._join(sql, batch, next(numbers))

            made = self._each(ready, join, QueryTooLarge)
        except BqxError as error:
            errors |= {each.table: error for each in reads if each.table not in errors}
            return
        self._tables.fetched |= {each.read.table: each for tables in made for each in tables}

    def _spine_request(self, request: ReadRequest) -> ReadRequest:
        place = (TARGETS_DATASET, targets_table(self._spine.pair))
        targets = next(each for each in self._described if (each.dataset, each.table) == place)
        pair = self._spine.pair.name if PAIR_COLUMN in targets.types() else None
        return replace(request, table=targets, columns=(KEY, self._spine.shortest), pair=pair)

    def _planned_bytes(self, sql: JoinSql, batch: Sequence[AheadRead]) -> int:
        queries = (sql.odd_keys(batch), sql.join(batch))
        return sum(self._jobs.scanned_bytes(query, _subject(batch), len(batch) + 1) for query in queries)

    def _each(
        self,
        wanted: Sequence[Sequence[AheadRead]],
        work: Callable[[Sequence[AheadRead]], _Result],
        halved: type[WarehouseError],
    ) -> list[_Result]:
        """Return the results of ``work`` on batches.

        One that is refused as ``halved`` says is done in halves, until the table that is the reason stands alone.
        The tables of a batch that fails otherwise keep its error.
        """

        def parts(batch: Sequence[AheadRead]) -> list[_Result]:
            try:
                return [work(batch)]
            except (WarehouseUnavailable, ReadsEnded):
                raise
            except (WarehouseError, BudgetExceeded) as error:
                half = len(batch) // 2
                if half and isinstance(error, halved) and not isinstance(error, TransientReadError):
                    return [*parts(batch[:half]), *parts(batch[half:])]
                self._tables.errors |= {each.table: _final(error) for each in batch}
                return []

        return [each for found in in_threads(parts, wanted, _JOBS_AT_ONCE, "joins") for each in found]

    def _join(self, sql: JoinSql, batch: Sequence[AheadRead], number: int) -> list[_Fetched]:
        """Export a batch: its odd keys, then the join of the tables that have each key once.

        Raises TableUnreadable if the exported files have more or fewer rows than the spine.
        """
        odd = self._odd_keys(self._export(sql.odd_keys(batch), batch, f"{number}-keys"))
        keys = [odd.filter(pl.col(PART) == place).drop(PART) for place in range(len(batch))]
        joined = [each for each, own in zip(batch, keys, strict=True) if own.get_column(KEY).is_unique().all()]
        files = self._export(sql.join(joined), joined, f"{number}-rows") if joined else []
        rows = sum(each.rows for each in files)
        if joined and rows != joined[0].rows:  # where a file is lost, its keys would count as missing in the tables
            raise TableUnreadable(
                _subject(joined),
                got=f"{rows:,} rows in {len(files):,} exported files",
                expected=f"{joined[0].rows:,} rows, one for each key of the spine",
                cure="Run again: it is exported again.",
            )
        places = {each.table: place for place, each in enumerate(joined)}
        return [
            _Fetched(each, places.get(each.table, -1), files if each.table in places else [], own)
            for each, own in zip(batch, keys, strict=True)
        ]

    def _export(self, query: str, batch: Sequence[AheadRead], name: str) -> list[_File]:
        self._jobs.run(exported(query, self._uri(name)), _subject(batch))
        return [self._checked(info) for info in self._store.list_objects(f"{self._prefix}{name}-")]

    def _uri(self, name: str) -> str:
        return f"{self._store.uri(f'{self._prefix}{name}')}-*.parquet"

    def _checked(self, info: ObjectInfo) -> _File:
        """Read an exported file once. Raises ChecksumMismatch if it is not what the store received."""
        crc = 0

        def blocks() -> Iterator[bytes]:
            nonlocal crc
            for start in range(0, info.size_bytes, BLOCK_BYTES):
                block = self._store.read(info.name, start, BLOCK_BYTES)
                crc = crc32c(block, crc)
                yield block

        checksums = block_checksums(blocks())
        if info.crc32c is not None and crc != info.crc32c:
            raise ChecksumMismatch(
                self._store.uri(info.name),
                got=f"CRC32C {crc:08x}",
                expected=f"{info.crc32c:08x}, as the store has it",
                cure="Run again: it is exported again.",
            )
        file = _opened(self._store, info, checksums)
        names = file.schema_arrow.names
        groups = range(file.num_row_groups if KEY in names else 0)
        keys = (cast("pl.DataFrame", pl.from_arrow(file.read_row_group(each, [KEY]))) for each in groups)
        return _File(info, checksums, [bounds_of(each.get_column(KEY)) for each in keys], file.metadata.num_rows)

    def _odd_keys(self, files: Sequence[_File]) -> pl.DataFrame:
        schema = {PART: pl.Int64, KEY: COLUMN_TYPES["TIMESTAMP"].polars, COPIES: pl.Int64}
        found = [pl.DataFrame(schema=schema)]
        for each in files:
            read = cast("pl.DataFrame", pl.from_arrow(_opened(self._store, each.info, each.checksums).read()))
            found.append(read.select(list(schema)).cast(cast("Any", schema)))
        counted = pl.concat(found).sort(PART, KEY)
        return counted.select(pl.col(PART, KEY).repeat_by(COPIES).explode())

    def _remove_exported(self) -> None:
        """Remove the pair's exported files; those of others, which have other names, stay."""
        for info in list(self._store.list_objects(self._prefix)):
            if _EXPORTED.fullmatch(info.name.removeprefix(self._prefix)):
                with suppress(ObjectMissing):
                    self._store.delete(info.name)


def _opened(store: ObjectStore, info: ObjectInfo, checksums: str) -> pq.ParquetFile:
    return pq.ParquetFile(pa.PythonFile(cast("Any", CheckedFile(store, info, checksums)), mode="r"))


def _rows(store: ObjectStore, fetched: _Fetched, request: ReadRequest) -> Iterator[pa.RecordBatch]:
    """Yield the table's rows in the request's range: those of the join, then the odd keys, whose values are null."""
    types = request.table.types()
    sources = list(request.columns)
    schema = {name: COLUMN_TYPES[types[name]].polars for name in sources}
    names = [name if name == KEY else fetched.read.names[name] for name in sources]
    present = here(fetched.place)
    for each in fetched.files:
        file = _opened(store, each.info, each.checksums)
        groups = wanted_groups(each.bounds, request)
        for batch in file.iter_batches(_ROWS, row_groups=groups, columns=[*names, present]):
            rows = cast("pl.DataFrame", pl.from_arrow(batch)).filter(pl.col(present), _within(request))
            yield from _as_batches(rows.select(pl.col(names)).rename(dict(zip(names, sources, strict=True))), schema)
    odd = fetched.odd.filter(_within(request) | pl.col(KEY).is_null())
    missing = [pl.lit(None, schema[name]).alias(name) for name in sources if name != KEY]
    yield from _as_batches(odd.with_columns(missing).select(sources), schema)


def _within(request: ReadRequest) -> pl.Expr:
    bounds = pl.lit(value=True)
    if request.start is not None:
        bounds &= pl.col(KEY) >= request.start
    if request.end is not None:
        bounds &= pl.col(KEY) <= request.end
    return bounds


def _as_batches(rows: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> Iterator[pa.RecordBatch]:
    if rows.height:
        yield from rows.cast(cast("Any", dict(schema))).to_arrow().to_batches()


def _subject(batch: Sequence[AheadRead]) -> str:
    """Return the name of a batch in errors."""
    first = f"{batch[0].request.table.dataset}.{batch[0].table}"
    return first if len(batch) == 1 else f"join of {first} and {len(batch) - 1} other tables"


def _final(error: BqxError) -> BqxError:
    """Return the error of a join as that of a table: the calls have been repeated already."""
    if not isinstance(error, TransientReadError):
        return error
    return TableUnreadable(error.subject, got=error.got, expected=error.expected, cure=error.cure)
