"""Columns that look forward, found by value: a feature equal to the future that the targets hold.

Belongs here: rebuilding bqx_w from the targets and looking a column up in it. Does not: leaks by name
(``catalogue.discovery``), or what becomes of a leaking column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

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
_NEAREST = 64
"""Later rows with a probe's value that are looked at, the nearest ones."""
_COMPARED = 8
"""Shifts that a whole column is compared at, the most voted ones."""
_KEY_BITS = 25
"""Bits of a float that give way to a place, at least. The 27 left make steps of more than twice ``_ROUND_OFF``: all
values within ``_ROUND_OFF`` of one lie in at most two steps."""

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class _Met(NamedTuple):
    """Where wanted values, or their negatives, are met again on later rows; one entry a meeting."""

    which: Places
    """Place among the wanted values."""
    window: Places
    shift: Places
    negative: npt.NDArray[np.bool_]


class LookaheadDetector:
    """Finds columns equal to a later row's BQX, or to its negative.

    **Shape**: ``windows`` give each window's targets, spine rows x its horizons, and may be made one after another:
    one is held at a time. **Cost**: keeps two numbers for each row and window (112
    bytes a row for seven windows; 120 while it is built); a look-up is two dozen binary searches, and a whole
    comparison only for a column that is suspect already. ``find_all`` asks of many columns at once at a tenth of the
    cost of ``find``.

    A column of past or present values (bqx_w of this row or an earlier one) is no leak and is never flagged.
    """

    def __init__(self, windows: Iterable[tuple[int, pl.DataFrame]], horizons: Sequence[int]) -> None:
        rebuilt: dict[int, Floats] = {}
        for window, targets in windows:
            rebuilt[window] = _rebuilt(targets, window, horizons)
            del targets  # before the next window's are made
        self._windows = list(rebuilt)
        # Row by row, so that of equal values the one of the later row has the greater place.
        self._values: Floats = np.stack(list(rebuilt.values()), axis=1) if rebuilt else np.empty((0, 0))
        rebuilt.clear()
        self._low = np.uint64((1 << max(_KEY_BITS, self._values.size.bit_length())) - 1)
        self._keys = _keys(self._values, self._low)

    def find(self, column: pl.Series, first_row: int = 0) -> str | None:
        """Return why ``column`` looks forward, e.g. "equals bqx_90 30 rows ahead"; None if it does not.

        **Shape**: consecutive rows of the spine, from ``first_row`` on; ahead is what is ahead in the spine.
        """
        if not column.dtype.is_float():
            return None
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        probes = _probe_rows(values)
        if probes.size < _LEAST_VOTES:
            return None
        met = self._met(first_row + probes, values[probes])
        votes = Counter(zip(met.window.tolist(), met.negative.tolist(), met.shift.tolist(), strict=True))
        for (window, negative, shift), count in votes.most_common(_COMPARED):
            later = self._values[first_row + shift :, window]
            if count >= _LEAST_VOTES and _equal(-values if negative else values, later):
                return f"equals {'the negative of ' if negative else ''}bqx_{self._windows[window]} {shift} rows ahead"
        return None

    def find_all(self, features: pl.DataFrame, first_row: int = 0) -> dict[str, str]:
        """Return why columns look forward, by name; those that do not are left out.

        A sample of every column is searched for among later rows' values; a column is looked up whole only where two
        sampled values are met equally far ahead, or where the sample holds too few values to tell.

        **Shape**: as ``find``'s. **Cost**: 64 rows of all columns, and at most 400 KB a column for what they meet.
        """
        floats = features.select(name for name, dtype in features.schema.items() if dtype.is_float())
        if not floats.width or not floats.height:
            return {}
        rows = np.unique(np.linspace(0, floats.height - 1, min(floats.height, _SAMPLE_ROWS)).astype(np.int64))
        sample = floats[rows].to_numpy().astype(np.float64)
        usable = np.isfinite(sample) & (sample != 0.0)
        row, place = np.nonzero(usable)
        met = self._met(first_row + rows[row], sample[usable])
        meetings = np.stack((place[met.which], met.window, met.shift))
        same, votes = np.unique(meetings, axis=1, return_counts=True)
        suspect = _distinct(sample, usable) < _PROBES
        suspect[same[0, votes >= _LEAST_VOTES]] = True
        names = [floats.columns[place] for place in np.flatnonzero(suspect).tolist()]
        reasons = {name: self.find(floats.get_column(name), first_row) for name in names}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def _met(self, rows: Places, wanted: Floats) -> _Met:
        """Look values of rows up among the rows after them. **Shape**: ``rows`` and ``wanted`` of one length."""
        sizes, low = np.abs(wanted), self._low
        after = np.minimum(((rows + 1) * len(self._windows)).astype(np.uint64), low)
        steps = [(sizes * (1 + sign * _ROUND_OFF)).view(np.uint64) & ~low for sign in (-1, 1)]
        first = np.concatenate([np.searchsorted(self._keys, step | after) for step in steps])
        end = np.concatenate([np.searchsorted(self._keys, step | low, side="right") for step in steps])
        end[: rows.size][steps[0] == steps[1]] = 0  # one step, not two: looked at once
        counts = np.clip(end - first, 0, _NEAREST)
        which = np.repeat(np.arange(counts.size), counts)
        nth = np.arange(which.size) - (np.cumsum(counts) - counts)[which]
        place = (self._keys[first[which] + nth] & low).astype(np.int64)
        which %= max(1, rows.size)
        there = self._values.reshape(-1)[place]
        equal = np.abs(np.abs(there) - sizes[which]) <= sizes[which] * _ROUND_OFF
        which, place, there = which[equal], place[equal], there[equal]
        row, window = np.divmod(place, max(1, len(self._windows)))
        return _Met(which, window, row - rows[which], (there < 0) != (wanted[which] < 0))


def _keys(values: Floats, low: np.uint64) -> npt.NDArray[np.uint64]:
    """Every known value's size and place in one number, ascending; of one size, by row.

    A float's bits without its sign ascend as its size does; the place takes the last of them. One sort of numbers, and
    one array to search: an order beside the values took 16 times as long to build and 3 times as long to search.
    """
    keys = np.abs(values).view(np.uint64)
    keys &= ~low
    for window in range(values.shape[1]):
        keys[:, window] |= np.arange(window, values.size, values.shape[1], dtype=np.uint64)
    unknown = np.isnan(values)
    keys[unknown] = np.iinfo(np.uint64).max
    ordered = keys.reshape(-1)
    ordered.sort()
    return ordered[: ordered.size - np.count_nonzero(unknown)]


def _distinct(sample: Floats, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """How many different usable values each column of the sample holds."""
    ordered = np.sort(np.where(usable, sample, np.inf), axis=0)
    new = np.isfinite(ordered)
    new[1:] &= ordered[1:] != ordered[:-1]
    return new.sum(axis=0)


def _rebuilt(targets: pl.DataFrame, window: int, horizons: Sequence[int]) -> Floats:
    """bqx_w of the spine's rows and the rows after its end; NaN where unknown.

    ``target_bqx{w}_h{h}[t]`` is bqx_w[t + h]: shifted back, each horizon gives all rows from its h on.
    """
    values = np.full(targets.height + max(horizons), np.nan)
    for horizon in sorted(horizons, reverse=True):
        known = targets.get_column(f"target_bqx{window}_h{horizon}").fill_null(float("nan")).to_numpy()
        place = values[horizon : horizon + targets.height]
        np.copyto(place, known, where=~np.isnan(known))
    return values


def _probe_rows(values: Floats) -> Places:
    """Rows spread over the column with distinct, non-zero values: zeros and repeats match anywhere."""
    rows = np.flatnonzero(np.isfinite(values) & (values != 0.0))
    if rows.size < _LEAST_ROWS:
        return rows[:0]
    spread = rows[np.linspace(0, rows.size - 1, min(rows.size, 4 * _PROBES)).astype(np.intp)]
    _, first = np.unique(values[spread], return_index=True)
    return np.sort(spread[first])[:: max(1, first.size // _PROBES)]


def _equal(values: Floats, later: Floats) -> bool:
    """Whether every row where both are known agrees, over enough distinct values."""
    rows = min(values.size, later.size)
    here, there = values[:rows], later[:rows]
    both = np.isfinite(here) & np.isfinite(there)
    if np.unique(here[both]).size < _LEAST_ROWS:
        return False
    return bool(np.allclose(here[both], there[both], rtol=_ROUND_OFF, atol=0.0))
