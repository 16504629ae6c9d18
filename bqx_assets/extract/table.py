"""Extracts one feature table into its slab.

It reads, aligns, checks for lookahead, and writes one time slice after another. ``pair`` decides the order of tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Self

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord
from bqx_assets.base.content import Contents, Periods, periods_of
from bqx_assets.base.errors import CheckpointCorrupt, TableChanged
from bqx_assets.base.names import KEY
from bqx_assets.base.process import memory_free_bytes
from bqx_assets.catalogue.discovery import FeatureTable
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.align import align, refuse_empty, total
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.lookahead import LookaheadDetector
from bqx_assets.extract.memory import MemoryBudget, TimeSlice, admitted_bytes, kept_in_memory, row_bytes, time_slices
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.slabs import Slabs, SpineRecord, slab_fingerprint, source_of
from bqx_assets.extract.spine import describe_spine, setting_facts
from bqx_assets.extract.warehouse import ReadRequest


@dataclass(frozen=True, slots=True)
class SpineInMemory:
    """The spine's keys and the detector of its future values, shared by all workers."""

    record: SpineRecord
    keys: pl.Series
    lookahead: LookaheadDetector
    periods: Periods

    @classmethod
    def load(cls, slabs: Slabs, record: SpineRecord, expectations: Expectations) -> Self:
        """Read keys and targets of the spine's slab. **Cost**: keeps 120 bytes a row; reads one window at a time.

        Raises:
            CheckpointCorrupt: the slab's keys are not the recorded ones.
        """
        keys = slabs.frame(record.slab, [KEY]).get_column(KEY)
        found = describe_spine(keys, max(record.spine.row_groups))
        if found != record.spine:
            raise CheckpointCorrupt(
                record.slab.table,
                got=f"keys {found.fingerprint}",
                expected=record.spine.fingerprint,
                cure="Extract the spine again.",
            )
        names = {each: expectations.window_targets(each) for each in expectations.windows}
        windows = ((window, slabs.frame(record.slab, columns)) for window, columns in names.items())
        return cls(record, keys, LookaheadDetector(windows, expectations.horizons), periods_of(keys))


class _RestartWithoutColumns(Exception):
    """Says that columns were found to look ahead after some of their rows were written."""


class _TableExtraction:
    """One pass over a table's time slices, without the columns that were quarantined by value."""

    def __init__(
        self, job: Extraction, spine: SpineInMemory, table: FeatureTable, quarantined_by_value: dict[str, str]
    ) -> None:
        self._job, self._spine, self._table = job, spine, table
        self._rows: list[RowAccount] = []
        self._subject = f"{job.pair}/{table.description.table}"
        self._columns = tuple(column for column in table.columns if column.source not in quarantined_by_value)
        self._row_bytes = row_bytes(table.description, table.columns)
        self.quarantined_by_value = dict(quarantined_by_value)
        """The reason for each column."""

    @property
    def kept(self) -> tuple[Column, ...]:
        """The slab's columns: those that were not quarantined so far."""
        return tuple(column for column in self._columns if column.source not in self.quarantined_by_value)

    @property
    def rows(self) -> RowAccount:
        """The account of the rows that were read so far."""
        return total(self._rows)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the table in spine order, one frame for each time slice.

        Raises:
            _RestartWithoutColumns: start over, without the columns in ``quarantined_by_value``.
            TableDefect, WarehouseError: the table cannot be read or trusted.
        """
        spine = self._spine
        for part in time_slices(spine.keys, spine.record.spine.row_groups, self._row_bytes):
            yield self._aligned(part)  # directly: a variable would keep this frame alive while the next is read

    def _aligned(self, part: TimeSlice) -> pl.DataFrame:
        job = self._job
        request = ReadRequest(
            table=self._table.description,
            columns=(KEY, *(column.source for column in self._columns)),
            snapshot_time=self._spine.record.snapshot_time,
            start=part.start,
            end=part.end,
            pair=job.pair.name if self._table.has_pair_column else None,
        )
        aligned, rows = align(
            read_frame(job.warehouse, request, subject=self._subject, progress=job.progress),
            part.keys,
            subject=self._subject,
            policy=job.settings.duplicates,
            part=True,
        )
        self._rows.append(rows)
        empty = job.expectations.may_be_empty(job.pair, (column.name for column in self._columns))
        if part.end == self._spine.record.spine.last and not empty:
            refuse_empty(self.rows, self._spine.keys, self._subject)
        if not job.settings.include_forward_looking:
            self._quarantine(aligned, part.first_row)
        return aligned.select(pl.col(column.source).alias(column.name) for column in self.kept)

    def _quarantine(self, aligned: pl.DataFrame, first_row: int) -> None:
        """Quarantine columns that equal future values although their names do not say so."""
        reasons = self._spine.lookahead.find_all(aligned, first_row)
        reasons = {name: reason for name, reason in reasons.items() if name not in self.quarantined_by_value}
        self.quarantined_by_value |= reasons
        for name, reason in reasons.items():
            self._job.progress.warn("extract", f"quarantined {self._table.description.table}.{name}: {reason}")
        if reasons and first_row:
            raise _RestartWithoutColumns


class TableReader:
    """Extracts single tables onto one spine; safe to use from several threads."""

    def __init__(self, job: Extraction, spine: SpineInMemory) -> None:
        self._job = job
        self._spine = spine
        self._budget = MemoryBudget(memory_free_bytes() // 2)
        self.resumed: set[str] = set()
        """Tables whose slab was fresh: they were not read."""

    def extract(self, table: FeatureTable) -> SlabRecord:
        """Return the table's slab record, that of a fresh slab where there is one.

        Raises:
            TableChanged: the table was modified after the run's snapshot.
            TableDefect, WarehouseError: the table cannot be read or trusted.
        """
        found = self.fresh(table)
        if found is not None:
            self.resumed.add(found.table)
            return found
        row_groups = self._spine.record.spine.row_groups
        with self._budget.hold(admitted_bytes(table, row_groups, kept_in_memory(self._job))):
            return self._extract(table)

    def fresh(self, table: FeatureTable) -> SlabRecord | None:
        """Return the finished, intact slab of the table in its present state; None if there is none."""
        return self._job.slabs.fresh(table.description.table, self.fingerprint(table))

    def fingerprint(self, table: FeatureTable) -> str:
        """Return the fingerprint that the table's slab would have now."""
        return table_fingerprint(self._job, table, self._spine.record.spine.fingerprint)

    def _extract(self, table: FeatureTable) -> SlabRecord:
        job, spine = self._job, self._spine.record.spine
        name = table.description.table
        subject = f"{job.pair}/{name}"
        if table.description.last_modified > self._spine.record.snapshot_time:
            raise TableChanged(
                subject,
                got=f"modified {table.description.last_modified:%Y-%m-%d %H:%M:%S}",
                expected=f"no change after the snapshot of {self._spine.record.snapshot_time:%Y-%m-%d %H:%M:%S}",
                cure=f"Take a new snapshot: bqx extract {job.pair}",
            )
        work = _TableExtraction(job, self._spine, table, {})
        while True:
            try:
                provenance = partial(self._provenance, table, work)
                contents = Contents(self._spine.periods)
                return job.slabs.write(
                    name, work.frames(), spine.row_groups, provenance, contents, job.settings.encoding
                )
            except _RestartWithoutColumns:
                work = _TableExtraction(job, self._spine, table, work.quarantined_by_value)

    def _provenance(self, table: FeatureTable, work: _TableExtraction) -> SlabProvenance:
        name, spine = table.description.table, self._spine.record
        by_value = (
            Quarantined(table=name, column=column, reason=reason)
            for column, reason in work.quarantined_by_value.items()
        )
        return SlabProvenance(
            pair=self._job.pair.name,
            role="feature",
            family=table.family,
            fingerprint=self.fingerprint(table),
            spine_fingerprint=spine.spine.fingerprint,
            source=source_of(table.description),
            snapshot_time=spine.snapshot_time,
            rows=work.rows,
            duplicate_policy=self._job.settings.duplicates,
            columns=work.kept,
            quarantined=(*table.quarantined, *by_value),
            left_out=table.left_out,
        )


def table_fingerprint(job: Extraction, table: FeatureTable, spine_fingerprint: str) -> str:
    """Return the fingerprint of a feature table's slab; a plan tells fresh slabs from stale ones by it."""
    facts = setting_facts(job, has_pair=table.has_pair_column)
    facts |= {"quarantined": ",".join(each.column for each in table.quarantined)}
    facts |= {"forward_looking": str(job.settings.include_forward_looking)}
    return slab_fingerprint(
        source_of(table.description),
        table.columns,
        spine_fingerprint=spine_fingerprint,
        filters=facts,
        policy=job.settings.duplicates,
    )
