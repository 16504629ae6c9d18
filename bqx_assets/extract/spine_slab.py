"""Extracts the spine's slab: of periods in which the targets did not change, the pieces that are there are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial

import polars as pl

from bqx_assets.base.artifacts import RowAccount, SlabProvenance, Spine
from bqx_assets.base.errors import ClockBehind
from bqx_assets.base.progress import waiting
from bqx_assets.catalogue.discovery import PairCatalogue
from bqx_assets.extract.align import align, total
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.memory import time_slices
from bqx_assets.extract.pieces import slab_of, write_piece
from bqx_assets.extract.read import read_frame, reading
from bqx_assets.extract.slab_records import KeptPiece, SpineRecord, pieces_fingerprint, source_of
from bqx_assets.extract.spine import describe_spine, keys_fingerprint, spine_columns
from bqx_assets.extract.spine_keys import SpineKeys, SpinePart

_TIME = "%Y-%m-%d %H:%M:%S UTC"


def extract_spine_slab(
    job: Extraction, catalogue: PairCatalogue, states: SourceStates, admit: Callable[[Spine], None]
) -> SpineRecord:
    """Return the pair's spine at a new snapshot; periods in which the targets did not change are not read.

    ``admit`` is called when only the keys have been read, and may refuse the spine.

    **Shape** of the slab: spine rows x (``interval_time`` + 49 targets), key unique and ascending.
    **Cost**: two columns of the targets of periods that are new, then their 50 columns, one time slice after another.

    Raises:
        NullKeys, DuplicateKeys, EmptyTable: the targets table cannot be a spine.
        ClockBehind: a table was written after the snapshot.
    """
    snapshot_time = job.snapshot()
    _refuse_clock_behind(job, catalogue, snapshot_time)
    subject = [catalogue.targets.table]
    with waiting(job.progress, "spine", lambda: reading(subject, job.warehouse.outage)):
        parts = SpineKeys(job, catalogue, states, snapshot_time).parts()
        keys = pl.concat([part.keys for part in parts])
        spine = describe_spine(keys, [part.keys.len() for part in parts], tuple(part.name for part in parts))
        del keys
        admit(spine)
        provenance = partial(_provenance, job, catalogue, snapshot_time)
        pieces = [part.fresh or _write(job, part, provenance) for part in parts]
    rows = total(kept.piece.rows for kept in pieces)
    told = provenance(pieces_fingerprint(pieces), spine.fingerprint, rows)
    slab = slab_of(job.slabs, pieces, told, job.settings.encoding)
    bounds = tuple((part.keys[0], part.keys[-1]) for part in parts)
    record = SpineRecord(spine=spine, slab=slab, snapshot_time=snapshot_time, span=job.settings.span, bounds=bounds)
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


def _provenance(
    job: Extraction, catalogue: PairCatalogue, snapshot_time: datetime, mark: str, spine_mark: str, rows: RowAccount
) -> SlabProvenance:
    """Return the provenance of the spine's slab or of a piece, by its fingerprint and that of its keys."""
    return SlabProvenance(
        pair=job.pair.name,
        role="spine",
        family="targets",
        fingerprint=mark,
        spine_fingerprint=spine_mark,
        source=source_of(catalogue.targets),
        snapshot_time=snapshot_time,
        rows=rows,
        duplicate_policy=job.settings.duplicates,
        columns=tuple(spine_columns(job.expectations)),
    )


def _write(job: Extraction, part: SpinePart, provenance: Callable[[str, str, RowAccount], SlabProvenance]) -> KeptPiece:
    told = provenance(part.fingerprint, keys_fingerprint(part.keys), part.rows)
    return write_piece(
        job.slabs,
        told.source.table,
        part.name,
        part.keys,
        _targets(job, part),
        lambda: told,
        encoding=job.settings.encoding,
        after=part.after,
    )


def _targets(job: Extraction, part: SpinePart) -> Iterator[pl.DataFrame]:
    """Yield the part's rows of key and targets, one time slice after another."""
    names = tuple(column.source for column in spine_columns(job.expectations))
    subject = f"{job.pair}/{part.request.table.table}"
    if part.shorter:
        yield from (job.slabs.piece_frame(kept.piece, names) for kept in part.shorter)
        return
    if part.read is not None and part.request.columns == names:
        aligned, _ = align(part.read, part.keys, subject=subject, policy=job.settings.duplicates)
        yield aligned.insert_column(0, part.keys)
        return
    for each in time_slices(part.keys, 8 * len(names)):
        within = replace(part.request, columns=names, start=each.start, end=each.end)
        read = read_frame(job.warehouse, within, subject=subject, progress=job.progress)
        aligned, _ = align(read, each.keys, subject=subject, policy=job.settings.duplicates)
        yield aligned.insert_column(0, each.keys)
