"""The targets table follows the users' formulas: compared with a loop a person can check."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.sandbox.features.bqx import bqx
from bqx_assets.sandbox.market import Bars
from bqx_assets.sandbox.simulate import simulate
from bqx_assets.sandbox.targets import targets_frame

EURUSD = parse_pair("eurusd")
FACTS = load_expectations()


def _bars(close: list[float]) -> Bars:
    values = np.array(close)
    times = np.arange(values.size, dtype=np.int64) * 60_000_000
    return Bars(times, values, values, values, values, times)


def _naive(close: list[float], window: int, row: int) -> float | None:
    if row < window or row >= len(close):
        return None
    return (close[row] - close[row - window]) / close[row - window] * 100


@settings(deadline=None, max_examples=50)
@given(
    close=st.lists(st.floats(0.01, 500), min_size=1, max_size=40),
    windows=st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True),
    horizons=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
)
def test_targets_equal_a_naive_loop(close: list[float], windows: list[int], horizons: list[int]) -> None:
    frame = targets_frame(_bars(close), EURUSD, windows, horizons)
    first = min(windows)
    assert frame.height == max(0, len(close) - first)
    for window in windows:
        naive = [_naive(close, window, row) for row in range(first, len(close))]
        assert frame.get_column(f"bqx_{window}").to_list() == naive
        for horizon in horizons:
            later = [_naive(close, window, row + horizon) for row in range(first, len(close))]
            assert frame.get_column(f"target_bqx{window}_h{horizon}").to_list() == later


def test_the_head_nulls_are_those_of_the_users_tables() -> None:
    """DESIGN: head nulls of a column = max(0, w - 45 - h), on rows that begin 45 bars after base_bqx."""
    frame = targets_frame(simulate(3_300, 1).pairs["eurusd"], EURUSD, FACTS.windows, FACTS.horizons)
    spine = frame.filter(pl.col("target_bqx45_h15").is_not_null())
    assert spine.height == 3_300 - 45 - 15
    for window in FACTS.windows:
        for horizon in FACTS.horizons:
            known = spine.get_column(f"target_bqx{window}_h{horizon}").is_not_null()
            assert known.arg_max() == max(0, window - 45 - horizon)


def test_the_table_has_the_users_columns_and_types() -> None:
    frame = targets_frame(simulate(3_000, 1).pairs["eurusd"], EURUSD, FACTS.windows, FACTS.horizons)
    assert frame.columns == [KEY, "pair", *(f"bqx_{window}" for window in FACTS.windows), *FACTS.targets()]
    assert frame.schema[KEY] == pl.Datetime("us", "UTC")
    assert set(frame.select(pl.exclude(KEY, "pair")).dtypes) == {pl.Float64}
    assert frame.get_column("pair").unique().to_list() == ["eurusd"]


@pytest.mark.parametrize("window", [1, 5, 6, 100])
def test_bqx_has_no_value_before_its_window(window: int) -> None:
    values = bqx(np.arange(1.0, 7.0), window)
    assert np.isnan(values[:window]).all()
    assert np.isfinite(values[window:]).all()
    assert values.size == 6
