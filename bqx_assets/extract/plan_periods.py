"""Finds the pieces that an extraction would make, by records and the warehouse's states, and the bytes of each.

Nothing is read from a table, so the keys of changed targets are unknown: ``planned_periods`` says what is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from bqx_assets.base.artifacts import Column
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import FeatureTable, PairCatalogue, TableDescription
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.periods import ALL, bounds_of, enclosing, grouped, months_in
from bqx_assets.extract.slab_records import SpineRecord
from bqx_assets.extract.spine import spine_columns
from bqx_assets.extract.spine_keys import SpineKeys
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.table import piece_fingerprint
from bqx_assets.extract.warehouse import MonthState, ReadRequest, Warehouse

_DAY_ROWS = 24 * 60
"""Largest number of rows of a pair in a day: the key is a minute."""


@dataclass(frozen=True, slots=True)
class PlannedPeriod:
    """A period of the spine as far as it is known before the targets are read."""

    name: str
    start: datetime | None
    end: datetime | None
    """Bounds of the keys that are read; None where they are not known."""
    most_rows: int | None
    """The most rows of a pair in it, by its bounds or the requested range."""
    is_new: bool
    """Whether the spine has no rows of it yet."""
    same_keys: bool = False
    """Whether its keys count as those of the spine that is there: its targets did not change, or have as many rows."""
    same_targets: bool = False
    pieces: tuple[str, ...] = ()
    """The periods of the spine that is there, which it consists of: itself, or shorter ones of another unit."""


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """A table's bytes in each period, and the periods whose pieces would be made."""

    table: FeatureTable
    bytes: Mapping[str, int]
    stale: frozenset[str]
    has_pieces: bool

    @property
    def read_bytes(self) -> int:
        """The bytes of the pieces that would be made."""
        return sum(self.bytes[period] for period in self.stale)


def planned_periods(
    job: Extraction, catalogue: PairCatalogue, states: SourceStates, record: SpineRecord | None
) -> list[PlannedPeriod]:
    """Return the periods of the spine that an extraction would find.

    Periods of the spine that is there, if it is of the same range and unit, then those in which the targets have rows
    since. A period whose targets changed has other keys if it has another number of rows; values alone change none.
    ``record`` is ``spine_there``.
    """
    months = states.months_of(catalogue.targets)
    old = [] if record is None else _old_periods(job, catalogue, states, record)
    names = {each.name for each in old}
    if months is None:
        return old or [unknown_period(job.settings)]
    found = [each for each in _source_periods(job, months) if each.name not in names]
    if not old:
        return found or [unknown_period(job.settings)]
    return [*old, *(each for each in found if each.name > old[-1].name)]


def spine_there(job: Extraction) -> SpineRecord | None:
    """Return the existing spine, unless none of its pieces can be used: another range, or longer periods than now."""
    try:
        found = job.slabs.load_spine()
    except CheckpointCorrupt:
        return None
    same = found.span == job.settings.span and found.spine.periods
    return found if same and all(enclosing(name, job.settings.period) for name in found.spine.periods) else None


def _old_periods(
    job: Extraction, catalogue: PairCatalogue, states: SourceStates, record: SpineRecord
) -> list[PlannedPeriod]:
    keys = SpineKeys(job, catalogue, states, record.snapshot_time)
    found: list[PlannedPeriod] = []
    of_period = groupby(record.slab.pieces, lambda piece: enclosing(piece.period, job.settings.period))
    for name, pieces in ((name, list(group)) for name, group in of_period):
        first, last = record.read_range(pieces[0].period)[0], record.read_range(pieces[-1].period)[1]
        same = all(keys.is_recorded(piece.period) for piece in pieces)
        rows = record.slab.provenance.source.rows
        as_many = same or all(keys.has_as_many_rows(piece, rows) for piece in pieces)
        found.append(
            PlannedPeriod(
                str(name),
                first,
                last,
                ((last.date() - first.date()).days + 1) * _DAY_ROWS,
                is_new=False,
                same_keys=as_many,
                same_targets=same,
                pieces=tuple(piece.period for piece in pieces),
            )
        )
    return found


def unknown_period(settings: Settings) -> PlannedPeriod:
    """Return the only period of a spine of which nothing is known: all rows of the range."""
    start, end, last = settings.start, settings.end, settings.last_span
    most = None
    if start is not None and end is not None:
        most = ((end.date() - start.date()).days + 1) * _DAY_ROWS
    elif last is not None:
        most = (last.count if last.unit == "rows" else last.count * _DAY_ROWS) + 2 * _DAY_ROWS
    return PlannedPeriod(ALL, start, end, most, is_new=True)


def _source_periods(job: Extraction, months: Mapping[str, MonthState]) -> list[PlannedPeriod]:
    """Return the periods of the range in which the targets have rows, from the latest back as far as is asked."""
    settings, last = job.settings, job.settings.last_span
    found: list[PlannedPeriod] = []
    rows = 0
    for name, members in reversed(grouped(months, settings.period).items()):
        first, final = bounds_of(members)
        start = max(first, settings.start) if settings.start is not None else first
        end = min(final, settings.end) if settings.end is not None else final
        if start > end:
            continue
        own = sum(months[month].rows for month in members)
        most = min(own, ((end.date() - start.date()).days + 1) * _DAY_ROWS)
        if last is not None:
            newest = found[0].end if found else end
            asked = last.count if last.unit == "rows" else last.count * _DAY_ROWS
            most = min(most, max(0, asked - rows) + 2 * _DAY_ROWS)
            if rows >= asked or (last.unit == "days" and newest and last.days_before(newest, more=31) > end):
                break
        rows += own
        found.append(PlannedPeriod(name, start, end, most, is_new=True))
    return found[::-1]


def planned_spine(
    job: Extraction, catalogue: PairCatalogue, states: SourceStates, periods: Sequence[PlannedPeriod]
) -> PlannedTable:
    """Return the plan of the targets."""
    columns = tuple(spine_columns(job.expectations))
    table = FeatureTable(catalogue.targets, "targets", columns, (), ())
    cost = ReadCost(job.warehouse, states)
    sizes = {period.name: cost.of(catalogue.targets, columns, period) for period in periods}
    stale = frozenset(period.name for period in periods if not period.same_targets)
    return PlannedTable(table, sizes, stale, has_pieces=True)


def planned_tables(
    job: Extraction,
    catalogue: PairCatalogue,
    states: SourceStates,
    periods: Sequence[PlannedPeriod],
    record: SpineRecord | None,
) -> list[PlannedTable]:
    """Return the plan of each feature table. **Cost**: a table's record, where a listing does not state its pieces."""
    cost = ReadCost(job.warehouse, states)
    found: list[PlannedTable] = []
    for table in catalogue.tables:
        recorded = job.slabs.recorded_fingerprints(table.description.table)
        stale = frozenset(
            period.name
            for period in periods
            if record is None
            or not period.same_keys
            or any(
                recorded.get(piece) != piece_fingerprint(job, states, table, record, piece) for piece in period.pieces
            )
        )
        sizes = {period.name: cost.of(table.description, table.columns, period) for period in periods}
        found.append(PlannedTable(table, sizes, stale, has_pieces=bool(recorded)))
    return found


@dataclass(frozen=True, slots=True)
class ReadCost:
    """The bytes that BigQuery bills for an extraction's reads."""

    warehouse: Warehouse
    states: SourceStates

    def of(self, table: TableDescription, columns: Sequence[Column], period: PlannedPeriod) -> int:
        """Return the bytes of the key and ``columns`` in a period; 0 where they are staged already.

        Tables are partitioned by day and billed by whole days. Where nothing is known it is the table's whole history:
        an upper bound.
        """
        if isinstance(self.warehouse, StagedWarehouse) and self.warehouse.holds(self._request(table, columns, period)):
            return 0
        rows = self._rows(table, period)
        return rows * (8 + sum(COLUMN_TYPES[column.type].billed_bytes for column in columns if column.source != KEY))

    def _rows(self, table: TableDescription, period: PlannedPeriod) -> int:
        known = None if period.name == ALL else self.states.months_of(table)
        rows = table.rows
        if known is not None:
            rows = sum(known[month].rows for month in months_in(period.name) if month in known)
        return rows if period.most_rows is None else min(rows, period.most_rows)

    def _request(self, table: TableDescription, columns: Sequence[Column], period: PlannedPeriod) -> ReadRequest:
        name, state = self.states.named(table, period.name)
        return ReadRequest(
            table=table,
            columns=tuple({KEY, *(column.source for column in columns)}),
            snapshot_time=table.last_modified,
            start=period.start,
            end=period.end,
            period=name,
            state=state,
        )
