"""A triangle's error is the quoted cross less the implied one."""

from __future__ import annotations

import numpy as np
import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.panel import clock_of
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.features.source import bqx
from bqx_assets.sandbox.features.triangulation import Leg, legs_of, quotes_of
from bqx_assets.sandbox.market.bars import Floats
from bqx_assets_tests.sandbox.features.bars import small_market

TABLES = {table.table: table for table in expected_tables(parse_pair("eurusd"))}
MARKET = small_market(rows=800)


def _table(name: str) -> dict[str, Floats]:
    ((_, found),) = compute_shared_tables(MARKET, [TABLES[name]])
    return {column.name: column.to_numpy() for column in found.iter_columns()}


def test_legs_are_read_in_the_direction_the_market_quotes_them() -> None:
    assert legs_of(("eur", "usd", "gbp")) == (Leg("eurusd", 1), Leg("gbpusd", -1), Leg("eurgbp", 1))
    assert legs_of(("cad", "usd", "jpy")) == (Leg("usdcad", -1), Leg("usdjpy", 1), Leg("cadjpy", 1))
    assert legs_of(("nzd", "usd", "aud"))[2] == Leg("audnzd", -1)


@pytest.mark.parametrize("triangle", ["eur_usd_gbp", "cad_usd_jpy", "aud_nzd_jpy"])
def test_the_implied_cross_misses_the_quoted_by_ticks_only(triangle: str) -> None:
    first, second, third = triangle.split("_")
    quotes = quotes_of(MARKET, (first, second, third))
    misses = np.abs(quotes.cross.close - quotes.implied.close) / quotes.cross.close
    assert 0.0 < np.mean(misses) < 1e-4
    assert np.max(misses) < 5e-4


def test_the_mean_error_of_the_index_is_quoted_less_implied_over_45_common_bars() -> None:
    found = _table("tri_agg_idx_eur_usd_gbp")
    eurusd, gbpusd, eurgbp = (MARKET.pairs[name] for name in ("eurusd", "gbpusd", "eurgbp"))
    times = np.intersect1d(np.intersect1d(eurusd.times, gbpusd.times), eurgbp.times)
    e, g, x = (np.round(each.close[np.isin(each.times, times)], 5) for each in (eurusd, gbpusd, eurgbp))
    quoted, implied = 100.0 * x / x[0], 100.0 * (e / g) / (e[0] / g[0])
    error = rolling.mean(quoted, 45) - rolling.mean(implied, 45)
    rows = np.isin(clock_of(MARKET).times, times)
    np.testing.assert_allclose(found["tri_error"][rows], error, atol=1e-9)
    np.testing.assert_allclose(found["error_ma_180"][rows], rolling.mean(error, 180), atol=1e-9)
    np.testing.assert_allclose(found["pair3_val"] - found["synthetic_val"], found["tri_error"], atol=1e-12)
    assert np.isnan(found["tri_error"][~rows]).all()


def test_the_wide_error_of_bqx_is_quoted_less_implied() -> None:
    found = _table("tri_reg_bqx_eur_usd_gbp")
    quotes = quotes_of(MARKET, ("eur", "usd", "gbp"))
    error = bqx(quotes.cross.close, 45) - bqx(quotes.implied.close, 45)
    rows = np.searchsorted(clock_of(MARKET).times, quotes.times)
    line = np.polyfit(np.arange(-44.0, 1.0), np.abs(error[400:445]), 1)
    assert found["tri_abs_slope_45"][rows[444]] == pytest.approx(line[0])
    assert [found[name][0] for name in ("currency1", "pair_ab", "pair_bc", "pair_ac")] == [
        "eur",
        "eurusd",
        "gbpusd",
        "eurgbp",
    ]


def test_regime_and_opportunity_follow_the_zscore() -> None:
    found = _table("tri_mom_bqx_eur_usd_gbp")
    score = found["error_zscore"]
    known = ~np.isnan(score)
    assert set(found["error_regime"][known]) == {"cheap", "fair", "rich"}
    assert (found["error_regime"][known] == "rich").tolist() == (score[known] >= 1.0).tolist()
    assert found["arb_opportunity"][known].tolist() == (np.abs(score[known]) >= 2.0).tolist()
