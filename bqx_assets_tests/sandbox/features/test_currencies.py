"""Strength, dispersion, correlation and lags of a currency's pairs equal numpy over those pairs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.sandbox.features import currencies
from bqx_assets.sandbox.features.panel import clock_of
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.features.source import bqx, source_of
from bqx_assets.sandbox.market.bars import Bars, Floats, Market
from bqx_assets_tests.sandbox.features.bars import small_market

TABLES = {table.table: table for table in expected_tables(parse_pair("eurusd"))}
MARKET = small_market(rows=500)
WHOLE_MARKET = small_market(rows=500, missing=0.0)


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
    monkeypatch.setattr(currencies, "_SUMS_BYTES", 1)
    for name, found in _tables("csi_vol").items():
        assert found.equals(expected[name])


def _table(name: str) -> dict[str, Floats]:
    ((_, found),) = compute_shared_tables(WHOLE_MARKET, [TABLES[name]])
    return {column.name: column.to_numpy() for column in found.iter_columns()}


def _members(currency: str, feature: str, kind: str) -> Floats:
    found = [
        series_features(kind, source_of(bars, "bqx"), [feature])[feature] * (1.0 if pair.startswith(currency) else -1.0)
        for pair, bars in WHOLE_MARKET.pairs.items()
        if currency in pair
    ]
    return np.stack(found)


def test_means_and_variances_are_over_the_seven_pairs_seen_from_the_currency() -> None:
    found, expected = _table("var_align_bqx_usd"), _members("usd", "zscore_90", "align")
    np.testing.assert_allclose(found["avg_zscore_90"], expected.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found["var_zscore_90"], expected.var(axis=0, ddof=1), atol=1e-9)


def test_a_family_has_the_dispersion_of_its_central_feature_and_its_growth() -> None:
    found, expected = _table("var_agg_bqx_chf"), _members("chf", "agg_mean_45", "agg")
    np.testing.assert_allclose(found["family_short_dispersion"], expected.std(axis=0, ddof=1), atol=1e-9)
    mean = expected.mean(axis=0)
    np.testing.assert_allclose(found["family_roc_90"][90:], mean[90:] - mean[:-90], atol=1e-9)
    assert found["pairs_in_family"].tolist() == [7] * 500


def test_correlation_is_of_the_first_two_pairs_returns() -> None:
    found = _table("var_corr_gbp")
    first, second = (
        np.diff(WHOLE_MARKET.pairs[name].close) / WHOLE_MARKET.pairs[name].close[:-1] for name in ("gbpusd", "eurgbp")
    )
    assert found["p1"][7] == WHOLE_MARKET.pairs["gbpusd"].close[7]
    assert found["corr_12_45"][300] == pytest.approx(np.corrcoef(first[255:300], second[255:300])[0, 1])
    known = ~np.isnan(found["corr_change"])
    loose = found["corr_regime"][known] == "loosening"
    assert loose.tolist() == (found["corr_change"][known] < -0.1).tolist()
    assert np.nanmin(found["family_coherence"]) >= 0.0
    assert np.nanmax(found["family_coherence"]) == 1.0


def test_lags_are_the_family_mean_some_rows_ago() -> None:
    found = _table("var_lag_bqx_aud")
    levels = [
        bqx(bars.close, 45) * (1 if pair.startswith("aud") else -1)
        for pair, bars in WHOLE_MARKET.pairs.items()
        if "aud" in pair
    ]
    np.testing.assert_allclose(found["family_avg"], np.mean(levels, axis=0), atol=1e-9)
    np.testing.assert_allclose(found["family_lag_15"][15:], found["family_avg"][:-15])
