"""Finds features that equal future values, which it rebuilds from the targets.

Lookahead by name is found in ``catalogue.discovery``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.names import target_name

_PROBES = 12
"""Rows of a column that are sampled."""
_LEAST_VOTES = 2
"""Probes that the same shift must explain before the whole column is compared."""
_LEAST_ROWS = 30
"""Distinct comparable values below which nothing is proved: a flag equals any other now and then."""
_ROUND_OFF = 1e-9
_SAMPLE_ROWS = 64
_NEAREST = 64
"""The nearest later rows with a probe's value that are examined."""
_COMPARED = 8
"""The most frequent shifts at which a whole column is compared."""
_KEY_BITS = 25
"""Low mantissa bits that are overwritten by the position (at least 25). The remaining 27 bits give buckets wider than
twice ``_ROUND_OFF``, so equal values fall into at most two neighbouring buckets."""

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


class _Matches(NamedTuple):
    """Later rows where sampled values, or their negatives, occur again; one entry for each occurrence."""

    sample: Positions
    """Index of the sampled value."""
    window: Positions
    shift: Positions
    negative: npt.NDArray[np.bool_]


class LookaheadDetector:
    """Finds columns that equal the BQX of a later row, or its negative.

    **Shape**: ``windows`` yields each window with its targets, spine rows x its horizons; one is held at a time.
    **Cost**: keeps two numbers for each row and window (112 bytes a row for seven windows; 120 while it is built). A
    column takes two dozen binary searches, and a whole comparison only if it is suspect. ``find_all`` examines many
    columns at a tenth of the cost of ``find``.

    Columns of past or present values (bqx_w of this row or an earlier one) are no lookahead and are never flagged.
    """

    def __init__(self, windows: Iterable[tuple[int, pl.DataFrame]], horizons: Sequence[int]) -> None:
        rebuilt: dict[int, Floats] = {}
        for window, targets in windows:
            rebuilt[window] = _rebuilt(targets, window, horizons)
            del targets  # before the next window's are made
        self._windows = list(rebuilt)
        # Row by row, so that among equal values that of the later row has the greater position.
        self._values: Floats = np.stack(list(rebuilt.values()), axis=1) if rebuilt else np.empty((0, 0))
        rebuilt.clear()
        self._low = np.uint64((1 << max(_KEY_BITS, self._values.size.bit_length())) - 1)
        self._keys = _keys(self._values, self._low)

    def find(self, column: pl.Series, first_row: int = 0) -> str | None:
        """Return why ``column`` looks ahead, e.g. "equals bqx_90 30 rows ahead"; None if it does not.

        **Shape**: consecutive spine rows from ``first_row`` on; "ahead" counts rows of the spine.
        """
        if not column.dtype.is_float():
            return None
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        probes = _probe_rows(values)
        if probes.size < _LEAST_VOTES:
            return None
        matches = self._find_later(first_row + probes, values[probes])
        votes = Counter(zip(matches.window.tolist(), matches.negative.tolist(), matches.shift.tolist(), strict=True))
        for (window, negative, shift), count in votes.most_common(_COMPARED):
            later = self._values[first_row + shift :, window]
            if count >= _LEAST_VOTES and _equal(-values if negative else values, later):
                return f"equals {'the negative of ' if negative else ''}bqx_{self._windows[window]} {shift} rows ahead"
        return None

    def find_all(self, features: pl.DataFrame, first_row: int = 0) -> dict[str, str]:
        """Return the reason for each column that looks ahead, by name; the others are left out.

        A sample of every column is searched among the values of later rows. A whole column is compared only if two
        sampled values occur at the same distance ahead, or if too few rows of the sample have a value to decide.

        **Shape**: as in ``find``. **Cost**: 64 rows of all columns, and at most 400 KB a column for their matches.
        """
        floats = features.select(name for name, dtype in features.schema.items() if dtype.is_float())
        if not floats.width or not floats.height:
            return {}
        rows = np.unique(np.linspace(0, floats.height - 1, min(floats.height, _SAMPLE_ROWS)).astype(np.int64))
        sample = floats[rows].to_numpy().astype(np.float64)
        usable = np.isfinite(sample) & (sample != 0.0)
        row, column = np.nonzero(usable)
        matches = self._find_later(first_row + rows[row], sample[usable])
        # One number for each column, window and shift: numpy counts rows of numbers in ten times the time.
        found_at = (column[matches.sample] * len(self._windows) + matches.window) * len(self._values) + matches.shift
        same, votes = np.unique(found_at, return_counts=True)
        suspect = usable.sum(axis=0) < _PROBES
        suspect[same[votes >= _LEAST_VOTES] // (len(self._windows) * len(self._values))] = True
        names = [floats.columns[position] for position in np.flatnonzero(suspect).tolist()]
        reasons = {name: self.find(floats.get_column(name), first_row) for name in names}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def _find_later(self, rows: Positions, wanted: Floats) -> _Matches:
        """Find values of rows among the rows after them. **Shape**: ``rows`` and ``wanted`` have the same length."""
        sizes, low = np.abs(wanted), self._low
        after = np.minimum(((rows + 1) * len(self._windows)).astype(np.uint64), low)
        steps = [(sizes * (1 + sign * _ROUND_OFF)).view(np.uint64) & ~low for sign in (-1, 1)]
        first = np.concatenate([np.searchsorted(self._keys, step | after) for step in steps])
        end = np.concatenate([np.searchsorted(self._keys, step | low, side="right") for step in steps])
        end[: rows.size][steps[0] == steps[1]] = 0  # both ends are in one bucket, which is searched once
        counts = np.clip(end - first, 0, _NEAREST)
        which = np.repeat(np.arange(counts.size), counts)
        nth = np.arange(which.size) - (np.cumsum(counts) - counts)[which]
        position = (self._keys[first[which] + nth] & low).astype(np.int64)
        which %= max(1, rows.size)
        there = self._values.reshape(-1)[position]
        equal = np.abs(np.abs(there) - sizes[which]) <= sizes[which] * _ROUND_OFF
        which, position, there = which[equal], position[equal], there[equal]
        row, window = np.divmod(position, max(1, len(self._windows)))
        return _Matches(which, window, row - rows[which], (there < 0) != (wanted[which] < 0))


def _keys(values: Floats, low: np.uint64) -> npt.NDArray[np.uint64]:
    """Return the size and position of every known value in one number, sorted by size, then by row.

    The bits of a float without its sign sort as its size does; the position replaces the lowest of them. So there is
    one array to sort and to search: a separate index took 16 times as long to build and 3 times as long to search.
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


def _rebuilt(targets: pl.DataFrame, window: int, horizons: Sequence[int]) -> Floats:
    """Return bqx_w of the spine's rows and of the rows after its end; NaN where it is unknown.

    ``target_bqx{w}_h{h}[t]`` is bqx_w[t + h], so each horizon h gives the rows from h on.
    """
    values = np.full(targets.height + max(horizons), np.nan)
    for horizon in sorted(horizons, reverse=True):
        known = targets.get_column(target_name(window, horizon)).fill_null(float("nan")).to_numpy()
        shifted = values[horizon : horizon + targets.height]
        np.copyto(shifted, known, where=~np.isnan(known))
    return values


def _probe_rows(values: Floats) -> Positions:
    """Return rows spread over the column with distinct, non-zero values, since zeros and repeats match anywhere."""
    rows = np.flatnonzero(np.isfinite(values) & (values != 0.0))
    if rows.size < _LEAST_ROWS:
        return rows[:0]
    spread = rows[np.linspace(0, rows.size - 1, min(rows.size, 4 * _PROBES)).astype(np.intp)]
    _, first = np.unique(values[spread], return_index=True)
    return np.sort(spread[first])[:: max(1, first.size // _PROBES)]


def _equal(values: Floats, later: Floats) -> bool:
    """Return whether all rows where both are known agree, and have enough distinct values."""
    rows = min(values.size, later.size)
    here, there = values[:rows], later[:rows]
    both = np.isfinite(here) & np.isfinite(there)
    if np.unique(here[both]).size < _LEAST_ROWS:
        return False
    return bool(np.allclose(here[both], there[both], rtol=_ROUND_OFF, atol=0.0))
