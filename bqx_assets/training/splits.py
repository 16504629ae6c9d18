"""Splits rows by time: walk-forward folds with an embargo, for windows that are given in rows or in time.

scikit-learn's ``TimeSeriesSplit(gap=...)`` and skfolio's ``WalkForward(purged_size=...)`` do it for windows of a fixed
number of rows; this is for windows such as 395 days, and gives ranges of dates as well as of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.errors import BadSetting

Rows = npt.NDArray[np.int64]
Size = int | timedelta
"""The length of a window: a number of rows, or a time."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk: train on some rows, leave out the embargo, test on the rows behind it."""

    number: int
    train: range
    """Positions of the training rows among the keys."""
    test: range
    train_start: datetime
    """Key of the first training row."""
    train_end: datetime
    """First moment behind the training rows: the key of the row that follows them."""
    test_start: datetime
    test_end: datetime
    """First moment behind the test rows."""

    def rows(self) -> tuple[Rows, Rows]:
        """Return the positions of training and test rows as scikit-learn takes them.

        ``cv=[fold.rows() for fold in walk_forward(...)]`` works wherever scikit-learn has an argument ``cv``.
        """
        return np.asarray(self.train), np.asarray(self.test)


def walk_forward(
    keys: pl.Series,
    *,
    train: Size,
    test: Size,
    embargo: int,
    step: Size | None = None,
    expanding: bool = False,
) -> Iterator[Fold]:
    """Yield the folds of a walk through ``keys``, the key of every row in the order of the rows.

    ``embargo`` is the number of rows between training and test rows (``embargo_rows``). Test windows follow one
    another by ``step``, by default their own length. A training window ends an embargo before its test window; it is
    ``train`` long, or with ``expanding`` at least so long, because it begins at the first row. The last window that
    has no full length is left out, as is a test window that holds no row or the same rows as the one before.

    Raises:
        BadSetting: keys are not unique and ascending, a size is not positive, or there are too few rows for one fold.
    """
    refuse_unordered(keys)
    _refuse_empty(train=train, test=test, step=test if step is None else step)
    if embargo < 0:
        raise BadSetting("embargo", got=f"{embargo}", expected="rows, 0 or more", cure="Compute it by embargo_rows.")
    walk = _Walk(keys, embargo)
    first = walk.behind(0, train)
    if first is None or first + embargo >= len(keys) or walk.behind(first + embargo, test) is None:
        raise BadSetting(
            "the split",
            got=f"{len(keys):,} rows{f', {keys[0]} to {keys[-1]}' if len(keys) else ''}",
            expected=f"at least one fold: train {train}, embargo {embargo:,} rows, test {test}",
            cure="Take shorter windows, or more rows.",
        )
    return walk.folds(first + embargo, train=train, test=test, step=test if step is None else step, expanding=expanding)


def purged(train: npt.ArrayLike, test: npt.ArrayLike, embargo: int) -> Rows:
    """Return the training rows that have at least ``embargo`` rows between them and every test row.

    It makes a purged k-fold of any splitter whose folds are blocks: training rows before and behind the test rows are
    left out alike.
    """
    kept, tested = np.asarray(train, np.int64), np.unique(np.asarray(test, np.int64))
    return kept[rows_between(kept, tested) >= embargo] if len(tested) else kept


def rows_between(rows: Rows, others: Rows) -> Rows:
    """Return for each row how many lie between it and the nearest of ``others``, which ascend; -1 if it is one."""
    place = np.searchsorted(others, rows)
    behind = np.abs(others[np.minimum(place, len(others) - 1)] - rows)
    before = np.abs(rows - others[np.maximum(place - 1, 0)])
    return np.minimum(before, behind) - 1


class _Walk:
    def __init__(self, keys: pl.Series, embargo: int) -> None:
        self._keys, self._embargo = keys, embargo
        usual: Any = keys.diff().median()  # None of a single key
        self._end: Any = keys[-1] + (usual or timedelta(0)) if len(keys) else None
        """First moment behind the rows: a usual bar after the last one."""

    def folds(self, first: int, *, train: Size, test: Size, step: Size, expanding: bool) -> Iterator[Fold]:
        number, start, last = 0, first, range(0)
        since: Any = self._keys[first]  # the moment at which the test window begins, be there a row or not
        while start is not None and start < len(self._keys):
            end = self._position(since + test) if isinstance(test, timedelta) else self.behind(start, test)
            if end is None:
                return
            if end > start and range(start, end) != last:  # steps within a weekend come to the same rows
                last = range(start, end)
                trained = start - self._embargo
                begin = 0 if expanding else self._before(trained, train)
                yield self._fold(number, range(begin, trained), range(start, end))
                number += 1
            if isinstance(step, timedelta):
                since += step
                start = self._position(since)
            else:
                start = self.behind(start, step)
                since = None if start is None else self._moment(start)

    def behind(self, start: int, size: Size) -> int | None:
        """Return the position behind a window that begins at a row; None if the rows end before it does."""
        if isinstance(size, timedelta):
            return self._position(self._keys[start] + size) if start < len(self._keys) else None
        return start + size if start + size <= len(self._keys) else None

    def _before(self, end: int, size: Size) -> int:
        """Return the position at which a window begins whose last row is the one before ``end``."""
        if isinstance(size, timedelta):
            last: datetime = self._keys[end - 1]
            return int(self._keys.search_sorted(last - size, side="right"))
        return max(end - size, 0)

    def _position(self, moment: datetime) -> int | None:
        return None if moment > self._end else int(self._keys.search_sorted(moment, side="left"))

    def _moment(self, position: int) -> datetime:
        return self._keys[position] if position < len(self._keys) else self._keys[-1] + timedelta(microseconds=1)

    def _fold(self, number: int, train: range, test: range) -> Fold:
        at = self._moment
        return Fold(number, train, test, at(train.start), at(train.stop), at(test.start), at(test.stop))


def refuse_unordered(keys: pl.Series) -> None:
    """Raise BadSetting unless keys are unique and ascending moments."""
    if not keys.dtype.is_temporal() or keys.null_count() or bool((keys.diff().drop_nulls() <= timedelta(0)).any()):
        raise BadSetting(
            f"keys {keys.name}".rstrip(),
            got=f"{len(keys):,} values of type {keys.dtype}, not all unique and ascending",
            expected="moments, each once, in ascending order",
            cure="Sort the rows by their key. Of a panel of pairs take the keys of the pair with the fewest rows, and "
            "select the rows of all pairs by the folds' dates.",
        )


def _refuse_empty(**sizes: Size) -> None:
    for word, size in sizes.items():
        if (size.total_seconds() if isinstance(size, timedelta) else size) <= 0:
            raise BadSetting(
                word, got=f"{size}", expected="rows or a time above 0", cure="For example timedelta(days=395)."
            )
