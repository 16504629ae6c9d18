"""The spine: the pair's rows, from its targets table.

Belongs here: which rows of the targets table are the spine, and its slab. Does not: feature tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from bqx_assets.base.artifacts import Column, RowAccount, SlabProvenance, Spine
from bqx_assets.base.errors import EmptyTable
from bqx_assets.base.fingerprints import fingerprint
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import PairCatalogue
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.align import as_key, without_duplicates
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.slabs import SlabStore, SpineRecord, slab_fingerprint, source_of
from bqx_assets.extract.warehouse import ReadRequest

FIRST_TARGET = "target_bqx45_h15"
"""A row is on the spine where this target is known: the shortest window at the shortest horizon."""


def extract_spine_slab(job: Extraction, catalogue: PairCatalogue, slabs: SlabStore) -> SpineRecord:
    """Return the pair's spine at a new snapshot, read from the warehouse only if its slab is not fresh.

    **Shape** of the slab: spine rows x (``interval_time`` + 49 targets), key unique and ascending.
    **Cost**: the targets table in memory, 50 columns.

    Raises:
        NullKeys, DuplicateKeys, EmptyTable: the targets table cannot be a spine.
    """
    snapshot_time = job.warehouse.snapshot()
    columns = spine_columns(job)
    source = source_of(catalogue.targets)
    facts = filters(job, has_pair=PAIR_COLUMN in catalogue.targets.types()) | {
        "row_group_rows": str(job.settings.row_group_rows)
    }
    mark = slab_fingerprint(source, columns, spine_fingerprint="", filters=facts, policy=job.settings.duplicates)
    slab = slabs.fresh(source.table, mark)
    if slab is None:
        frame, rows = _read(job, catalogue, columns, snapshot_time)
        spine = describe_spine(frame.get_column(KEY), job.settings.row_group_rows)
        provenance = SlabProvenance(
            pair=job.pair.name,
            role="spine",
            family="targets",
            fingerprint=mark,
            spine_fingerprint=spine.fingerprint,
            source=source,
            snapshot_time=snapshot_time,
            rows=rows,
            duplicate_policy=job.settings.duplicates,
            columns=tuple(columns),
        )
        slab = slabs.write(frame, provenance, spine.row_groups)
    else:
        # Described anew and not from its record: a kill between slab and record leaves a slab alone.
        spine = describe_spine(slabs.frame(slab).get_column(KEY), job.settings.row_group_rows)
    record = SpineRecord(spine=spine, slab=slab, snapshot_time=snapshot_time)
    slabs.save_spine(record)
    return record


def _read(
    job: Extraction, catalogue: PairCatalogue, columns: Sequence[Column], snapshot_time: datetime
) -> tuple[pl.DataFrame, RowAccount]:
    request = ReadRequest(
        table=catalogue.targets,
        columns=tuple(column.source for column in columns),
        snapshot_time=snapshot_time,
        start=job.settings.start,
        end=job.settings.end,
        pair=job.pair.name if PAIR_COLUMN in catalogue.targets.types() else None,
    )
    subject = f"{job.pair}/{catalogue.targets.table}"
    read = read_frame(job.warehouse, request, subject=subject, progress=job.progress)
    return _spine_rows(read, subject, job)


def spine_columns(job: Extraction) -> list[Column]:
    """Return the spine's columns: the key, then the targets, unprefixed."""
    key = Column(name=KEY, source=KEY, type="TIMESTAMP")
    return [key, *(Column(name=name, source=name, type="FLOAT64") for name in job.expectations.targets())]


def filters(job: Extraction, *, has_pair: bool) -> dict[str, str]:
    """Return the row filters of a read, as fingerprints keep them."""
    found = {"start": job.settings.start, "end": job.settings.end, "pair": job.pair.name if has_pair else None}
    return {name: str(value) for name, value in found.items() if value is not None}


def describe_spine(keys: pl.Series, row_group_rows: int) -> Spine:
    """Return the facts of a spine: its fingerprint follows from every key and the row groups' boundaries."""
    size = row_group_rows or keys.len()
    groups = tuple(min(size, keys.len() - start) for start in range(0, keys.len(), size))
    digest = hashlib.sha256(keys.to_physical().to_numpy().tobytes()).hexdigest()
    return Spine(
        rows=keys.len(),
        fingerprint=fingerprint({"keys": digest, "row_groups": list(groups)}),
        first=keys[0],
        last=keys[-1],
        row_groups=groups,
    )


def _spine_rows(read: pl.DataFrame, subject: str, job: Extraction) -> tuple[pl.DataFrame, RowAccount]:
    """The rows where the first target is known, one a key, ascending; and where the others went."""
    keyed = read.with_columns(as_key(read, subject))
    unique = without_duplicates(keyed, subject=subject, policy=job.settings.duplicates)
    frame = unique.filter(pl.col(FIRST_TARGET).is_not_null()).sort(KEY)
    if frame.is_empty():
        raise EmptyTable(
            subject,
            got=f"{read.height:,} rows, none with {FIRST_TARGET}",
            expected="at least one",
            cure="Refill the targets table, or widen BQX_START and BQX_END.",
        )
    return frame, RowAccount(
        read=read.height,
        matched=frame.height,
        missing=0,
        extra=unique.height - frame.height,
        duplicates=read.height - unique.height,
    )
