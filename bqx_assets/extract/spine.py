"""Extracts the spine: the rows of a pair's targets table whose shortest target is known, with unique keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from bqx_assets.base.artifacts import Column, RowAccount, SlabProvenance, SlabRecord, Spine, fingerprint
from bqx_assets.base.content import Contents, periods_of
from bqx_assets.base.errors import ClockBehind, EmptyTable
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import waiting
from bqx_assets.base.settings import DuplicatePolicy, Last
from bqx_assets.catalogue.discovery import PairCatalogue
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.align import align, as_key, without_duplicates
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.memory import time_slices
from bqx_assets.extract.read import read_frame, reading
from bqx_assets.extract.slabs import SpineRecord, slab_fingerprint, source_of
from bqx_assets.extract.warehouse import ReadRequest

_TIME = "%Y-%m-%d %H:%M:%S UTC"


def extract_spine_slab(job: Extraction, catalogue: PairCatalogue, admit: Callable[[Spine], None]) -> SpineRecord:
    """Return the pair's spine at a new snapshot, read from the warehouse only if its slab is not fresh.

    ``admit`` is called when only the keys have been read, and may refuse the spine.

    **Shape** of the slab: spine rows x (``interval_time`` + 49 targets), key unique and ascending.
    **Cost**: the targets table in memory, 50 columns; if it is longer than a row group, two columns of it, then a row
    group of all columns.

    Raises:
        NullKeys, DuplicateKeys, EmptyTable: the targets table cannot be a spine.
        ClockBehind: a table was written after the snapshot.
    """
    snapshot_time = job.snapshot()
    _refuse_clock_behind(job, catalogue, snapshot_time)
    slab = _fresh(job, catalogue)
    if slab is None:
        with waiting(job.progress, "spine", lambda: reading([catalogue.targets.table], job.warehouse.outage)):
            keys, rows, frames = _read(job, catalogue, snapshot_time)
        spine = describe_spine(keys, job.settings.row_group_rows)
        admit(spine)
        provenance = SlabProvenance(
            pair=job.pair.name,
            role="spine",
            family="targets",
            fingerprint=_fingerprint(job, catalogue, spine.row_groups),
            spine_fingerprint=spine.fingerprint,
            source=source_of(catalogue.targets),
            snapshot_time=snapshot_time,
            rows=rows,
            duplicate_policy=job.settings.duplicates,
            columns=tuple(spine_columns(job.expectations)),
        )
        contents = Contents(periods_of(keys))
        slab = job.slabs.write(
            catalogue.targets.table, frames, spine.row_groups, lambda: provenance, contents, job.settings.encoding
        )
    else:
        # Described again, not taken from its record: a kill between slab and record leaves a slab without a record.
        spine = describe_spine(job.slabs.frame(slab, [KEY]).get_column(KEY), job.settings.row_group_rows)
        admit(spine)
    record = SpineRecord(spine=spine, slab=slab, snapshot_time=snapshot_time, span=job.settings.span)
    job.slabs.save_spine(record)
    return record


def _refuse_clock_behind(job: Extraction, catalogue: PairCatalogue, snapshot_time: datetime) -> None:
    """Refuse a snapshot that is before the last change of a table, although the table was listed earlier."""
    tables = (catalogue.targets, *(table.description for table in catalogue.tables))
    newest = max(tables, key=lambda table: table.last_modified)
    if newest.last_modified > snapshot_time:
        raise ClockBehind(
            f"{job.pair}/{newest.table}",
            got=f"written at {newest.last_modified:{_TIME}}, after now: it is {snapshot_time:{_TIME}}",
            expected="a table written before the snapshot that it is read at",
            cure="Set this machine's clock if it is behind (see: date -u); else touch the table's file.",
        )


def _fresh(job: Extraction, catalogue: PairCatalogue) -> SlabRecord | None:
    """Return the existing slab if the same would be written: as one row group or, if it is longer, as several."""
    size, table = job.settings.row_group_rows, catalogue.targets.table
    whole = job.slabs.fresh(table, _fingerprint(job, catalogue, ()))
    if whole is not None and (not size or whole.provenance.rows.matched <= size):
        return whole
    return job.slabs.fresh(table, _fingerprint(job, catalogue, (size, size))) if size else None


def _fingerprint(job: Extraction, catalogue: PairCatalogue, row_groups: Sequence[int]) -> str:
    """Return the fingerprint of the spine's slab; the size of row groups counts if there are several (0: one)."""
    facts = setting_facts(job, has_pair=PAIR_COLUMN in catalogue.targets.types())
    facts |= {"row_group_rows": str(row_groups[0] if len(row_groups) > 1 else 0)}
    facts |= {"known": job.expectations.shortest_target()}
    if job.settings.last is not None:
        # The range is counted back from the table's last minute. A changed table is another source and is read again.
        facts |= {"last": job.settings.last}
    source, columns = source_of(catalogue.targets), spine_columns(job.expectations)
    return slab_fingerprint(source, columns, spine_fingerprint="", filters=facts, policy=job.settings.duplicates)


def _read(
    job: Extraction, catalogue: PairCatalogue, snapshot_time: datetime
) -> tuple[pl.Series, RowAccount, Iterable[pl.DataFrame]]:
    """Return the spine's keys, the account of the targets' rows, and frames of key and targets in spine order.

    Targets that are longer than a row group, or of which only the last rows are wanted, are read twice: first the two
    columns that decide the keys (16 bytes a row), then all columns, one time slice after another.
    """
    names = [column.source for column in spine_columns(job.expectations)]
    last = job.settings.last_span
    has_all = last is not None and last.unit == "rows" and catalogue.targets.rows <= last.count
    twice = (last is not None and not has_all) or 0 < job.settings.row_group_rows < catalogue.targets.rows
    request = ReadRequest(
        table=catalogue.targets,
        columns=(KEY, job.expectations.shortest_target()) if twice else tuple(names),
        snapshot_time=snapshot_time,
        start=job.settings.start,
        end=job.settings.end,
        pair=job.pair.name if PAIR_COLUMN in catalogue.targets.types() else None,
    )
    subject = f"{job.pair}/{catalogue.targets.table}"
    read = read_frame(job.warehouse, request, subject=subject, progress=job.progress)
    if last is not None:
        read = latest_rows(read, job.expectations.shortest_target(), last, subject)
    frame, rows = spine_rows(read, job.expectations.shortest_target(), subject, job.settings.duplicates)
    keys = frame.get_column(KEY)
    if not twice:
        return keys, rows, [frame]
    return keys, rows, _targets(job, replace(request, columns=tuple(names)), keys, subject)


def _targets(job: Extraction, request: ReadRequest, keys: pl.Series, subject: str) -> Iterator[pl.DataFrame]:
    groups = describe_spine(keys, job.settings.row_group_rows).row_groups
    for part in time_slices(keys, groups, 8 * len(request.columns)):
        within = replace(request, start=part.start, end=part.end)
        read = read_frame(job.warehouse, within, subject=subject, progress=job.progress)
        aligned, _ = align(read, part.keys, subject=subject, policy=job.settings.duplicates)
        yield aligned.insert_column(0, part.keys)


def spine_columns(expectations: Expectations) -> list[Column]:
    """Return the spine's columns: the key, then the targets, unprefixed."""
    key = Column(name=KEY, source=KEY, type="TIMESTAMP")
    return [key, *(Column(name=name, source=name, type="FLOAT64") for name in expectations.targets())]


def setting_facts(job: Extraction, *, has_pair: bool) -> dict[str, str]:
    """Return the settings that every slab depends on, as its fingerprint has them: row filters and the encoding."""
    found = {"start": job.settings.start, "end": job.settings.end, "pair": job.pair.name if has_pair else None}
    # The default is left out, so that slabs which were encoded before there was a choice stay fresh.
    found |= {"encoding": job.settings.encoding if job.settings.encoding != "balanced" else None}
    return {name: str(value) for name, value in found.items() if value is not None}


def describe_spine(keys: pl.Series, row_group_rows: int) -> Spine:
    """Return the description of a spine; its fingerprint covers every key and the boundaries of the row groups."""
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


def latest_rows(read: pl.DataFrame, shortest: str, last: Last, subject: str) -> pl.DataFrame:
    """Return the targets' rows of the last ``last`` rows or days of the spine, and all rows among and after them.

    They are counted back from the last row whose ``shortest`` target is known; later rows are not part of the spine.
    **Shape**: any rows x any columns with key and that target; the columns stay.

    Raises:
        NullKeys: a row has no key.
    """
    keys = as_key(read, subject)
    known = keys.filter(read.get_column(shortest).cast(pl.Float64).is_not_nan()).unique().sort()
    if known.is_empty():
        return read
    if last.unit == "rows":
        return read.filter(keys >= known[-min(last.count, known.len())])
    return read.filter(keys > known[-1] - timedelta(days=last.count))


def spine_rows(
    read: pl.DataFrame, shortest: str, subject: str, policy: DuplicatePolicy, *within: pl.Expr
) -> tuple[pl.DataFrame, RowAccount]:
    """Return the targets' rows that form the spine, unique and ascending by key, and the account of the others.

    A row is part of the spine if its ``shortest`` target is known: neither null nor NaN.
    **Shape**: any rows x any columns with key and that target; the columns stay.

    Raises:
        NullKeys, DuplicateKeys: a row has no key; a key repeats and ``policy`` is "refuse".
        EmptyTable: no row has a shortest target and is ``within``.
    """
    unique = without_duplicates(read.with_columns(as_key(read, subject)), subject=subject, policy=policy)
    frame = unique.filter(pl.col(shortest).cast(pl.Float64).is_not_nan(), *within).sort(KEY)
    if frame.is_empty():
        raise EmptyTable(
            subject,
            got=f"{read.height:,} rows, none with {shortest}",
            expected="at least one",
            cure="Refill the targets table, or widen the range: BQX_START, BQX_END, BQX_LAST.",
        )
    return frame, RowAccount(
        read=read.height,
        matched=frame.height,
        missing=0,
        extra=unique.height - frame.height,
        duplicates=read.height - unique.height,
    )
