"""One feature table from the warehouse to its slab.

Belongs here: fingerprint, read, align, quarantine, write, for one table. Does not: the order of tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, SlabProvenance, SlabRecord
from bqx_assets.base.errors import TableChanged
from bqx_assets.base.limits import memory_free_bytes
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import FeatureTable
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.align import align
from bqx_assets.extract.budget import MemoryBudget
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.leaks import ForwardLook
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.slabs import SlabStore, SpineRecord, slab_fingerprint, source_of
from bqx_assets.extract.spine import filters
from bqx_assets.extract.warehouse import ReadRequest

_COPIES = 3
"""A table stands in memory as Arrow batches, aligned, and while it is encoded."""
_CELL_BYTES = {"BOOL": 1, "STRING": 24}


@dataclass(frozen=True, slots=True)
class SpineInMemory:
    """The spine's keys and the look-up of its future values, shared by all workers."""

    record: SpineRecord
    keys: pl.Series
    forward: ForwardLook

    @classmethod
    def load(cls, slabs: SlabStore, record: SpineRecord, expectations: Expectations) -> Self:
        """Read keys and targets of the spine's slab: 50 columns."""
        frame = slabs.frame(record.slab)
        forward = ForwardLook(frame.drop(KEY), expectations.windows, expectations.horizons)
        return cls(record, frame.get_column(KEY), forward)


class TableReader:
    """Extracts single tables onto one spine; safe to use from several threads."""

    def __init__(self, job: Extraction, slabs: SlabStore, spine: SpineInMemory) -> None:
        self._job = job
        self._slabs = slabs
        self._spine = spine
        self._budget = MemoryBudget(memory_free_bytes() // 2)

    def extract(self, table: FeatureTable) -> tuple[SlabRecord, str]:
        """Return the table's slab record and a note for the user: "resumed", or its size.

        Raises:
            TableChanged: the table was modified after the run's snapshot.
            TableDefect, WarehouseError: the table cannot be read or trusted.
        """
        found = self.fresh(table)
        if found is not None:
            return found, "resumed"
        with self._budget.hold(_estimate_bytes(table)):
            record = self._extract(table)
        return record, f"{record.size_bytes / 1e6:.1f} MB"

    def fresh(self, table: FeatureTable) -> SlabRecord | None:
        """Return the finished, intact slab of the table as it is now; None if there is none."""
        return self._slabs.fresh(table.description.table, self.fingerprint(table))

    def fingerprint(self, table: FeatureTable) -> str:
        """Return what this table's slab would follow from."""
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
        request = ReadRequest(
            table=table.description,
            columns=(KEY, *(column.source for column in table.columns)),
            snapshot_time=self._spine.record.snapshot_time,
            start=spine.first,
            end=spine.last,
            pair=job.pair.name if table.has_pair_column else None,
        )
        frame = read_frame(job.warehouse, request, subject=subject, progress=job.progress)
        aligned, rows = align(frame, self._spine.keys, subject=subject, policy=job.settings.duplicates)
        del frame
        kept, looking = self._split(table, aligned)
        provenance = SlabProvenance(
            pair=job.pair.name,
            role="feature",
            family=table.family,
            fingerprint=self.fingerprint(table),
            spine_fingerprint=spine.fingerprint,
            source=source_of(table.description),
            snapshot_time=self._spine.record.snapshot_time,
            rows=rows,
            duplicate_policy=job.settings.duplicates,
            columns=kept,
            quarantined=(*table.quarantined, *looking),
            left_out=table.left_out,
        )
        renamed = aligned.select(pl.col(column.source).alias(column.name) for column in kept)
        return self._slabs.write(renamed, provenance, spine.row_groups)

    def _split(self, table: FeatureTable, aligned: pl.DataFrame) -> tuple[tuple[Column, ...], tuple[Quarantined, ...]]:
        """Columns to keep, and those whose values are the future, which were not to be seen by name."""
        if self._job.settings.include_forward_looking:
            return table.columns, ()
        reasons = self._spine.forward.find_all(aligned)
        kept = tuple(column for column in table.columns if column.source not in reasons)
        looking = tuple(
            Quarantined(table=table.description.table, column=name, reason=reason) for name, reason in reasons.items()
        )
        for each in looking:
            self._job.progress.warn("extract", f"quarantined {each.table}.{each.column}: {each.reason}")
        return kept, looking


def table_fingerprint(job: Extraction, table: FeatureTable, spine_fingerprint: str) -> str:
    """Return what a feature table's slab follows from: also how a plan tells fresh from stale."""
    facts = filters(job, has_pair=table.has_pair_column)
    facts |= {"quarantined": ",".join(each.column for each in table.quarantined)}
    facts |= {"forward_looking": str(job.settings.include_forward_looking)}
    return slab_fingerprint(
        source_of(table.description),
        table.columns,
        spine_fingerprint=spine_fingerprint,
        filters=facts,
        policy=job.settings.duplicates,
    )


def _estimate_bytes(table: FeatureTable) -> int:
    row_bytes = sum(_CELL_BYTES.get(column.type, 8) for column in table.columns)
    return table.description.rows * row_bytes * _COPIES
