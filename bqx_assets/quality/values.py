"""Every value of a training file decoded once, the targets first.

Belongs here: the order of columns, what is kept of them, and what damage takes away again. Does not: reading ahead
(``ahead``), decoding, what the facts mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.extract.align import KEY_TYPE
from bqx_assets.merge.footer import Footer
from bqx_assets.quality.columns import measure
from bqx_assets.quality.decode import Block, Unreadable, decode
from bqx_assets.quality.future import Future, bqx_column
from bqx_assets.quality.integrity import FileChecksum
from bqx_assets.quality.ranges import Group, column_groups, counted_once, group_of, uncounted
from bqx_assets.quality.scan import Scan
from bqx_assets.quality.statistics import Stated

Part = tuple[Sequence[int], pl.DataFrame]
"""Columns by position, and their values in all rows."""


Take = Callable[[Sequence[int], pl.DataFrame], None]


@dataclass(frozen=True, slots=True)
class Work:
    """A group of columns, and what becomes of its values."""

    name: str
    group: Group
    take: Take


class DeepPass:
    """The values' part of a scan. From its start on values speak: what is not decoded is not known."""

    def __init__(self, scan: Scan, footer: Footer, stated: list[list[Stated]], checksum: FileChecksum | None) -> None:
        self._scan, self._footer, self._stated, self._checksum = scan, footer, stated, checksum
        self._places = {column.name: place for place, column in enumerate(scan.columns)}
        self._unreadable: dict[int, str] = {}
        self._bqx: dict[str, pl.Series] = {}
        for column in scan.columns:
            column.nulls = column.low = column.high = None

    def plan(self, bound_bytes: int, end: int) -> list[Work]:
        """Return what to read in which order: BQX, key, targets, the rest; each byte before ``end`` counted once."""
        scan, windows = self._scan, self._scan.expectations.windows
        bqx = sorted(
            self._places[name]
            for name in map(bqx_column, windows)
            if name in self._places and scan.columns[self._places[name]].type == "FLOAT64"
        )
        keys = [place for place, column in enumerate(scan.columns) if column.role == "key"]
        steps: list[tuple[str, Sequence[int], Take]] = [("key", keys, self._take_keys)]
        for window in windows:
            targets = sorted(self._places[name] for name in self._targets(window) if name in self._places)
            steps.append((f"targets of window {window}", targets, partial(self._take_targets, window)))
        first = {place for _, places, _ in steps for place in places}
        others = [place for place in range(len(scan.columns)) if place not in first]
        rest = column_groups(self._footer, self._stated, others, bound_bytes)
        steps += [(f"columns, group {n} of {len(rest)}", places, self._take) for n, places in enumerate(rest, start=1)]
        groups = counted_once([group_of(places, self._stated) for _, places, _ in steps], end)
        ahead = Work("BQX of the row", uncounted(group_of(bqx, self._stated)), self._take_bqx)
        return [ahead, *(Work(name, group, take) for (name, _, take), group in zip(steps, groups, strict=True))]

    def decode(self, group: Group, blocks: Sequence[Block]) -> list[Part]:
        """Return the columns' values; damaged ones are left out and named, the others come in smaller groups then."""
        intact = [place for place in group.places if not self._damaged(place)]
        return self._decode(intact, blocks) if intact else []

    def finish(self) -> None:
        """Forget what came of bytes that by now are known to be damaged."""
        lost = [place for place in range(len(self._scan.columns)) if self._damaged(place)]
        self._scan.unreadable += [text for place, text in sorted(self._unreadable.items()) if place not in {*lost}]
        names = {self._scan.columns[place].name for place in lost}
        for place in lost:
            column = self._scan.columns[place]
            column.nulls = column.low = column.high = column.nan = column.infinite = None
            column.disagrees = column.forward = None
        if KEY in names:
            self._scan.keys = self._scan.future = None
        if future := self._scan.future:
            future.comparisons = [each for each in future.comparisons if names.isdisjoint((each.column, each.other))]
        if not names.isdisjoint(self._scan.expectations.targets()):
            for column in self._scan.columns:
                column.forward = None  # a look into a damaged future shows nothing

    def _decode(self, places: Sequence[int], blocks: Sequence[Block]) -> list[Part]:
        try:
            return [(places, decode(self._footer, places, blocks))]
        except Unreadable as error:
            if len(places) == 1:
                self._unreadable[places[0]] = f"{self._scan.columns[places[0]].name}: {error}"
                return []
            middle = len(places) // 2
            return [*self._decode(places[:middle], blocks), *self._decode(places[middle:], blocks)]

    def _damaged(self, place: int) -> bool:
        """Whether a recorded checksum says by now that the column's bytes were changed."""
        checksum = self._checksum
        if checksum is None or not checksum.damaged:
            return False
        return any(checksum.is_damaged(group[place].start, group[place].end) for group in self._stated)

    def _targets(self, window: int) -> list[str]:
        return [f"target_bqx{window}_h{horizon}" for horizon in self._scan.expectations.horizons]

    def _take_bqx(self, places: Sequence[int], frame: pl.DataFrame) -> None:
        """Keep the features that hold a window's BQX; they are measured when their turn comes."""
        for place, series in zip(places, frame.iter_columns(), strict=True):
            self._bqx[self._scan.columns[place].name] = series

    def _take_keys(self, places: Sequence[int], frame: pl.DataFrame) -> None:
        self._measure(places, frame)
        keys = frame.to_series()
        if not isinstance(keys.dtype, pl.Datetime):
            return
        local = keys if keys.dtype.time_zone else keys.dt.replace_time_zone("UTC")
        self._scan.keys = local.cast(KEY_TYPE)
        if not keys.null_count():
            self._scan.future = Future(self._scan.keys, self._scan.expectations.horizons)

    def _take_targets(self, window: int, places: Sequence[int], frame: pl.DataFrame) -> None:
        """One window after another: together they are the future that features are looked up in."""
        self._measure(places, frame)
        frame.columns = [self._scan.columns[place].name for place in places]
        floats = all(dtype.is_float() for dtype in frame.dtypes)
        if self._scan.future is not None and floats and {*frame.columns} == {*self._targets(window)}:
            self._scan.future.add(window, frame, self._bqx.pop(bqx_column(window), None))

    def _take(self, places: Sequence[int], frame: pl.DataFrame) -> None:
        self._measure(places, frame)
        future = self._scan.future
        if future is not None and future.comparisons:
            found = future.look(frame)
            for place in places:
                self._scan.columns[place].forward = found.get(str(place), "")

    def _measure(self, places: Sequence[int], frame: pl.DataFrame) -> None:
        facts = [self._scan.columns[place] for place in places]
        row = 0
        for stated, rows in zip(self._stated, self._footer.row_groups, strict=True):
            measure(frame.slice(row, rows), facts, [stated[place] for place in places])
            row += rows
