"""Columns that look forward, found by value: a feature equal to the future that the targets hold.

Belongs here: rebuilding bqx_w from the targets and looking a column up in it. Does not: leaks by name
(``catalogue.discovery``), or what becomes of a leaking column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

_PROBES = 12
"""Sampled rows of a column."""
_LEAST_VOTES = 2
"""Probes that a shift must explain before the whole column is compared."""
_LEAST_ROWS = 30
"""Fewer comparable distinct values prove nothing: a flag equals everything now and then."""
_ROUND_OFF = 1e-9
_SAMPLE_ROWS = 64
_CHANCE = 2
"""Sampled values that must be found in the future before a column is looked up whole."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Series:
    """bqx of one window over the spine's rows and the rows after its end: ``values[t]`` is bqx_w at row t."""

    window: int
    values: Floats
    order: npt.NDArray[np.intp]
    ascending: Floats


class ForwardLook:
    """Finds columns equal to a later row's BQX, or to its negative.

    **Shape**: ``targets`` spine rows x the target columns. **Cost**: keeps seven columns and their sort order; a
    look-up is a few dozen binary searches, and a whole comparison only for a column that is suspect already.
    ``find_all`` asks of many columns at once at a tenth of the cost of ``find``.

    A column of past or present values (bqx_w of this row or an earlier one) is no leak and is never flagged.
    """

    def __init__(self, targets: pl.DataFrame, windows: Sequence[int], horizons: Sequence[int]) -> None:
        self._series = [_rebuild(targets, window, horizons) for window in windows]

    def find(self, column: pl.Series) -> str | None:
        """Return why ``column`` (spine rows) looks forward, e.g. "equals bqx_90 30 rows ahead"; None if it does not."""
        if not column.dtype.is_float():
            return None
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        probes = _probe_rows(values)
        if probes.size < _LEAST_VOTES:
            return None
        for series in self._series:
            for sign, word in ((1.0, ""), (-1.0, "the negative of ")):
                for shift in _candidate_shifts(sign * values[probes], probes, series):
                    if _equal_at_shift(sign * values, series.values, shift):
                        return f"equals {word}bqx_{series.window} {shift} rows ahead"
        return None

    def find_all(self, features: pl.DataFrame) -> dict[str, str]:
        """Return why columns (spine rows) look forward, by name; those that do not are left out.

        A sample of every column is searched for among later rows' values; a column is looked up whole only where two
        sampled values are found, or where the sample holds too few values to tell.
        """
        floats = features.select(name for name, dtype in features.schema.items() if dtype.is_float())
        if not floats.width or not floats.height:
            return {}
        rows = np.unique(np.linspace(0, floats.height - 1, min(floats.height, _SAMPLE_ROWS)).astype(np.int64))
        sample = floats[rows].to_numpy().astype(np.float64)
        usable = np.isfinite(sample) & (sample != 0.0)
        ahead = usable & self._ahead(rows, sample)
        suspect = (ahead.sum(axis=0) >= _CHANCE) | (_distinct(sample, usable) < _PROBES)
        names = [floats.columns[place] for place in np.flatnonzero(suspect).tolist()]
        reasons = {name: self.find(floats.get_column(name)) for name in names}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    @cached_property
    def _by_size(self) -> tuple[Floats, npt.NDArray[np.intp]]:
        """The absolute value of every known BQX, ascending, and the last row that any window has it in."""
        values = np.abs(np.concatenate([series.ascending for series in self._series]))
        rows = np.concatenate([series.order for series in self._series])
        order = np.argsort(values, kind="stable")
        sizes, first = np.unique(values[order], return_index=True)
        return sizes, np.maximum.reduceat(rows[order], first) if first.size else rows

    def _ahead(self, rows: npt.NDArray[np.int64], sample: Floats) -> npt.NDArray[np.bool_]:
        """Return which sampled values, or their negatives, are a later row's. **Shape**: rows x columns."""
        sizes, last = self._by_size
        if not sizes.size:
            return np.zeros(sample.shape, dtype=np.bool_)
        wanted = np.abs(sample)
        place = np.minimum(np.searchsorted(sizes, wanted * (1 - _ROUND_OFF)), sizes.size - 1)
        return (np.abs(sizes[place] - wanted) <= wanted * _ROUND_OFF) & (last[place] > rows[:, None])


def _distinct(sample: Floats, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """How many different usable values each column of the sample holds."""
    ordered = np.sort(np.where(usable, sample, np.inf), axis=0)
    new = np.isfinite(ordered)
    new[1:] &= ordered[1:] != ordered[:-1]
    return new.sum(axis=0)


def _rebuild(targets: pl.DataFrame, window: int, horizons: Sequence[int]) -> _Series:
    """``target_bqx{w}_h{h}[t]`` is bqx_w[t + h]: shifted back, each horizon gives all rows from its h on."""
    values = np.full(targets.height + max(horizons), np.nan)
    for horizon in sorted(horizons, reverse=True):
        known = targets.get_column(f"target_bqx{window}_h{horizon}").fill_null(float("nan")).to_numpy()
        place = values[horizon : horizon + targets.height]
        np.copyto(place, known, where=~np.isnan(known))
    order = np.argsort(values, kind="stable")  # NaN last
    finite = int(np.count_nonzero(~np.isnan(values)))
    return _Series(window, values, order[:finite], values[order[:finite]])


def _probe_rows(values: Floats) -> npt.NDArray[np.intp]:
    """Rows spread over the column with distinct, non-zero values: zeros and repeats match anywhere."""
    rows = np.flatnonzero(np.isfinite(values) & (values != 0.0))
    if rows.size < _LEAST_ROWS:
        return rows[:0]
    spread = rows[np.linspace(0, rows.size - 1, min(rows.size, 4 * _PROBES)).astype(np.intp)]
    _, first = np.unique(values[spread], return_index=True)
    return np.sort(spread[first])[:: max(1, first.size // _PROBES)]


def _candidate_shifts(wanted: Floats, rows: npt.NDArray[np.intp], series: _Series) -> list[int]:
    """Shifts j > 0 at which at least two probes meet their own value, the most supported first."""
    margin = np.abs(wanted) * _ROUND_OFF
    low = np.searchsorted(series.ascending, wanted - margin, side="left")
    high = np.searchsorted(series.ascending, wanted + margin, side="right")
    support: dict[int, int] = {}
    for row, first, last in zip(rows.tolist(), low.tolist(), high.tolist(), strict=True):
        for place in series.order[first : min(last, first + 64)].tolist():
            if place > row:
                support[place - row] = support.get(place - row, 0) + 1
    voted = (shift for shift, votes in support.items() if votes >= _LEAST_VOTES)
    return sorted(voted, key=lambda shift: -support[shift])[:4]


def _equal_at_shift(values: Floats, series: Floats, shift: int) -> bool:
    """Whether every row where both are known agrees, over enough distinct values."""
    rows = min(values.size, series.size - shift)
    here, there = values[:rows], series[shift : shift + rows]
    both = np.isfinite(here) & np.isfinite(there)
    if np.unique(here[both]).size < _LEAST_ROWS:
        return False
    return bool(np.allclose(here[both], there[both], rtol=_ROUND_OFF, atol=0.0))
