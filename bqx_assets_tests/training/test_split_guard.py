from __future__ import annotations

import warnings
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import KFold, TimeSeriesSplit, train_test_split

from bqx_assets.base.errors import BadSetting, LeakySplit
from bqx_assets.training.split_guard import LeakySplitWarning, check_split
from bqx_assets.training.splits import purged, walk_forward
from bqx_assets_tests.frames import START

ROWS, EMBARGO = 1_000, 30
DATA = np.zeros((ROWS, 1))


def leaks(train: Any, test: Any, embargo: int = EMBARGO) -> list[str]:
    return [each.leak for each in check_split(train, test, embargo, on_leak="return")]


def test_shuffled_rows_are_found() -> None:
    for train, test in KFold(5, shuffle=True, random_state=1).split(DATA):
        assert leaks(train, test) == ["shuffled rows"]
        assert leaks(train, test, 0) == ["shuffled rows"]
    train, test = train_test_split(np.arange(ROWS), random_state=1)
    assert leaks(train, test) == ["shuffled rows"]
    train, test = train_test_split(np.arange(ROWS), shuffle=False)
    assert leaks(train, test) == ["short embargo"]


def test_blocks_without_an_embargo_are_found_with_figures() -> None:
    folds = list(KFold(5).split(DATA))
    for train, test in folds:
        assert leaks(train, test) == ["short embargo"]
        assert leaks(purged(train, test, EMBARGO), test) == []
        assert leaks(purged(train, test, EMBARGO - 1), test) == ["short embargo"]
    train, test = folds[2]
    (found,) = check_split(train, test, EMBARGO, on_leak="return")
    assert found.got == (
        "training ends 0 rows before a test row and training begins 0 rows behind one; 60 training rows are too near"
    )
    assert "purged(train, test, 30)" in found.cure


def test_time_series_split_needs_the_gap() -> None:
    for train, test in TimeSeriesSplit(5).split(DATA):
        assert leaks(train, test) == ["short embargo"]
    for train, test in TimeSeriesSplit(5, gap=EMBARGO - 1).split(DATA):
        (found,) = check_split(train, test, EMBARGO, on_leak="return")
        assert found.got == "training ends 29 rows before a test row; 1 training rows are too near"
    for train, test in TimeSeriesSplit(5, gap=EMBARGO).split(DATA):
        assert leaks(train, test) == []


def test_a_combination_of_purged_blocks_is_good() -> None:
    test = np.r_[200:300, 600:700]
    train = np.setdiff1d(np.arange(ROWS), test)
    assert leaks(train, test) == ["short embargo"]
    assert leaks(purged(train, test, EMBARGO), test) == []


def test_shared_rows_are_found_beside_other_faults() -> None:
    assert leaks(range(500), range(490, 600)) == ["shared rows", "short embargo"]
    assert leaks(range(500), range(490, 600), 0) == ["shared rows"]
    assert leaks(range(500), range(500)) == ["shared rows"]


def test_it_warns_or_raises_and_says_what_to_do() -> None:
    with pytest.warns(
        LeakySplitWarning, match=r"short embargo: training ends 0 rows.*expected 30 rows.*gap=30"
    ) as seen:
        check_split(range(500), range(500, 600), EMBARGO)
    assert seen[0].filename == __file__
    with pytest.raises(LeakySplit, match=r"shuffled.*499 training rows lie among the test rows.*500 pieces.*gap=30"):
        check_split(range(1, ROWS, 2), range(0, ROWS, 2), EMBARGO, on_leak="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_split(range(400), range(430, 600), EMBARGO) == []


def test_splits_of_keys_are_judged_by_the_rows_between_them() -> None:
    keys = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 3, 1), "1h", time_zone="UTC", eager=True)
    keys = keys.filter(keys.dt.weekday() < 6)
    for fold in walk_forward(keys, train=400, test=100, embargo=EMBARGO):
        train, test = keys[fold.train.start : fold.train.stop], keys[fold.test.start : fold.test.stop]
        assert check_split(train, test, EMBARGO, keys=keys) == []
        assert check_split(train, test, EMBARGO + 1, keys=keys, on_leak="return")[0].leak == "short embargo"
    with pytest.raises(BadSetting, match="keys that no row has"):
        check_split(keys, keys.dt.offset_by("1m"), EMBARGO, keys=keys)
    with pytest.raises(BadSetting, match="together with keys="):
        check_split(keys, keys, EMBARGO)


@pytest.mark.parametrize("train", [[], [True, False], [0.5]])
def test_what_is_no_list_of_positions_is_refused(train: list[Any]) -> None:
    with pytest.raises(BadSetting, match="positions of rows"):
        check_split(train, [5], EMBARGO)


def test_what_has_no_known_distance_is_refused() -> None:
    keys = pl.datetime_range(START, START + timedelta(hours=3), "1m", eager=True)
    with pytest.raises(BadSetting, match="position -60"):
        check_split(range(50), range(-60, -50), EMBARGO)
    with pytest.raises(BadSetting, match="rows, 0 or more"):
        check_split(range(50), range(50, 60), -1)
    for panel in (pl.concat([keys, keys]), keys.reverse(), pl.concat([keys, keys]).sort()):
        with pytest.raises(BadSetting, match="unique and ascending"):
            check_split(keys[:50], keys[100:], EMBARGO, keys=panel)
    for places in (range(50), keys[:50].to_list()):
        with pytest.raises(BadSetting, match="moments, as a series"):
            check_split(places, keys[100:], EMBARGO, keys=keys)
