"""The O(rows) trend is the regression's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.sandbox.features.series import Source, series_features
from bqx_assets.sandbox.features.shared_trend import trend

STEMS = ("acceleration", "forecast_5", "lin_term", "quad_term", "r2", "residual", "slope", "trend_str")


@pytest.mark.parametrize("window", [45, 90, 180, 360])
def test_trend_equals_regression(window: int) -> None:
    values = np.random.default_rng(3).normal(0.001, 0.01, 2000)
    values[:45] = np.nan
    source = Source(values, values, values, {}, percent=True)
    expected = series_features("reg", source, [f"reg_{stem}_{window}" for stem in STEMS])
    found = trend(values, window)
    assert set(found) == set(STEMS)
    for stem in STEMS:
        np.testing.assert_allclose(found[stem], expected[f"reg_{stem}_{window}"], rtol=1e-7, atol=1e-12, err_msg=stem)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 300), st.sampled_from([45, 90]), st.integers(0, 9))
def test_a_row_does_not_change_with_what_follows(row: int, window: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=400)
    for stem, found in trend(values, window).items():
        np.testing.assert_array_equal(found[: row + 1], trend(values[: row + 1], window)[stem])


def test_a_constant_series_has_no_r2() -> None:
    assert np.isnan(trend(np.full(200, 0.37), 45)["r2"]).all()


def test_an_unknown_row_makes_only_its_own_windows_unknown() -> None:
    values = np.random.default_rng(0).normal(size=300)
    values[100] = np.nan
    slope = trend(values, 45)["slope"]
    assert np.flatnonzero(np.isnan(slope)).tolist() == [*range(44), *range(100, 145)]
