from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, TimeSeriesSplit, cross_val_score

from bqx_assets.base.errors import BadSetting
from bqx_assets.training.splits import Size, purged, walk_forward

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def hours(days: int) -> pl.Series:
    """Hourly keys without those of Saturdays and Sundays."""
    every = pl.datetime_range(MONDAY, MONDAY + days * DAY, "1h", closed="left", eager=True).alias("interval_time")
    return every.filter(every.dt.weekday() < 6)


def test_folds_of_rows_are_those_of_scikit_learn() -> None:
    keys = hours(20)
    theirs = TimeSeriesSplit(n_splits=3, test_size=50, gap=7, max_train_size=100).split(keys.to_numpy())
    rows = len(keys) - 3 * 50 - 7 - 100
    ours = walk_forward(keys[rows:], train=100, test=50, embargo=7)
    for fold, (train, test) in zip(ours, theirs, strict=True):
        assert [each.tolist() for each in fold.rows()] == [(train - rows).tolist(), (test - rows).tolist()]


def test_windows_in_time_and_their_dates_across_weekends() -> None:
    keys = hours(35)
    folds = list(walk_forward(keys, train=14 * DAY, test=7 * DAY, embargo=30))
    assert [fold.number for fold in folds] == [0, 1]  # the last window ends on a Saturday, but the rows on Friday
    first, second = folds
    assert first.train == range(240)
    assert first.test == range(270, 390)
    assert first.train_start == MONDAY
    assert first.train_end == MONDAY + 14 * DAY
    assert (first.test_start, first.test_end) == (MONDAY + 15 * DAY + 6 * HOUR, MONDAY + 22 * DAY + 6 * HOUR)
    assert second.test == range(390, 510)
    assert second.train == range(120, 360)  # 14 days before the embargo's first row
    for fold in folds:
        chosen = keys.filter((keys >= fold.test_start) & (keys < fold.test_end))
        assert chosen.equals(keys[fold.test.start : fold.test.stop])


def test_an_expanding_window_begins_at_the_first_row_and_steps_may_overlap() -> None:
    folds = list(walk_forward(hours(40), train=5 * DAY, test=200, embargo=3, step=100, expanding=True))
    assert {fold.train.start for fold in folds} == {0}
    assert [fold.test.start for fold in folds] == [123 + 100 * number for number in range(len(folds))]
    assert len(folds) == (len(hours(40)) - 123 - 200) // 100 + 1


def test_a_test_window_without_rows_is_left_out() -> None:
    keys = pl.concat([hours(5), (hours(5) + 28 * DAY)])
    folds = list(walk_forward(keys, train=2 * DAY, test=DAY, embargo=0))
    assert [len(fold.test) for fold in folds] == [24] * (3 + 5)


_sizes = st.one_of(st.integers(1, 60), st.integers(1, 200).map(lambda number: number * HOUR))


@settings(max_examples=40)
@given(train=_sizes, test=_sizes, embargo=st.integers(0, 40), step=st.one_of(st.none(), _sizes))
def test_the_embargo_lies_before_every_test_window(train: Size, test: Size, embargo: int, step: Size | None) -> None:
    keys = hours(30)
    starts = []
    for fold in walk_forward(keys, train=train, test=test, embargo=embargo, step=step):
        assert fold.test.start - fold.train.stop == embargo
        assert 0 <= fold.train.start < fold.train.stop
        assert fold.test.stop <= len(keys)
        if isinstance(train, int):
            assert len(fold.train) == train
        if isinstance(test, int):
            assert len(fold.test) == test
        else:
            assert fold.test_end - fold.test_start <= test + 50 * HOUR
        starts.append(fold.test.start)
    assert starts == sorted(starts)


def test_scikit_learn_takes_the_folds() -> None:
    keys = hours(20)
    x = np.arange(len(keys), dtype=float).reshape(-1, 1)
    folds = [fold.rows() for fold in walk_forward(keys, train=5 * DAY, test=DAY, embargo=10)]
    assert cross_val_score(LinearRegression(), x, 2 * x[:, 0], cv=folds) == pytest.approx(1)


def test_purged_folds_lose_rows_on_both_sides() -> None:
    folds = list(KFold(5).split(np.zeros(100)))
    train, test = folds[2]
    assert test.tolist() == list(range(40, 60))
    assert purged(train, test, 7).tolist() == [*range(33), *range(67, 100)]
    assert purged(train, test, 0).tolist() == train.tolist()
    assert purged([5, 1, 3], [3, 9], 1).tolist() == [5, 1]
    assert purged([5, 1], [], 1).tolist() == [5, 1]


@pytest.mark.parametrize(
    ("keys", "sizes", "words"),
    [
        (hours(5).reverse(), (20, 20, 0), "ascending"),
        (pl.concat([hours(5), hours(5)]).sort(), (20, 20, 0), "panel"),
        (pl.Series([1, 2, 3]), (1, 1, 0), "moments"),
        (hours(5), (0, 20, 0), "above 0"),
        (hours(5), (20, timedelta(0), 0), "above 0"),
        (hours(5), (20, 20, -1), "embargo_rows"),
        (hours(5), (100, 21, 0), "at least one fold"),
        (hours(5), (100, 20, 1), "at least one fold"),
        (hours(5), (6 * DAY, 20, 1), "at least one fold"),
        (hours(5)[:0], (1, 1, 0), "at least one fold"),
        (hours(5)[:1], (1, 1, 0), "at least one fold"),
    ],
)
def test_what_cannot_be_split_is_refused_at_once(keys: pl.Series, sizes: tuple[Size, Size, int], words: str) -> None:
    train, test, embargo = sizes
    with pytest.raises(BadSetting, match=words):
        walk_forward(keys, train=train, test=test, embargo=embargo)


def test_steps_within_a_weekend_give_no_fold_twice() -> None:
    hours = [datetime(2024, 1, 4, tzinfo=UTC) + timedelta(hours=hour) for hour in range(200)]
    keys = pl.Series([hour for hour in hours if hour.weekday() < 5])
    folds = list(walk_forward(keys, train=24, test=10, embargo=2, step=timedelta(hours=6)))
    tests = [fold.test for fold in folds]
    assert len({*tests}) == len(tests) > 15
    assert [fold.number for fold in folds] == [*range(len(folds))]
