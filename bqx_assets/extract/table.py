"""Extracts the pieces of one feature table, and makes its slab of them.

It reads, aligns, checks for lookahead, and encodes one time slice after another. ``pair`` decides the order of tables
and periods.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord
from bqx_assets.base.errors import BqxError, CheckpointCorrupt, TableChanged
from bqx_assets.base.names import KEY
from bqx_assets.base.process import memory_free_bytes
from bqx_assets.catalogue.discovery import FeatureTable
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.align import align, refuse_empty, total
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.lookahead import LookaheadDetector
from bqx_assets.extract.memory import MemoryBudget, TimeSlice, piece_memory_bytes, row_bytes, time_slices
from bqx_assets.extract.periods import bounds_in, months_between
from bqx_assets.extract.pieces import pieces_within, slab_of, write_piece
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.slab_records import KeptPiece, SpineRecord, pieces_fingerprint, slab_fingerprint, source_of
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.spine import keys_fingerprint, setting_facts
from bqx_assets.extract.warehouse import AheadRead, ReadRequest

_AHEAD_ROWS = 4_096
"""Rows after a period whose values its columns are compared with: more than the longest window and horizon together."""


class SpinePeriod:
    """One period of a spine in memory: its keys and the detector of future values. Safe to use from several threads.

    **Cost**: 8 bytes a row for the keys; with the detector, which the first table makes, 120 bytes a row.
    """

    def __init__(self, slabs: Slabs, record: SpineRecord, number: int, expectations: Expectations) -> None:
        """Read the keys. Raises CheckpointCorrupt if they are not the recorded ones."""
        self._slabs, self._record, self._number, self._expectations = slabs, record, number, expectations
        self._lock = threading.Lock()
        self.piece = record.slab.pieces[number]
        self.name = self.piece.period
        self.start, self.end = record.read_range(self.name)
        self.keys = slabs.piece_frame(self.piece, [KEY]).get_column(KEY)
        found = keys_fingerprint(self.keys)
        if found != self.piece.spine_fingerprint:
            raise CheckpointCorrupt(
                f"{record.slab.table}/{self.name}",
                got=f"keys {found}",
                expected=self.piece.spine_fingerprint,
                cure="Extract the spine again.",
            )

    def look_ahead(self, rows: pl.DataFrame, first_row: int) -> dict[str, str]:
        """Return the reason for each column that looks ahead; ``rows`` are rows of the period from ``first_row`` on."""
        with self._lock:
            detector = self._detector
        return detector.find_all(rows, first_row)

    @cached_property
    def _detector(self) -> LookaheadDetector:
        names = {each: self._expectations.window_targets(each) for each in self._expectations.windows}
        windows = ((window, self._targets(columns)) for window, columns in names.items())
        return LookaheadDetector(windows, self._expectations.horizons)

    def _targets(self, columns: list[str]) -> pl.DataFrame:
        """Return targets of the period's rows and of the ``_AHEAD_ROWS`` rows after it."""
        found = [self._slabs.piece_frame(self.piece, columns)]
        wanted = _AHEAD_ROWS
        for later in self._record.slab.pieces[self._number + 1 :]:
            found.append(self._slabs.piece_frame(later, columns).head(wanted))
            wanted -= found[-1].height
            if not wanted:
                break
        return pl.concat(found)


class _RestartWithoutColumns(Exception):
    """Says that columns were found to look ahead after some of their rows were encoded."""


@dataclass
class TableWork:
    """The state of a table's extraction: the pieces that count, and the columns that were found to look forward."""

    table: FeatureTable
    periods: tuple[str, ...] = ()
    """Those of the spine, in order."""
    pieces: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """For each period that has an intact piece in its present state, the columns that it was made without."""
    found: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """For each of these periods, the reason for each column whose values were found to look forward in its rows."""
    read: bool = False
    """Whether any of its rows were read in this run."""
    error: BqxError | None = None
    """Why its pieces could not be looked at."""

    @property
    def name(self) -> str:
        """The name of the warehouse table."""
        return self.table.description.table

    @property
    def stale(self) -> set[str]:
        """The periods whose pieces are to be made next.

        First those without a piece in its present state. Only their rows show whether a column still looks forward that
        others lack because of them. Then those whose piece has other columns than the slab.
        """
        missing = {period for period in self.periods if period not in self.pieces}
        without = self.by_value.keys()
        return missing or {period for period in self.periods if self.pieces[period] != without}

    @property
    def by_value(self) -> dict[str, str]:
        """The reason for each column that is left out because its values look forward in some period."""
        found: dict[str, str] = {}
        for period in sorted(self.found, reverse=True):
            found |= self.found[period]
        return found

    @property
    def columns(self) -> tuple[Column, ...]:
        """The slab's columns: those that were not quarantined so far."""
        without = self.by_value
        return tuple(column for column in self.table.columns if column.source not in without)

    def found_in(self, period: str) -> tuple[Quarantined, ...]:
        """Return the columns that look forward in a period, in the table's order."""
        return self._records(self.found.get(period, {}))

    def by_value_records(self) -> tuple[Quarantined, ...]:
        """Return the columns that were left out by value, in the table's order."""
        return self._records(self.by_value)

    def _records(self, reasons: Mapping[str, str]) -> tuple[Quarantined, ...]:
        names = [column.source for column in self.table.columns if column.source in reasons]
        return tuple(Quarantined(table=self.name, column=name, reason=reasons[name]) for name in names)

    def keep(self, kept: KeptPiece) -> None:
        """Count a piece that is in its present state."""
        period, sources = kept.piece.period, {column.source for column in kept.columns}
        self.pieces[period] = frozenset(each.source for each in self.table.columns if each.source not in sources)
        self.found[period] = {each.column: each.reason for each in kept.by_value}


class _PieceExtraction:
    """One pass over the time slices of a table in a period."""

    def __init__(
        self, job: Extraction, states: SourceStates, period: SpinePeriod, work: TableWork, snapshot_time: datetime
    ) -> None:
        self._job, self._states, self._period, self._work = job, states, period, work
        self._snapshot_time = snapshot_time
        self._columns = work.columns
        self._rows: list[RowAccount] = []

    @property
    def rows(self) -> RowAccount:
        """The account of the rows that were read so far."""
        return total(self._rows)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows in spine order, one frame for each time slice.

        Raises:
            _RestartWithoutColumns: start over, without the columns in ``work.by_value``.
            TableDefect, WarehouseError: the table cannot be read or trusted.
        """
        width = row_bytes(self._work.table.description, self._work.table.columns)
        for part in time_slices(self._period.keys, width, self._period.start, self._period.end):
            yield self._aligned(part)  # directly: a variable would keep this frame alive while the next is read

    def cut(self, pieces: Iterable[KeptPiece]) -> Iterator[pl.DataFrame]:
        """Yield the rows of pieces that have all of them, and all columns. Raises ``_RestartWithoutColumns``."""
        sources = {column.name: column.source for column in self._columns}
        for kept in pieces:
            rows = self._job.slabs.piece_frame(kept.piece, list(sources)).rename(sources)
            first_row = self.rows.matched + self.rows.missing
            self._rows.append(kept.piece.rows)
            yield self._checked(rows, first_row)

    def whole_request(self) -> ReadRequest:
        """Return the request of all rows of the period."""
        table = self._work.table
        period, state = self._states.named(table.description, self._period.name)
        return ReadRequest(
            table=table.description,
            columns=(KEY, *(column.source for column in self._columns)),
            snapshot_time=self._snapshot_time,
            start=self._period.start,
            end=self._period.end,
            pair=self._job.pair.name if table.has_pair_column else None,
            period=period,
            state=state,
            whole=(self._period.start, self._period.end),
        )

    def _aligned(self, part: TimeSlice) -> pl.DataFrame:
        job, subject = self._job, f"{self._job.pair}/{self._work.name}"
        request = replace(self.whole_request(), start=part.start, end=part.end)
        read = read_frame(job.warehouse, request, subject=subject, progress=job.progress)
        aligned, rows = align(read, part.keys, subject=subject, policy=job.settings.duplicates, part=True)
        self._rows.append(rows)
        return self._checked(aligned, part.first_row)

    def _checked(self, aligned: pl.DataFrame, first_row: int) -> pl.DataFrame:
        """Return the slab's columns of rows of the period from ``first_row`` on, without those that look forward."""
        if not self._job.settings.include_forward_looking:
            self._quarantine(aligned, first_row)
        return aligned.select(pl.col(column.source).alias(column.name) for column in self._work.columns)

    def _quarantine(self, aligned: pl.DataFrame, first_row: int) -> None:
        """Quarantine columns that equal future values although their names do not say so."""
        reasons = self._period.look_ahead(aligned, first_row)
        known = self._work.by_value
        reasons = {name: reason for name, reason in reasons.items() if name not in known}
        self._work.found.setdefault(self._period.name, {}).update(reasons)
        for name, reason in reasons.items():
            self._job.progress.warn("extract", f"quarantined {self._work.name}.{name}: {reason}")
        if reasons and first_row:
            raise _RestartWithoutColumns


class TableReader:
    """Extracts single tables onto one spine; safe to use from several threads."""

    def __init__(self, job: Extraction, states: SourceStates, spine: SpineRecord) -> None:
        self._job, self._states, self._spine = job, states, spine
        self._budget = MemoryBudget(memory_free_bytes() // 2)

    def look(self, table: FeatureTable) -> TableWork:
        """Return the work on a table: the periods for which it has no intact piece in its present state.

        **Cost**: the table's record; in a folder its pieces are read once for their checksums.
        """
        periods = tuple(piece.period for piece in self._spine.slab.pieces)
        work, record = TableWork(table, periods), self._job.slabs.kept(table.description.table)
        kept = record.by_period() if record is not None else {}
        for found in (kept[period] for period in periods if period in kept):
            fresh = found.piece.fingerprint == self.fingerprint(table, found.piece.period)
            if fresh and self._job.slabs.is_intact(found):
                work.keep(found)
        return work

    def fingerprint(self, table: FeatureTable, period: str) -> str:
        """Return the fingerprint that the table's piece in a period would have now."""
        return piece_fingerprint(self._job, self._states, table, self._spine, period)

    def ahead(self, work: TableWork, period: SpinePeriod) -> AheadRead | None:
        """Return the read that ``extract`` will make of the table in a period; None if it needs none."""
        if self._there(work, period):
            return None
        reading = _PieceExtraction(self._job, self._states, period, work, self._spine.snapshot_time)
        names = {column.source: column.name for column in work.columns}
        return AheadRead(reading.whole_request(), names, period.keys.len())

    def extract(self, work: TableWork, period: SpinePeriod) -> int:
        """Make the table's piece in a period, and return its size in bytes.

        Raises:
            TableChanged: the table was modified after the run's snapshot.
            TableDefect, WarehouseError: the table cannot be read or trusted.
        """
        self._refuse_changed(work.table)
        width = row_bytes(work.table.description, work.table.columns)
        there = self._there(work, period)
        work.read = work.read or not there
        with self._budget.hold(piece_memory_bytes(period.keys.len(), width)):
            kept = self._extract(work, period, there)
        work.keep(kept)
        return kept.piece.size_bytes

    def _there(self, work: TableWork, period: SpinePeriod) -> list[KeptPiece]:
        """Return the table's fresh pieces that have all rows and columns of a period, so that it is not read.

        They are of shorter periods, if another unit cut them, or its own piece, if only columns are to be left out.
        """
        job = self._job
        record = job.slabs.kept(work.name)
        if record is not None and period.name in work.pieces and work.pieces[period.name] <= work.by_value.keys():
            return [record.by_period()[period.name]]
        shorter, wanted, rows = pieces_within(record, period.name), set(work.columns), 0
        for kept in shorter:
            keys = period.keys.filter(period.keys.is_between(*bounds_in(kept.piece.period)))
            rows += keys.len()
            if not keys.len() or not wanted <= set(kept.columns) or not job.slabs.is_intact(kept):
                return []
            if kept.piece.fingerprint != fingerprint_at(job, self._states, work.table, keys):
                return []
        return shorter if rows == period.keys.len() else []

    def _extract(self, work: TableWork, period: SpinePeriod, there: Sequence[KeptPiece]) -> KeptPiece:
        job, mark = self._job, self.fingerprint(work.table, period.name)
        while True:
            reading = _PieceExtraction(job, self._states, period, work, self._spine.snapshot_time)
            try:
                return write_piece(
                    job.slabs,
                    work.name,
                    period.name,
                    period.keys,
                    reading.cut(there) if there else reading.frames(),
                    lambda reading=reading: self._provenance(work, reading.rows, mark, period.piece.spine_fingerprint),
                    encoding=job.settings.encoding,
                    by_value=lambda: work.found_in(period.name),
                )
            except _RestartWithoutColumns:
                continue

    def slab(self, work: TableWork) -> SlabRecord:
        """Return the slab of a table that lacks no piece. Raises EmptyTable if none has a row on the spine."""
        job, name = self._job, work.name
        record = job.slabs.kept(name)
        kept = record.by_period() if record is not None else {}
        pieces = [kept[piece.period] for piece in self._spine.slab.pieces]
        spine, rows = self._spine.spine, total(each.piece.rows for each in pieces)
        provenance = self._provenance(work, rows, pieces_fingerprint(pieces), spine.fingerprint)
        if not job.expectations.may_be_empty(job.pair, (column.name for column in work.columns)):
            refuse_empty(provenance.rows, pl.Series([spine.first, spine.last]), f"{job.pair}/{name}")
        there = record.slab if record is not None else None
        if there is not None and there.pieces == tuple(each.piece for each in pieces):
            kept_facts = {name: getattr(there.provenance, name) for name in ("source", "snapshot_time")}
            if there.provenance == provenance.model_copy(update=kept_facts) and not job.slabs.others(
                name, there.pieces
            ):
                return there
        return slab_of(job.slabs, pieces, provenance, job.settings.encoding)

    def _refuse_changed(self, table: FeatureTable) -> None:
        # The months were asked for after the table was described: a state of after the snapshot would count as read.
        months = (self._states.months_of(table.description) or {}).values()
        times = (month.modified for month in months if month.modified is not None)
        modified, snapshot_time = max((table.description.last_modified, *times)), self._spine.snapshot_time
        if modified > snapshot_time:
            raise TableChanged(
                f"{self._job.pair}/{table.description.table}",
                got=f"modified {modified:%Y-%m-%d %H:%M:%S}",
                expected=f"no change after the snapshot of {snapshot_time:%Y-%m-%d %H:%M:%S}",
                cure=f"Take a new snapshot: bqx extract {self._job.pair}",
            )

    def _provenance(self, work: TableWork, rows: RowAccount, mark: str, spine_mark: str) -> SlabProvenance:
        """Return the provenance of a table's piece, or of its slab, by its fingerprint and that of its keys."""
        table = work.table
        return SlabProvenance(
            pair=self._job.pair.name,
            role="feature",
            family=table.family,
            fingerprint=mark,
            spine_fingerprint=spine_mark,
            source=source_of(table.description),
            snapshot_time=self._spine.snapshot_time,
            rows=rows,
            duplicate_policy=self._job.settings.duplicates,
            columns=work.columns,
            quarantined=(*table.quarantined, *work.by_value_records()),
            left_out=table.left_out,
        )


def piece_fingerprint(
    job: Extraction, states: SourceStates, table: FeatureTable, spine: SpineRecord, period: str
) -> str:
    """Return the fingerprint of a feature table's piece; a plan tells fresh pieces from stale ones by it.

    Raises:
        KeyError: the spine has no such period.
    """
    piece, first, last = spine.piece(period)
    return _fingerprint(job, states, table, (first, last, piece.spine_fingerprint))


def fingerprint_at(job: Extraction, states: SourceStates, table: FeatureTable, keys: pl.Series) -> str:
    """Return the fingerprint of a feature table's piece on these keys of a period."""
    return _fingerprint(job, states, table, (keys[0], keys[-1], keys_fingerprint(keys)))


def _fingerprint(
    job: Extraction, states: SourceStates, table: FeatureTable, keys: tuple[datetime, datetime, str]
) -> str:
    facts = setting_facts(job, has_pair=table.has_pair_column)
    facts |= {"quarantined": ",".join(each.column for each in table.quarantined)}
    facts |= {"forward_looking": str(job.settings.include_forward_looking)}
    first, last, mark = keys
    return slab_fingerprint(
        states.state(table.description, months_between(first, last)),
        table.columns,
        spine_fingerprint=mark,
        filters=facts,
        policy=job.settings.duplicates,
    )
