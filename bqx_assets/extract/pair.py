"""Extracts one pair: first the spine, then period by period all feature tables in parallel; fresh pieces stay.

A single table's rows are in ``table``, the pieces' files in ``slabs``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
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
from bqx_assets.base.process import return_freed_memory, worker_count
from bqx_assets.base.progress import at_work, waiting
from bqx_assets.base.threads import LOOK_SECONDS, in_threads
from bqx_assets.catalogue.discovery import FeatureTable, PairCatalogue, drift, vanished_rows
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.plan import refuse_over_budget, refuse_over_memory
from bqx_assets.extract.read import reading, with_outage
from bqx_assets.extract.slab_records import SpineRecord
from bqx_assets.extract.spine_slab import extract_spine_slab
from bqx_assets.extract.table import SpinePeriod, TableReader, TableWork
from bqx_assets.extract.warehouse import ReadsAhead

NOT_EXTRACTED = "NotExtracted"
"""``FailedTable.error`` of a table that has no slab and was not asked for."""
_LOOKERS = 8
"""Tables whose records and pieces are compared at once: in a bucket each record is a request."""


def extract_spine(job: Extraction) -> Spine:
    """Extract the pair's spine and fix the snapshot of the run; return the spine's description.

    Raises:
        BudgetExceeded, NotEnoughMemory: the pair would read more than ``max_bytes``, or need more memory than there is.
        NullKeys, DuplicateKeys, EmptyTable, ClockBehind: as ``extract_spine_slab`` does.
    """
    with job.slabs.exclusive():
        catalogue = job.catalogue()
        states = job.states(catalogue)
        refuse_over_budget(job, catalogue, states)
        return _extract_spine(job, catalogue, states, None).spine


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
        states = job.states(catalogue)
        refuse_over_budget(job, catalogue, states, tables)
        return _extract_features(job, catalogue, states, tables)


def extract_pair(job: Extraction, tables: Collection[str] | None = None, *, anew: bool = False) -> ExtractionRecord:
    """Extract spine and feature tables at one snapshot; raises what the two steps raise.

    With ``anew`` the feature tables are read even if their pieces are fresh.
    """
    with job.slabs.exclusive():
        catalogue = job.catalogue()
        if anew:
            _refuse_unknown(job, catalogue, tables)
            job.slabs.make_anew(tables or [each.description.table for each in catalogue.tables])
        states = job.states(catalogue)
        refuse_over_budget(job, catalogue, states, tables)
        _extract_spine(job, catalogue, states, tables)
        return _extract_features(job, catalogue, states, tables)


def _extract_spine(
    job: Extraction, catalogue: PairCatalogue, states: SourceStates, tables: Collection[str] | None
) -> SpineRecord:
    """Extract the spine. A pair that cannot fit is refused by the catalogue's row count, or by the spine's rows."""
    refuse_over_memory(job, catalogue, states, tables)
    return extract_spine_slab(job, catalogue, states, partial(refuse_over_memory, job, catalogue, states, tables))


def _extract_features(
    job: Extraction, catalogue: PairCatalogue, states: SourceStates, tables: Collection[str] | None
) -> ExtractionRecord:
    _refuse_unknown(job, catalogue, tables)
    before = _before(job)
    changes = _told(job, drift(before, catalogue) if before is not None else [])
    spine = job.slabs.load_spine()
    refuse_over_memory(job, catalogue, states, tables, spine.spine)
    run = _Run(job, TableReader(job, states, spine), spine)
    run.outcomes |= {name: _failure(name, error) for name, error in catalogue.problems.items()}
    run.extract(catalogue.tables, tables)
    order = [each.description.table for each in catalogue.tables]
    slabs = (spine.slab, *(slab for name in order if isinstance(slab := run.outcomes[name], SlabRecord)))
    changes += _told(job, vanished_rows(before, slabs) if before is not None else [])
    record = ExtractionRecord(
        pair=job.pair.name,
        snapshot_time=spine.snapshot_time,
        spine=spine.spine,
        slabs=slabs,
        failed=tuple(outcome for _, outcome in sorted(run.outcomes.items()) if isinstance(outcome, FailedTable)),
        known_absent=dict(catalogue.known_absent),
        unexpected=catalogue.unexpected,
        forward_looking_included=job.settings.include_forward_looking,
        origin=job.origin,
        span=spine.span,  # not that of the settings, since the two steps may run with different settings
        changes=tuple(changes),
        made_pieces=run.made_pieces,
        resumed=tuple(sorted(run.resumed)),
    )
    job.slabs.save_extraction(record)
    if run.stopped is not None:
        raise _ended(job, record, run.stopped)
    _refuse_failures(job, record)
    return record


class _Run:
    """One run over a pair's tables: period by period, so that one period of the spine is in memory at a time."""

    def __init__(self, job: Extraction, reader: TableReader, spine: SpineRecord) -> None:
        self._job, self._reader, self._spine = job, reader, spine
        self.outcomes: dict[str, SlabRecord | FailedTable] = {}
        self.made_pieces = 0
        self.resumed: list[str] = []
        """Tables that were not read, because no piece was stale."""
        self.stopped: BqxError | None = None
        """The error that concerns all tables, if there was one. It ends the run at once, because every further table
        would fail in the same way."""

    def extract(self, tables: Sequence[FeatureTable], wanted: Collection[str] | None) -> None:
        """Set the outcome of each table; of tables that are not ``wanted`` nothing is read."""
        works = self._look(tables)
        asked = [work for work in works if wanted is None or work.name in wanted]
        self._job.progress.start("extract", sum(max(1, len(work.stale)) for work in asked))
        for work in asked:
            if work.error is not None:
                self._fail(work, work.error)
            elif not work.stale:
                self._finish(work, "resumed")
        pieces = self._spine.slab.pieces
        while due := [work for work in asked if work.stale and work.name not in self.outcomes]:
            # A second round follows only where a column was found to look ahead after other pieces were made with it.
            for number in [n for n, piece in enumerate(pieces) if any(piece.period in work.stale for work in due)]:
                self._extract_period(number, due)
        for work in works:
            if work.name not in self.outcomes:
                missing = FailedTable(table=work.name, error=NOT_EXTRACTED, message="not extracted yet")
                self.outcomes[work.name] = missing if work.stale or work.error is not None else self._slab(work)

    def _look(self, tables: Sequence[FeatureTable]) -> list[TableWork]:
        def look(table: FeatureTable) -> TableWork:
            try:
                return self._reader.look(table)
            except BqxError as error:
                return TableWork(table, error=error)

        with waiting(self._job.progress, "extract", at_work("comparing pieces with the warehouse")):
            return list(in_threads(look, tables, _LOOKERS, "look"))

    def _extract_period(self, number: int, due: Sequence[TableWork]) -> None:
        name = self._spine.slab.pieces[number].period
        works = [work for work in due if name in work.stale and work.name not in self.outcomes]
        if self.stopped is not None:
            self.outcomes |= {work.name: _unread(work.name) for work in works}
            return
        period = SpinePeriod(self._job.slabs, self._spine, number, self._job.expectations)
        with ExitStack() as fetched:
            warehouse = self._job.warehouse
            if isinstance(warehouse, ReadsAhead):
                reads = [read for work in works if (read := self._reader.ahead(work, period)) is not None]
                said = f"{warehouse.name} joins {len(reads):,} tables of {period.name}"
                with waiting(self._job.progress, "extract", lambda: with_outage(said, warehouse.outage)):
                    fetched.enter_context(warehouse.ahead(reads))
            self._read_period(works, period)
        return_freed_memory()  # else the resident memory would rise with each period

    def _read_period(self, works: Sequence[TableWork], period: SpinePeriod) -> None:
        pool = ThreadPoolExecutor(self._job.settings.workers or worker_count(), thread_name_prefix="extract")
        running: dict[Future[int], TableWork] = {pool.submit(self._piece, work, period): work for work in works}
        try:
            with waiting(self._job.progress, "extract", lambda: self._reading(running)):
                while running:
                    done, _ = wait(running, LOOK_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        self._take(future, running.pop(future), period.name)
                    for future in [each for each in running if self.stopped is not None and each.cancel()]:
                        table = running.pop(future).name
                        self.outcomes[table] = _unread(table)
        finally:
            # After Ctrl-C or "Terminate" reads are still running; without an end the pool would wait for them.
            if running:
                self._job.warehouse.outage.end()
            pool.shutdown(cancel_futures=True)

    def _piece(self, work: TableWork, period: SpinePeriod) -> int:
        try:
            return self._reader.extract(work, period)
        except WarehouseUnavailable:
            self._job.warehouse.outage.end()  # here already, so that this thread's next table sends no request
            raise

    def _take(self, future: Future[int], work: TableWork, period: str) -> None:
        error = future.exception()
        if error is None:
            self.made_pieces += 1
            size = f"{future.result() / 1e6:.1f} MB"
            note = size if len(self._spine.slab.pieces) == 1 else f"{period}, {size}"
            if work.stale:
                self._job.progress.advance("extract", work.name, note)
            else:
                self._finish(work, note)
        elif isinstance(error, (WarehouseUnavailable, ReadsEnded)):
            self.stopped = self.stopped or (error if isinstance(error, WarehouseUnavailable) else None)
            self.outcomes[work.name] = _unread(work.name)
        elif isinstance(error, Exception):
            self._fail(work, error)
        else:
            raise error

    def _finish(self, work: TableWork, note: str) -> None:
        """Make the slab of a table that lacks no piece."""
        try:
            self.outcomes[work.name] = self._reader.slab(work)
        except BqxError as error:
            self._fail(work, error)
            return
        self.resumed += [] if work.read else [work.name]
        self._job.progress.advance("extract", work.name, note)

    def _slab(self, work: TableWork) -> SlabRecord | FailedTable:
        try:
            return self._reader.slab(work)
        except BqxError as error:
            return _failure(work.name, error)

    def _fail(self, work: TableWork, error: Exception) -> None:
        # The error concerns this table alone: the others are still saved, and the run's error names it.
        self._job.progress.warn("extract", f"{type(error).__name__}: {error}")
        self._job.progress.advance("extract", work.name, "failed")
        self.outcomes[work.name] = _failure(work.name, error)

    def _reading(self, running: Mapping[Future[int], TableWork]) -> str:
        tables = [work.name for future, work in tuple(running.items()) if future.running()]
        return reading(tables, self._job.warehouse.outage)


def _unread(table: str) -> FailedTable:
    return FailedTable(table=table, error=NOT_EXTRACTED, message="not extracted: the run ended before")


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


def _before(job: Extraction) -> ExtractionRecord | None:
    """Return the record of the last extraction; None if there is none."""
    try:
        return job.slabs.load_extraction()
    except CheckpointCorrupt:
        return None


def _told(job: Extraction, changes: list[str]) -> list[str]:
    """Return changes since the last extraction after warning of each."""
    for sentence in changes:
        job.progress.warn("extract", f"since the last extraction: {sentence}")
    return changes


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
