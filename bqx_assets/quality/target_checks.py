"""Compares targets with each other and with the later BQX that they state, and searches features for future values.

``target_bqx{w}_h{h}[t]`` is the value of bqx_w that the targets table has h rows after t. The file contains only the
spine's rows: if the spine left out rows between t and t + h, h rows of the file are more rows of the table. So a pair
of rows proves something only if no row can be missing between them: if their keys are exactly h usual steps apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.names import target_name
from bqx_assets.extract.lookahead import LookaheadDetector

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Held = tuple[str, str, int]
"""A column, another one, and the number of rows by which the compared row of the other one is later."""

_ROUND_OFF = 1e-9
BQX_PREFIX = "base_bqx__bqx_"


def bqx_column(window: int) -> str:
    """Return the name of the feature that holds bqx_w of the row itself."""
    return f"{BQX_PREFIX}{window}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of one column with another one a number of rows later."""

    column: str
    other: str
    shift: int
    compared: int
    """Pairs of rows in which both values are known; for two targets, at least one."""
    differing: int
    proven: int
    """Differing pairs with no missing row between them."""
    provable: int
    """Compared pairs with no missing row between them."""

    @property
    def failed(self) -> bool:
        """True if a difference is proven; if no pair can prove anything, if more than half of the pairs differ."""
        return self.proven > 0 if self.provable else 2 * self.differing > self.compared

    def __str__(self) -> str:
        return (
            f"{self.column} differs from {self.other} {self.shift} rows later "
            f"on {self.differing:,} of {self.compared:,} rows"
        )


@dataclass(frozen=True, slots=True)
class WindowRows:
    """One window's targets in a row group, and the feature that is its BQX, if the file has that feature."""

    window: int
    targets: pl.DataFrame
    """One column for each horizon, under the names of the targets."""
    bqx: pl.Series | None


@dataclass(slots=True)
class TargetComparer:
    """Compares the targets of one row group after another, each also with the rows before it.

    **Cost**: memory for the keys of the whole file, two numbers for each row and window of the present row group, and
    as many earlier rows of the targets as the farthest horizon has.
    """

    keys: pl.Series
    horizons: Sequence[int]
    _found: dict[Held, Counts] = field(default_factory=dict["Held", "Counts"])
    """For each comparison, its numbers of compared, differing, proven and provable pairs."""
    _last: dict[str, Floats] = field(default_factory=dict[str, Floats])
    """For each target, the rows before the present row group with which later rows may be compared."""
    _whole: dict[int, npt.NDArray[np.bool_]] = field(default_factory=dict[int, "npt.NDArray[np.bool_]"])
    """For each shift, which pairs that end in the present row group have no missing row between them."""
    _look: LookaheadDetector | None = None
    _step: int | None = None
    """The median time from a row to the next, in microseconds."""

    @property
    def comparisons(self) -> list[Comparison]:
        """The results of all row groups so far, window by window."""
        return [Comparison(*held, *counts.tolist()) for held, counts in self._found.items()]

    def enter(self, first_row: int, windows: Iterable[WindowRows]) -> None:
        """Begin the row group at ``first_row`` of the file: compare its targets, and prepare the search in features."""
        known: list[int] = []

        def compared() -> Iterator[tuple[int, pl.DataFrame]]:
            for each in windows:
                self._compare_window(first_row, each)
                known.append(each.window)
                yield each.window, each.targets

        self._look = None  # before the next one is built
        self._whole.clear()
        look = LookaheadDetector(compared(), self.horizons)
        self._look = look if known else None

    def look(self, features: pl.DataFrame) -> Mapping[str, str] | None:
        """Return the reason for each float feature of the row group that looks forward; None if there are no targets.

        A column is found if it contains 30 later values in one row group. Only an almost empty column contains fewer.
        """
        return None if self._look is None else self._look.find_all(features)

    def forget(self, names: Collection[str]) -> None:
        """Remove the comparisons with these columns."""
        self._found = {held: counts for held, counts in self._found.items() if {*held[:2]}.isdisjoint(names)}

    def _compare_window(self, first_row: int, rows: WindowRows) -> None:
        """Compare a window's targets with each other, and with the window's feature if the file has it."""
        targets = {h: target_name(rows.window, h) for h in sorted(self.horizons)}
        columns = {h: _floats(rows.targets.get_column(name)) for h, name in targets.items()}
        bqx = None if rows.bqx is None else _floats(rows.bqx)
        near = min(self.horizons)
        for h, name in targets.items():
            earlier = self._after_last(name, first_row, columns[h])
            if bqx is not None:
                self._compare((name, bqx_column(rows.window), h), earlier, bqx, first_row)
            if h != near:
                self._compare((name, targets[near], h - near), earlier, columns[near], first_row)

    def _after_last(self, name: str, first_row: int, values: Floats) -> Floats:
        """Return a target's rows, preceded by as many earlier rows as the farthest horizon reaches back."""
        before = min(first_row, max(self.horizons))
        held = np.full(before + values.size, np.nan)
        held[before:] = values
        last = self._last.get(name)
        if last is not None:
            held[before - last.size : before] = last
        self._last[name] = held[max(0, held.size - max(self.horizons)) :].copy()
        return held

    def _compare(self, held: Held, earlier: Floats, later: Floats, first_row: int) -> None:
        """Compare a column's rows with another's; a pair is compared in the row group of its later row."""
        shift = held[2]
        before = earlier.size - later.size
        start = max(shift, before)  # the first row whose earlier partner is known
        size = max(0, earlier.size - start)
        here, there = earlier[start - shift :][:size], later[start - before :]
        whole = self._unbroken(first_row - before + start, size, shift)
        known, known_there = np.isfinite(here), np.isfinite(there)
        # Two targets are the same BQX, so if only one has a value, one is wrong. A feature's row may be missing.
        held_against = known & known_there if held[1].startswith(BQX_PREFIX) else known | known_there
        # Hardly any pair differs, so the five passes that allow for round-off are made over the differing ones only.
        apart = np.flatnonzero(held_against & (here != there))
        apart = apart[~np.isclose(here[apart], there[apart], rtol=_ROUND_OFF, atol=1e-12)]
        counts = (
            np.count_nonzero(held_against),
            apart.size,
            np.count_nonzero(whole[apart]),
            np.count_nonzero(held_against & whole),
        )
        self._found[held] = self._found.get(held, 0) + np.array(counts)

    def _unbroken(self, row: int, size: int, shift: int) -> npt.NDArray[np.bool_]:
        """Return for ``size`` rows from ``row`` on whether no row is missing since the row ``shift`` rows before."""
        if shift not in self._whole:
            times = self.keys.to_physical().to_numpy()
            if self._step is None:
                self._step = int(np.median(np.diff(times))) if times.size > 1 else 0
            apart = times[row : row + size] - times[row - shift :][:size]
            self._whole[shift] = apart == shift * self._step
        return self._whole[shift]


def _floats(column: pl.Series) -> Floats:
    """Return the values with NaN for null; nothing is copied where there is no null."""
    return column.cast(pl.Float64).to_numpy()
