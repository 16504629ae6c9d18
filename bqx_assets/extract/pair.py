"""Extracts one pair: first the spine, then all feature tables in parallel; tables with fresh slabs are not read again.

A single table's rows are in ``table``, the slabs' files in ``slabs``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from bqx_assets.base.artifacts import ExtractionRecord, FailedTable, SlabRecord, Spine
from bqx_assets.base.errors import (
    BqxError,
    CheckpointCorrupt,
    ExtractionIncomplete,
    ReadsEnded,
    UnknownTable,
    WarehouseUnavailable,
)
from bqx_assets.base.process import worker_count
from bqx_assets.base.progress import waiting
from bqx_assets.base.threads import LOOK_SECONDS
from bqx_assets.catalogue.discovery import FeatureTable, PairCatalogue, drift
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.plan import refuse_over_budget, refuse_over_memory
from bqx_assets.extract.read import reading
from bqx_assets.extract.spine import extract_spine_slab
from bqx_assets.extract.table import SpineInMemory, TableReader

NOT_EXTRACTED = "NotExtracted"
"""``FailedTable.error`` of a table that has no slab and was not asked for."""


def extract_spine(job: Extraction) -> Spine:
    """Extract the pair's spine and fix the snapshot of the run; return the spine's description.

    Raises:
        BudgetExceeded, NotEnoughMemory: the pair would read more than ``max_bytes``, or need more memory than there is.
        NullKeys, DuplicateKeys, EmptyTable, ClockBehind: as ``extract_spine_slab`` does.
    """
    with job.slabs.exclusive():
        catalogue = job.catalogue()
        refuse_over_budget(job, catalogue)
        return _extract_spine(job, catalogue, None)


def extract_features(job: Extraction, tables: Collection[str] | None = None) -> ExtractionRecord:
    """Extract the pair's feature tables, aligned to the existing spine, at the spine's snapshot.

    Only ``tables`` are read, if given; the record still covers all. ``extraction.json`` is written in any case.
    **Cost**: as many tables in memory as there are workers, within half of the free memory.

    Raises:
        UnknownTable: a name in ``tables`` is not in the pair's catalogue.
        CheckpointCorrupt: there is no spine.
        BudgetExceeded, NotEnoughMemory: it would read more than ``max_bytes``, or need more memory than there is.
        WarehouseUnavailable: nobody answers any more, or every table is refused; finished tables are saved.
        ExtractionIncomplete: tables failed, and are named; all others are saved.
    """
    with job.slabs.exclusive():
        catalogue = job.catalogue()
        refuse_over_budget(job, catalogue, tables)
        return _extract_features(job, catalogue, tables)


def extract_pair(job: Extraction, tables: Collection[str] | None = None) -> ExtractionRecord:
    """Extract spine and feature tables at one snapshot; raises what the two steps raise."""
    with job.slabs.exclusive():
        catalogue = job.catalogue()
        refuse_over_budget(job, catalogue, tables)
        _extract_spine(job, catalogue, tables)
        return _extract_features(job, catalogue, tables)


def _extract_spine(job: Extraction, catalogue: PairCatalogue, tables: Collection[str] | None) -> Spine:
    """Extract the spine. A pair that cannot fit is refused by the catalogue's row count, or by the spine's rows."""
    refuse_over_memory(job, catalogue, tables)
    return extract_spine_slab(job, catalogue, partial(refuse_over_memory, job, catalogue, tables)).spine


def _extract_features(job: Extraction, catalogue: PairCatalogue, tables: Collection[str] | None) -> ExtractionRecord:
    _refuse_unknown(job, catalogue, tables)
    changes = _changes(job, catalogue)
    spine = job.slabs.load_spine()
    refuse_over_memory(job, catalogue, tables, spine.spine)
    reader = TableReader(job, SpineInMemory.load(job.slabs, spine, job.expectations))
    outcomes: dict[str, SlabRecord | FailedTable] = {
        name: _failure(name, error) for name, error in catalogue.problems.items()
    }
    wanted = [each for each in catalogue.tables if tables is None or each.description.table in tables]
    job.progress.start("extract", len(wanted))
    extracted, stopped = _in_parallel(job, reader, wanted)
    outcomes |= extracted
    for each in catalogue.tables:
        if each not in wanted:
            outcomes[each.description.table] = reader.fresh(each) or FailedTable(
                table=each.description.table, error=NOT_EXTRACTED, message="not extracted yet"
            )
    order = [each.description.table for each in catalogue.tables]
    record = ExtractionRecord(
        pair=job.pair.name,
        snapshot_time=spine.snapshot_time,
        spine=spine.spine,
        slabs=(spine.slab, *(slab for name in order if isinstance(slab := outcomes[name], SlabRecord))),
        failed=tuple(outcome for _, outcome in sorted(outcomes.items()) if isinstance(outcome, FailedTable)),
        known_absent=dict(catalogue.known_absent),
        unexpected=catalogue.unexpected,
        forward_looking_included=job.settings.include_forward_looking,
        origin=job.origin,
        span=spine.span,  # not that of the settings, since the two steps may run with different settings
        changes=changes,
        resumed=tuple(sorted(reader.resumed)),
    )
    job.slabs.save_extraction(record)
    if stopped is not None:
        raise _ended(job, record, stopped)
    _refuse_failures(job, record)
    return record


def _in_parallel(
    job: Extraction, reader: TableReader, wanted: list[FeatureTable]
) -> tuple[dict[str, SlabRecord | FailedTable], BqxError | None]:
    """Extract the tables; return the outcome of each, and the error that concerns all of them, if there was one.

    Such an error ends the run at once, because every further table would fail in the same way.
    """
    outcomes: dict[str, SlabRecord | FailedTable] = {}
    stopped: BqxError | None = None
    pool = ThreadPoolExecutor(job.settings.workers or worker_count(), thread_name_prefix="extract")
    running: dict[Future[SlabRecord], str] = {
        pool.submit(_extract, job, reader, each): each.description.table for each in wanted
    }
    try:
        with waiting(job.progress, "extract", lambda: _reading(job, running)):
            while running:
                done, _ = wait(running, LOOK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    table = running.pop(future)
                    error = future.exception()
                    if stopped is None and isinstance(error, WarehouseUnavailable):
                        stopped = error
                    outcomes[table] = _outcome(job, reader, future, table)
                for future in [each for each in running if stopped is not None and each.cancel()]:
                    table = running.pop(future)
                    outcomes[table] = _unread(table)
    finally:
        # After Ctrl-C or "Terminate" reads are still running; without an end the pool would wait for them.
        if running:
            job.warehouse.outage.end()
        pool.shutdown(cancel_futures=True)
    return outcomes, stopped


def _extract(job: Extraction, reader: TableReader, table: FeatureTable) -> SlabRecord:
    try:
        return reader.extract(table)
    except WarehouseUnavailable:
        job.warehouse.outage.end()  # here already, so that this thread's next table sends no request
        raise


def _outcome(job: Extraction, reader: TableReader, future: Future[SlabRecord], table: str) -> SlabRecord | FailedTable:
    error = future.exception()
    if error is None:
        record = future.result()
        note = "resumed" if table in reader.resumed else f"{record.size_bytes / 1e6:.1f} MB"
        job.progress.advance("extract", table, note)
        return record
    if isinstance(error, (WarehouseUnavailable, ReadsEnded)):
        return _unread(table)
    if not isinstance(error, Exception):
        raise error
    # Any other error concerns this table alone: the others are still saved, and the run's error names it.
    job.progress.warn("extract", f"{type(error).__name__}: {error}")
    job.progress.advance("extract", table, "failed")
    return _failure(table, error)


def _unread(table: str) -> FailedTable:
    return FailedTable(table=table, error=NOT_EXTRACTED, message="not extracted: the run ended before")


def _reading(job: Extraction, running: Mapping[Future[SlabRecord], str]) -> str:
    return reading([table for future, table in tuple(running.items()) if future.running()], job.warehouse.outage)


def _failure(table: str, error: Exception) -> FailedTable:
    text = str(error) if isinstance(error, BqxError) else f"{type(error).__name__}: {error}"
    return FailedTable(table=table, error=type(error).__name__, message=text)


def _refuse_unknown(job: Extraction, catalogue: PairCatalogue, tables: Collection[str] | None) -> None:
    known = {each.description.table for each in catalogue.tables} | catalogue.problems.keys()
    unknown = sorted(set(tables or ()) - known)
    if unknown:
        raise UnknownTable(
            f"{job.pair}", got=", ".join(unknown), expected="feature tables of the pair", cure=f"bqx plan {job.pair}"
        )


def _changes(job: Extraction, catalogue: PairCatalogue) -> tuple[str, ...]:
    """Return the drift since the extraction whose record is still there, and warn of it."""
    try:
        before = job.slabs.load_extraction()
    except CheckpointCorrupt:
        return ()
    changes = drift(before, catalogue)
    for sentence in changes:
        job.progress.warn("extract", f"since the last extraction: {sentence}")
    return tuple(changes)


def _ended(job: Extraction, record: ExtractionRecord, stopped: BqxError) -> WarehouseUnavailable:
    left = sum(each.error == NOT_EXTRACTED for each in record.failed)
    return WarehouseUnavailable(
        f"{job.pair}",
        got=f"{stopped.got} (at {stopped.subject}; the run ended there, with {left:,} tables unread)",
        expected=stopped.expected,
        cure=f"{stopped.cure} Finished tables are saved; continue with: bqx extract {job.pair}",
    )


def _refuse_failures(job: Extraction, record: ExtractionRecord) -> None:
    failed = [each for each in record.failed if each.error != NOT_EXTRACTED]
    if not failed:
        return
    names = [each.table for each in failed]
    raise ExtractionIncomplete(
        f"{job.pair}",
        got=f"{len(failed)} of {len(failed) + len(record.features())} tables failed: {', '.join(names)}; "
        f"first: {failed[0].error}: {failed[0].message}",
        expected="none",
        cure=f"The others are saved. Mend these and run again: bqx extract {job.pair}",
    )
