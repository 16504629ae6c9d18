"""A strength is the mean over the currency's pairs, seen from the currency."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.sandbox.features import currency_strength
from bqx_assets.sandbox.features.series import series_features, source_of
from bqx_assets.sandbox.features.shared_clock import clock_of
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.market import Bars, Market
from bqx_assets_tests.sandbox.features.bars import small_market

TABLES = {table.table: table for table in expected_tables(parse_pair("eurusd"))}
MARKET = small_market(rows=500)


def _tables(kind: str, market: Market = MARKET) -> dict[str, pl.DataFrame]:
    wanted = [table for table in TABLES.values() if table.kind == kind]
    return {table.table: found for table, found in compute_shared_tables(market, wanted)}


def test_strength_equals_the_mean_over_pairs_one_by_one() -> None:
    clock = clock_of(MARKET)
    seen = np.full((7, clock.rows), np.nan)
    members = [pair for pair in MARKET.pairs if "gbp" in pair]
    for row, pair in enumerate(members):
        bars = MARKET.pairs[pair]
        values = series_features("mom", source_of(bars, "bqx"), ["mom_diff_90"])["mom_diff_90"]
        seen[row, np.isin(clock.times, bars.times)] = values if pair.startswith("gbp") else -values
    known = ~np.isnan(seen).all(axis=0)
    found = _tables("csi_mom_bqx")["csi_mom_bqx_gbp"]["csi_mom_diff_90"].to_numpy()
    assert len(members) == 7
    np.testing.assert_allclose(found[known], np.nanmean(seen[:, known], axis=0), atol=1e-12)
    assert np.isnan(found[~known]).all()


def test_changes_of_all_currencies_cancel() -> None:
    """Each pair counts once up and once down."""
    tables = _tables("csi_der_bqx", small_market(rows=300, missing=0.0))
    total = np.sum([found["csi_der_v1_90"].to_numpy() for found in tables.values()], axis=0)
    np.testing.assert_allclose(total[135:], 0.0, atol=1e-12)


def test_a_currency_made_to_rise_is_strong() -> None:
    market = small_market(rows=400, missing=0.0)
    pairs = dict(market.pairs)
    for name, bars in market.pairs.items():
        power = 1.0 if name.startswith("cad") else -1.0 if name.endswith("cad") else 0.0
        lift = np.exp(power * np.linspace(0.0, 0.05, 400))
        pairs[name] = Bars(
            bars.times, bars.open * lift, bars.high * lift, bars.low * lift, bars.close * lift, bars.volume
        )
    wanted = [TABLES["csi_align_cad"], TABLES["csi_agg_cad"]]
    found = {table.table: frame for table, frame in compute_shared_tables(Market(pairs, {}), wanted)}
    assert found["csi_align_cad"]["csi_dir_360"].drop_nulls().min() == 1.0
    assert found["csi_agg_cad"]["csi_agg_mean_45"][-1] > found["csi_agg_cad"]["csi_agg_mean_45"][44] > 100.0


def test_few_tables_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _tables("csi_vol")
    monkeypatch.setattr(currency_strength, "_SUMS_BYTES", 1)
    for name, found in _tables("csi_vol").items():
        assert found.equals(expected[name])
