"""Collects the facts that follow from the values of a training file, each decoded once, one row group after another.

It decides the order of columns, the facts that are kept of them, and the facts that damage invalidates. ``validate``
reads ahead, ``chunk_reader`` decodes, and the rules judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import polars as pl

from bqx_assets.base.content import ColumnContent, Periods, periods_of
from bqx_assets.base.errors import InexactValue
from bqx_assets.base.names import KEY
from bqx_assets.extract.columns import as_moments
from bqx_assets.merge.footer import Footer
from bqx_assets.quality.chunk_reader import (
    Block,
    Group,
    Unreadable,
    column_groups,
    counted_once,
    decode,
    group_of,
    uncounted,
)
from bqx_assets.quality.integrity import FileChecksum
from bqx_assets.quality.scan import Scan, StatedGroup, measure
from bqx_assets.quality.table_rows import TableRows
from bqx_assets.quality.target_checks import TargetComparer, WindowRows, bqx_column

Part = tuple[Sequence[int], pl.DataFrame]
"""Columns by position, and their values in one row group."""


class Work(NamedTuple):
    """A group of columns to read, and its name for progress."""

    name: str
    group: Group
    again: bool = False
    """Whether its bytes are read a second time later, with the columns beside them."""


class DeepScan:
    """The part of a scan that decodes values. Once it begins, the facts of a column that is not decoded are unknown."""

    def __init__(
        self, scan: Scan, footer: Footer, stated: Sequence[StatedGroup], checksum: FileChecksum | None
    ) -> None:
        self._scan, self._footer, self._stated, self._checksum = scan, footer, stated, checksum
        self._places = {column.name: place for place, column in enumerate(scan.columns)}
        self._periods: Periods | None = None
        self._contents: dict[int, ColumnContent] = {}
        self._unreadable: dict[int, str] = {}
        # A slab's pages were compared with its values when it was made; since then its checksum proves them unchanged.
        self._false_pages: dict[int, str] | None = {} if checksum is None else None
        self._first_row = 0
        """The row of the file at which the row group begins whose columns are taken."""
        scan.table_rows = TableRows.of(scan.manifest) if scan.manifest is not None else None
        self._rest: list[int] = []
        """For each row group, the number of groups of columns that follow its targets."""
        for column in scan.columns:
            column.nulls = column.low = column.high = None

    def plan(self, bound_bytes: int, end: int) -> list[Work]:
        """Return the groups of columns to read, in order; each byte before ``end`` is counted once.

        First comes the key of all row groups. Then, for each row group: BQX, the targets window by window, the rest.
        """
        columns, expectations = self._scan.columns, self._scan.expectations
        windows = expectations.windows
        keys = [place for place, column in enumerate(columns) if column.role == "key"]
        bqx = sorted(place for place in self._there(map(bqx_column, windows)) if columns[place].type == "FLOAT64")
        targets = {window: sorted(self._there(expectations.window_targets(window))) for window in windows}
        first = {*keys}.union(*targets.values())
        others = [place for place in range(len(columns)) if place not in first]
        types = [column.type for column in columns]
        work = [self._work(number, "key", keys) for number in range(len(self._stated))]
        for number, stated in enumerate(self._stated):
            work.append(self._work(number, "BQX of the row", bqx, again=True))
            work += [self._work(number, f"targets of window {window}", places) for window, places in targets.items()]
            rest = column_groups(types, stated, others, bound_bytes)
            work += [
                self._work(number, f"columns, group {n} of {len(rest)}", each) for n, each in enumerate(rest, start=1)
            ]
            self._rest.append(len(rest))
        counted = iter(counted_once([each.group for each in work if not each.again], end))
        return [each._replace(group=uncounted(each.group) if each.again else next(counted)) for each in work]

    def decode(self, group: Group, blocks: Sequence[Block]) -> list[Part]:
        """Return the columns' values. Damaged columns are left out and named; the others are decoded without them."""
        intact = [place for place in group.places if place not in self._unreadable and not self._damaged(place)]
        return self._decode(group.row_group, intact, blocks) if intact else []

    def take(self, decoded: Iterator[list[Part]]) -> None:
        """Collect the facts of the plan's groups, which must come in the order of the plan."""
        self._take_keys([next(decoded) for _ in self._stated])
        for stated, rest in zip(self._stated, self._rest, strict=True):
            windows = self._windows(stated, decoded)
            if self._scan.future is not None:
                self._scan.future.enter(self._first_row, windows)
            for _ in windows:
                pass  # without keys nothing is compared with the future, but the targets are still measured
            for _ in range(rest):
                self._take(stated, next(decoded))
            self._first_row += stated.rows

    def finish(self) -> None:
        """Store the content digests, and remove all facts of columns that were damaged in any row group."""
        for place, content in self._contents.items():
            self._scan.columns[place].content = content.digest()
        damaged = {place for place in range(len(self._scan.columns)) if self._damaged(place)}
        self._scan.unreadable += [text for place, text in sorted(self._unreadable.items()) if place not in damaged]
        lost: set[str] = set()
        for place in damaged.union(self._unreadable):
            column = self._scan.columns[place]
            column.nulls = column.low = column.high = column.nan = column.infinite = None
            column.disagrees = column.forward = column.content = None
            column.head = column.tail = None
            lost.add(column.name)
        if KEY in lost:
            self._scan.keys = self._scan.future = None
        stated = self._scan.expectations
        halved = [targets for targets in map(stated.window_targets, stated.windows) if lost & {*targets}]
        if self._scan.future is not None:
            self._scan.future.forget(lost.union(*halved))
        if halved:
            for column in self._scan.columns:
                column.forward = column.forward or None  # a comparison with some of the targets clears no column

    def _there(self, names: Iterable[str]) -> list[int]:
        return [self._places[name] for name in names if name in self._places]

    def _work(self, row_group: int, name: str, places: Sequence[int], *, again: bool = False) -> Work:
        several = f", row group {row_group + 1} of {len(self._stated)}" * (len(self._stated) > 1)
        return Work(name + several, group_of(row_group, places, self._stated[row_group]), again)

    def _decode(self, row_group: int, places: Sequence[int], blocks: Sequence[Block]) -> list[Part]:
        try:
            return [(places, decode(self._footer, self._stated[row_group], places, blocks, self._false_pages))]
        except Unreadable as error:
            if len(places) == 1:
                self._unreadable.setdefault(places[0], f"{self._scan.columns[places[0]].name}: {error}")
                return []
            middle = len(places) // 2
            halves = (places[:middle], places[middle:])
            return [part for half in halves for part in self._decode(row_group, half, blocks)]

    def _damaged(self, place: int) -> bool:
        """Return whether a recorded checksum has shown by now that the column's bytes were changed."""
        checksum = self._checksum
        if checksum is None or not checksum.damaged:
            return False
        return any(checksum.is_damaged(stated.start[place], stated.end[place]) for stated in self._stated)

    def _take_keys(self, groups: Sequence[list[Part]]) -> None:
        """Keep the keys of all row groups, because the order of rows is judged over the whole file."""
        found: list[pl.Series] = []
        for stated, parts in zip(self._stated, groups, strict=True):
            for places, frame in parts:
                self._measure(stated, places, frame)
                found.append(frame.to_series())
        if len(found) != len(groups) or not isinstance(found[0].dtype, pl.Datetime):
            return
        keys = pl.concat(found).rechunk()
        try:
            self._scan.keys = as_moments(keys.to_physical(), found[0].dtype.time_unit, KEY)
        except InexactValue as error:
            # A cast would cut digits, and Polars panics when it shows a year after 9999.
            self._unreadable.setdefault(self._places[KEY], error.got)
            return
        if not keys.null_count():
            self._scan.future = TargetComparer(self._scan.keys, self._scan.expectations.horizons)
            if self._scan.recorded_content() and keys.is_sorted():
                self._periods = periods_of(self._scan.keys)
                self._add_content(self._places[KEY], keys)

    def _windows(self, stated: StatedGroup, decoded: Iterator[list[Part]]) -> Iterator[WindowRows]:
        """Yield the targets of one window after another: the future values that features are compared with.

        BQX itself is a feature, and is measured later with the other features.
        """
        bqx = {
            self._scan.columns[place].name: series
            for places, frame in next(decoded)
            for place, series in zip(places, frame.iter_columns(), strict=True)
        }
        for window in self._scan.expectations.windows:
            for places, frame in next(decoded):
                self._measure(stated, places, frame)
                named = frame.rename({str(place): self._scan.columns[place].name for place in places})
                floats = all(dtype.is_float() for dtype in named.dtypes)
                if floats and {*named.columns} == {*self._scan.expectations.window_targets(window)}:
                    yield WindowRows(window, named, bqx.pop(bqx_column(window), None))

    def _take(self, stated: StatedGroup, parts: Sequence[Part]) -> None:
        future = self._scan.future
        for places, frame in parts:
            self._measure(stated, places, frame)
            found = future.look(frame) if future is not None else None
            if found is not None:
                for place in places:
                    column = self._scan.columns[place]
                    column.forward = column.forward or found.get(str(place), "")

    def _measure(self, stated: StatedGroup, places: Sequence[int], frame: pl.DataFrame) -> None:
        """Take the facts and the digest of one column after another, while its values are near the processor."""
        for place, series in zip(places, frame.iter_columns(), strict=True):
            column = self._scan.columns[place]
            measure(series, column, stated.statistics(place))
            if place in (self._false_pages or ()):
                column.disagrees = column.disagrees or (self._false_pages or {})[place]
            if self._scan.table_rows is not None:
                self._scan.table_rows.add(column.name, self._first_row, series)
            self._add_content(place, series)

    def _add_content(self, place: int, series: pl.Series) -> None:
        """Add a column's next rows to its digest if the keys, and with them the months of the rows, are known."""
        if self._periods is not None and self._scan.columns[place].type is not None:
            self._contents.setdefault(place, ColumnContent(self._periods)).add_series(series)
