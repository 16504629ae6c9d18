"""What the market does as a whole equals numpy over the pairs."""

from __future__ import annotations

import numpy as np
import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.features.source import source_of
from bqx_assets.sandbox.market.bars import Floats
from bqx_assets_tests.sandbox.features.bars import small_market

TABLES = {table.table: table for table in expected_tables(parse_pair("eurusd"))}
MARKET = small_market(rows=400, missing=0.0)
INDEX = np.stack([100.0 * bars.close / bars.close[0] for bars in MARKET.pairs.values()])


def _table(name: str) -> dict[str, Floats]:
    ((_, found),) = compute_shared_tables(MARKET, [TABLES[name]])
    return {column.name: column.to_numpy() for column in found.iter_columns()}


def test_volatility_is_the_mean_over_pairs_and_its_dispersion() -> None:
    found, name = _table("mkt_vol_bqx"), "vol_realized_90"
    each = [series_features("vol", source_of(bars, "bqx"), [name])[name] for bars in MARKET.pairs.values()]
    np.testing.assert_allclose(found["mkt_vol_realized_90"], np.mean(each, axis=0), atol=1e-12)
    np.testing.assert_allclose(found["mkt_vol_dispersion_90"], np.std(each, axis=0, ddof=1), atol=1e-12)
    assert found["pairs_count"].tolist() == [28] * 400


def test_sentiment_is_mean_change_mean_size_and_mean_sign() -> None:
    found, changes = _table("mkt_sentiment"), INDEX[:, 180:] - INDEX[:, :-180]
    np.testing.assert_allclose(found["mkt_avg_momentum_180"][180:], changes.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found["mkt_avg_strength_180"][180:], np.abs(changes).mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found["mkt_net_direction_180"][180:], np.sign(changes).mean(axis=0), atol=1e-9)


def test_dispersion_is_the_deviation_of_changes_across_pairs() -> None:
    found = _table("mkt_dispersion")
    one = np.diff(INDEX, axis=1).std(axis=0, ddof=1)
    assert found["mkt_dispersion_mean_45"][200] == pytest.approx(one[155:200].mean())
    assert found["mkt_spread_std_45"][200] == pytest.approx((INDEX[:, 200] - INDEX[:, 155]).std(ddof=1))


def test_trending_pairs_have_a_line_that_explains_half() -> None:
    found, row = _table("mkt_regime"), 300
    time = np.arange(45.0)
    windows = INDEX[:, row - 44 : row + 1]
    slopes = np.polyfit(time, windows.T, 1)[0]
    r2 = np.array([np.corrcoef(time, window)[0, 1] ** 2 for window in windows])
    assert found["mkt_slope_45"][row] == pytest.approx(slopes.mean())
    assert found["mkt_direction_45"][row] == pytest.approx(np.sign(slopes).mean())
    assert found["pairs_trending_up_45"][row] == ((r2 >= 0.5) & (slopes > 0)).sum()
    assert found["pairs_trending_down_45"][row] == ((r2 >= 0.5) & (slopes < 0)).sum()


def test_correlations_and_risk_are_of_the_leading_pairs() -> None:
    found = _table("mkt_corr")
    aud, jpy = (MARKET.pairs[name].close for name in ("audusd", "usdjpy"))
    returns = [np.diff(each) / each[:-1] for each in (aud, jpy)]
    assert found["corr_aud_jpy_45"][200] == pytest.approx(np.corrcoef(returns[0][155:200], returns[1][155:200])[0, 1])
    rose = [np.sign(each[45:] - each[:-45]) for each in (aud, jpy)]
    assert (found["risk_sentiment"][45:] == "on").tolist() == (rose[0] + rose[1] > 1).tolist()
