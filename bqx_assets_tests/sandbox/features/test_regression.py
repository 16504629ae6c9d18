"""Rolling fits equal numpy.polyfit on each window, and the O(rows) trend equals the regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.sandbox.features.regression import fit, regression, trend
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.source import Source
from bqx_assets.sandbox.market.bars import Floats
from bqx_assets_tests.sandbox.features.naive import walk


def _source(values: Floats) -> Source:
    return Source(values, values, values)


@pytest.mark.parametrize(("window", "level"), [(45, 1.1), (45, 190.0), (360, 0.65), (2880, 1.1)])
def test_line_and_parabola_equal_polyfit(window: int, level: float) -> None:
    values = walk(window + 400, seed=window, level=level)
    features = regression(_source(values), window)
    steps = np.arange(1.0 - window, 1.0)
    for row in (window - 1, window + 17, window + 399):
        part = values[row - window + 1 : row + 1]
        quadratic, linear, constant = np.polyfit(steps, part, 2)
        slope, now = np.polyfit(steps, part, 1)
        found = {name: array[row] for name, array in features.items()}
        assert found["reg_const_term"] == pytest.approx(constant, rel=1e-9)
        assert found["reg_lin_term"] == pytest.approx(linear, rel=1e-6)
        assert found["reg_quad_term"] == pytest.approx(quadratic, rel=1e-6)
        assert found["reg_slope"] == pytest.approx(slope, rel=1e-7)
        assert found["reg_residual"] == pytest.approx(part[-1] - now, rel=1e-6)
        assert found["reg_forecast_5"] == pytest.approx(np.polyval([quadratic, linear, constant], 5.0), rel=1e-9)
        assert found["reg_acceleration"] == 2.0 * found["reg_quad_term"]
        assert found["reg_curv_sign"] == np.sign(quadratic)


@pytest.mark.parametrize("window", [45, 720])
def test_what_the_fits_leave_equals_the_residuals_of_polyfit(window: int) -> None:
    values = walk(window + 50, seed=11)
    row = window + 30
    part, steps = values[row - window + 1 : row + 1], np.arange(1.0 - window, 1.0)
    rest = part - np.polyval(np.polyfit(steps, part, 2), steps)
    line_rest = part - np.polyval(np.polyfit(steps, part, 1), steps)
    found = {name: array[row] for name, array in regression(_source(values), window).items()}
    second = np.mean(rest**2)
    expected = {
        "reg_resid_min": rest.min(),
        "reg_resid_max": rest.max(),
        "reg_resid_last": rest[-1],
        "reg_resid_var": np.sum(rest**2) / (window - 3),
        "reg_resid_std": np.sqrt(np.sum(rest**2) / (window - 3)),
        "reg_resid_norm": rest[-1] / np.sqrt(np.sum(rest**2) / (window - 3)),
        "reg_resid_skew": np.mean(rest**3) / second**1.5,
        "reg_resid_kurt": np.mean(rest**4) / second**2 - 3.0,
        "reg_r2": np.corrcoef(steps, part)[0, 1] ** 2,
        "reg_direction": np.corrcoef(steps, part)[0, 1],
        "reg_rmse": np.sqrt(np.mean(line_rest**2)),
        "reg_std": part.std(ddof=1),
        "reg_total_var": np.abs(np.diff(part)).sum(),
        "reg_first": part[0],
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


def test_the_band_and_the_strength_are_those_of_the_textbook() -> None:
    window = 90
    values, steps = walk(window, seed=12), np.arange(1.0 - window, 1.0)
    slope, now = np.polyfit(steps, values, 1)
    scatter = np.sqrt(np.sum((values - now - slope * steps) ** 2) / (window - 2))
    moment = np.sum((steps - steps.mean()) ** 2)
    found = {name: array[-1] for name, array in regression(_source(values), window).items()}
    half = 1.96 * scatter * np.sqrt(1.0 / window + steps.mean() ** 2 / moment)
    assert found["reg_ci_upper"] == pytest.approx(now + half, rel=1e-9)
    assert found["reg_ci_lower"] == pytest.approx(now - half, rel=1e-9)
    assert found["reg_trend_str"] == pytest.approx(slope / (scatter / np.sqrt(moment)), rel=1e-6)


def test_an_exact_parabola_leaves_nothing_and_has_no_skew() -> None:
    steps = np.arange(200.0)
    found = regression(_source(1.0 + 2e-3 * steps - 1e-5 * steps**2), 90)
    assert not np.nanmax(np.abs(found["reg_resid_max"]))
    assert np.isnan(found["reg_resid_skew"]).all()
    np.testing.assert_allclose(found["reg_quad_term"][89:], -1e-5, rtol=1e-9)


def test_a_standing_rate_has_no_slope_and_no_r2() -> None:
    found = regression(_source(np.full(100, 1.2345)), 45)
    assert not np.abs(found["reg_slope"][44:]).max()
    assert np.isnan(found["reg_r2"]).all()


@pytest.mark.parametrize("rows", [0, 1, 44])
def test_fewer_rows_than_a_window_are_all_unknown(rows: int) -> None:
    assert np.isnan(fit(walk(rows, seed=1), 45).weights).all()


def test_an_unknown_value_makes_its_windows_unknown_and_no_other() -> None:
    values = walk(300, seed=13)
    values[100] = np.nan
    unknown = np.isnan(fit(values, 45).weights[:, 1])
    np.testing.assert_array_equal(np.flatnonzero(unknown), [*range(44), *range(100, 145)])


STEMS = ("acceleration", "forecast_5", "lin_term", "quad_term", "r2", "residual", "slope", "trend_str")


@pytest.mark.parametrize("window", [45, 90, 180, 360])
def test_trend_equals_regression(window: int) -> None:
    values = np.random.default_rng(3).normal(0.001, 0.01, 2000)
    values[:45] = np.nan
    source = Source(values, values, values, percent=True)
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
