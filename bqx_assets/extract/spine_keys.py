"""Finds the keys of a pair's spine, period by period; of unchanged periods from the pieces that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

import polars as pl

from bqx_assets.base.artifacts import Piece, RowAccount
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import PairCatalogue
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.align import as_key, total
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.periods import ALL, TICK, bounds_in, grouped, is_of_unit, months_in, periods_in
from bqx_assets.extract.pieces import pieces_within
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.slab_records import KeptPiece, slab_fingerprint
from bqx_assets.extract.spine import keys_fingerprint, setting_facts, spine_columns, spine_rows, usable_rows
from bqx_assets.extract.warehouse import ReadRequest


@dataclass(frozen=True)
class SpinePart:
    """The spine's keys in one period."""

    name: str
    keys: pl.Series
    """Unique and ascending."""
    rows: RowAccount
    request: ReadRequest
    """The read of the period's rows, of the columns that decide the keys or, of small targets, of all columns."""
    fingerprint: str
    """The fingerprint of the spine's piece."""
    after: datetime | None = None
    """The moment before the first key, where the range of the spine begins within the period."""
    fresh: KeptPiece | None = None
    """The piece that is there, if nothing has changed."""
    read: pl.DataFrame | None = None
    """The rows that were read, if the keys are not those of pieces."""
    shorter: tuple[KeptPiece, ...] = ()
    """Fresh pieces of shorter periods that have all its rows: another unit cut them."""


_AT_ONCE_BYTES = 128 << 20
"""Decoded size up to which targets are read once, with all their columns: each read takes BigQuery a second or two."""


class SpineKeys:
    """The keys of one pair's spine in the present state of its targets.

    **Cost**: 16 bytes a row that is read; small targets with all columns, at most ``_AT_ONCE_BYTES``.
    """

    def __init__(
        self, job: Extraction, catalogue: PairCatalogue, states: SourceStates, snapshot_time: datetime
    ) -> None:
        self._job, self._states = job, states
        self._table = catalogue.targets
        self._months = states.months_of(catalogue.targets)
        self._snapshot_time = snapshot_time
        self._subject = f"{job.pair}/{catalogue.targets.table}"
        self._shortest = job.expectations.shortest_target()
        every = tuple(column.source for column in spine_columns(job.expectations))
        small = catalogue.targets.rows * 8 * len(every) <= _AT_ONCE_BYTES
        self._columns = every if small else (KEY, self._shortest)
        self._record = record = job.slabs.kept(catalogue.targets.table)
        self._pieces = record.by_period() if record is not None else {}
        slab = record.slab if record is not None else None
        self._is_whole = slab is not None and slab.pieces == tuple(kept.piece for kept in self._pieces.values())
        """Whether the pieces are a finished slab, and not what a killed run had made of one."""

    def parts(self) -> list[SpinePart]:
        """Return the spine's periods that have a row, in order.

        They are looked at from the latest on, so that of the last rows or days no earlier period is read.

        Raises:
            NullKeys, DuplicateKeys: a row has no key; a key repeats and the policy is "refuse".
            EmptyTable: no row has a shortest target in the range.
        """
        found: list[SpinePart] = []
        for name in reversed(self._names()):
            part = self._kept(name) or self._recut(name)
            if part is None or (part.after is not None and not self._has_enough([part, *found])):
                part = self._read(name)
            if part.keys.len():
                found.insert(0, part)
            if self._has_enough(found):
                break
        if not found:
            found = self._read_all()
        return self._within_last(found)

    def is_recorded(self, name: str) -> bool:
        """Return whether a period has a piece of the present targets, by its record alone."""
        kept = self._pieces.get(name)
        return kept is not None and kept.piece.fingerprint == self._fingerprint(name, kept.after)

    def has_as_many_rows(self, piece: Piece, table_rows: int) -> bool:
        """Return whether the targets have as many rows in a period as when its piece was made.

        ``table_rows``: the rows of the whole table at that time, which are compared where nobody tells a month's rows.
        """
        if self._months is None or piece.period == ALL:
            return self._table.rows == table_rows
        months = [self._months[month].rows for month in months_in(piece.period) if month in self._months]
        return PAIR_COLUMN not in self._table.types() and sum(months) == piece.rows.read

    def _names(self) -> list[str]:
        """Return the periods that may have rows, in order; none if only reading the keys can tell."""
        settings = self._job.settings
        if self._months is None:
            fresh = (is_of_unit(name, settings.period) and self._kept(name) is not None for name in self._pieces)
            return list(self._pieces) if self._is_whole and all(fresh) else []
        names = grouped(self._months, settings.period)
        return [name for name in names if self._is_wanted(name)]

    def _is_wanted(self, name: str) -> bool:
        start, end = self._bounds(name)
        settings = self._job.settings
        late = settings.start is not None and end is not None and end < settings.start
        return not late and not (settings.end is not None and start is not None and start > settings.end)

    def _bounds(self, name: str) -> tuple[datetime | None, datetime | None]:
        return (None, None) if name == ALL else bounds_in(name)

    def _source_months(self, name: str) -> Sequence[str]:
        return sorted(self._months or ()) if name == ALL else months_in(name)

    def _request(self, name: str) -> ReadRequest:
        start, end = self._bounds(name)
        settings = self._job.settings
        period, state = self._states.named(self._table, name)
        return ReadRequest(
            table=self._table,
            columns=self._columns,
            snapshot_time=self._snapshot_time,
            start=max(filter(None, (start, settings.start)), default=None),
            end=min(filter(None, (end, settings.end)), default=None),
            pair=self._job.pair.name if PAIR_COLUMN in self._table.types() else None,
            period=period,
            state=state,
        )

    def _fingerprint(self, name: str, after: datetime | None) -> str:
        """Return the fingerprint of the spine's piece; a bound of the range counts only in the period that it cuts."""
        months = self._source_months(name)
        request, (start, end) = self._request(name), self._bounds(name)
        facts = setting_facts(self._job, has_pair=request.pair is not None)
        facts |= {"known": self._shortest, "period": name}
        facts |= {"start": str(request.start)} if request.start != start else {}
        facts |= {"end": str(request.end)} if request.end != end else {}
        facts |= {"after": str(after)} if after is not None else {}
        # Where nobody tells which months have rows, other periods may belong to another range.
        facts |= {"range": self._job.settings.span} if self._months is None else {}
        columns = spine_columns(self._job.expectations)
        policy = self._job.settings.duplicates
        state = self._states.state(self._table, months)
        return slab_fingerprint(state, columns, spine_fingerprint="", filters=facts, policy=policy)

    def _kept(self, name: str) -> SpinePart | None:
        """Return the period by its piece; None if there is none, or the targets changed."""
        kept = self._pieces.get(name)
        if kept is None or (kept.after is not None and self._job.settings.last is None):
            return None
        mark = self._fingerprint(name, kept.after)
        if kept.piece.fingerprint != mark or not self._job.slabs.is_intact(kept):
            return None
        keys = self._job.slabs.piece_frame(kept.piece, [KEY]).get_column(KEY)
        if keys_fingerprint(keys) != kept.piece.spine_fingerprint:
            return None
        request = self._request(name)
        return SpinePart(name, keys, kept.piece.rows, request, mark, kept.after, kept)

    def _recut(self, name: str) -> SpinePart | None:
        """Return the period by the pieces of shorter periods within it, if they are fresh and have all its months."""
        shorter = pieces_within(self._record, name)
        parts = [self._kept(kept.piece.period) for kept in shorter if kept.after is None]
        months = {month for kept in shorter for month in months_in(kept.piece.period)}
        known = set(self._months or ()) & set(self._source_months(name))
        if not shorter or len(parts) < len(shorter) or None in parts or self._months is None or not known <= months:
            return None
        found = [part for part in parts if part is not None]
        return SpinePart(
            name,
            pl.concat([part.keys for part in found]),
            total(part.rows for part in found),
            self._request(name),
            self._fingerprint(name, None),
            shorter=tuple(shorter),
        )

    def _read(self, name: str) -> SpinePart:
        request = self._request(name)
        read = read_frame(self._job.warehouse, request, subject=self._subject, progress=self._job.progress)
        return self._of(name, read, request)

    def _of(self, name: str, read: pl.DataFrame, request: ReadRequest, after: datetime | None = None) -> SpinePart:
        frame, rows = usable_rows(read, self._shortest, self._subject, self._job.settings.duplicates)
        return SpinePart(
            name, frame.get_column(KEY), rows, request, self._fingerprint(name, after), after, fresh=None, read=read
        )

    def _read_all(self) -> list[SpinePart]:
        """Read the keys of the whole range at once, where the warehouse does not tell which months have rows."""
        whole = self._request(ALL)
        read = read_frame(self._job.warehouse, whole, subject=self._subject, progress=self._job.progress)
        frame, _ = spine_rows(read, self._shortest, self._subject, self._job.settings.duplicates)
        names = [each.name for each in periods_in(frame.get_column(KEY), self._job.settings.period)]
        starts = [self._bounds(name)[0] for name in names]
        keys = as_key(read, self._subject)
        found: list[SpinePart] = []
        for number, name in enumerate(names):
            start = starts[number] if number else None
            end = starts[number + 1] if number + 1 < len(names) else None
            within = pl.Series([True]).new_from_index(0, keys.len())
            within = within & (keys >= start) if start is not None else within
            within = within & (keys < end) if end is not None else within
            part = self._of(name, read.filter(within), self._request(name))
            kept = self._kept(name)  # a killed run may have made it
            found.append(kept if kept is not None and kept.keys.equals(part.keys) else part)
        return found

    def _has_enough(self, parts: Sequence[SpinePart]) -> bool:
        """Return whether the last rows or days that were asked for are among these parts, which end with the latest."""
        last = self._job.settings.last_span
        if last is None or not parts:
            return False
        if last.unit == "rows":
            return sum(part.keys.len() for part in parts) >= last.count
        bound = parts[0].after or self._bounds(parts[0].name)[0]
        return bound is not None and bound <= last.days_before(parts[-1].keys[-1])

    def _within_last(self, parts: list[SpinePart]) -> list[SpinePart]:
        """Return the parts without the rows before the last rows or days that were asked for."""
        last = self._job.settings.last_span
        if last is None:
            return parts
        keys = pl.concat([part.keys for part in parts])
        if last.unit == "days":
            after = last.days_before(keys[-1])
        elif keys.len() >= last.count:
            after = keys[-last.count] - TICK
        else:
            return parts
        return [self._after(part, after) for part in parts if part.keys[-1] > after]

    def _after(self, part: SpinePart, after: datetime) -> SpinePart:
        start = self._bounds(part.name)[0]
        if start is not None and start > after:
            return part
        if part.fresh is not None and part.after == after:
            return part
        if part.read is None:
            part = self._read(part.name)
        read = cast("pl.DataFrame", part.read)
        read = read.filter(as_key(read, self._subject) > after)
        return replace(self._of(part.name, read, part.request, after))
