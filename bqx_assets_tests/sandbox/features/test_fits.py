"""Rolling fits equal numpy.polyfit on each window."""

from __future__ import annotations

import numpy as np
import pytest

from bqx_assets.sandbox.features.fits import fit
from bqx_assets.sandbox.features.regression import regression
from bqx_assets.sandbox.features.source import Source
from bqx_assets.sandbox.market import Floats
from bqx_assets_tests.sandbox.features.naive import walk


def _source(values: Floats) -> Source:
    return Source(values, values, values, {})


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
