"""Rolling pieces equal their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.market.bars import Floats
from bqx_assets_tests.sandbox.features.naive import deviation, rolled, walk

_STATISTICS: dict[str, tuple[Callable[[Floats, int], Floats], Callable[[Floats], float]]] = {
    "mean": (rolling.mean, np.mean),
    "total": (rolling.total, np.sum),
    "deviation": (rolling.deviation, deviation),
    "least": (rolling.least, np.min),
    "greatest": (rolling.greatest, np.max),
    "tercile": (
        lambda values, window: rolling.quantile(values, window, 0.33),
        lambda part: float(np.quantile(part, 0.33)),
    ),
    "percentile": (rolling.percentile, lambda part: float(np.mean(part <= part[-1]))),
    "zscore": (rolling.zscore, lambda part: (part[-1] - part.mean()) / deviation(part)),
    "position": (rolling.position, lambda part: (part[-1] - part.min()) / (part.max() - part.min())),
}


@pytest.mark.parametrize("name", _STATISTICS)
@pytest.mark.parametrize("window", [2, 45])
def test_a_rolling_statistic_equals_its_definition_on_every_window(name: str, window: int) -> None:
    values = walk(300, seed=1, level=150.0)
    values[:7] = np.nan
    values[120] = np.nan
    fast, definition = _STATISTICS[name]
    np.testing.assert_allclose(fast(values, window), rolled(values, window, definition), rtol=1e-8, atol=1e-9)


def test_covariance_and_correlation_equal_their_definitions() -> None:
    first, second, window = walk(200, seed=2), walk(200, seed=3, level=1.5), 30
    for row in range(window - 1, 200):
        one, other = first[row - window + 1 : row + 1], second[row - window + 1 : row + 1]
        expected = np.cov(one, other)
        assert rolling.covariance(first, second, window)[row] == pytest.approx(expected[0, 1], rel=1e-8, abs=1e-15)
        assert rolling.correlation(first, second, window)[row] == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-8)


def test_a_window_that_stands_still_has_no_zscore_and_no_correlation() -> None:
    still = np.full(20, 1.23456)
    assert np.isnan(rolling.zscore(still, 5)).all()
    assert np.isnan(rolling.position(still, 5)).all()
    assert np.isnan(rolling.correlation(still, walk(20, seed=4), 5)).all()


def test_statistics_keep_their_digits_over_a_long_history_at_a_high_level() -> None:
    values = walk(100_000, seed=5, level=190.0, step=3e-5)
    part = values[-45:]
    assert rolling.deviation(values, 45)[-1] == pytest.approx(deviation(part), rel=1e-8)
    assert rolling.mean(values, 45)[-1] == pytest.approx(part.mean(), rel=1e-14)


@given(rows=st.integers(0, 12), back=st.integers(1, 15))
@settings(deadline=None)
def test_a_lag_moves_rows_and_leaves_the_head_unknown(rows: int, back: int) -> None:
    values = np.arange(rows, dtype=np.float64)
    expected = [row - back if row >= back else np.nan for row in range(rows)]
    np.testing.assert_array_equal(rolling.lag(values, back), expected)


def test_a_quotient_by_zero_is_unknown() -> None:
    found = rolling.ratio(np.array([1.0, 0.0, 4.0]), np.array([0.0, 0.0, 2.0]))
    np.testing.assert_array_equal(found, [np.nan, np.nan, 2.0])


def test_a_flag_is_unknown_where_what_it_compares_is() -> None:
    values = np.array([np.nan, 1.0, -1.0])
    np.testing.assert_array_equal(rolling.flag(values > 0, values), [np.nan, 1.0, 0.0])
