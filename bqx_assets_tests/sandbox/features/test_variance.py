"""Dispersion, correlation and lags of a currency's pairs equal numpy's own."""

from __future__ import annotations

import numpy as np
import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.sandbox.features.bqx import bqx
from bqx_assets.sandbox.features.series import series_features, source_of
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.market import Floats
from bqx_assets_tests.sandbox.features.bars import small_market

TABLES = {table.table: table for table in expected_tables(parse_pair("eurusd"))}
MARKET = small_market(rows=500, missing=0.0)


def _table(name: str) -> dict[str, Floats]:
    ((_, found),) = compute_shared_tables(MARKET, [TABLES[name]])
    return {column.name: column.to_numpy() for column in found.iter_columns()}


def _members(currency: str, feature: str, kind: str) -> Floats:
    found = [
        series_features(kind, source_of(bars, "bqx"), [feature])[feature] * (1.0 if pair.startswith(currency) else -1.0)
        for pair, bars in MARKET.pairs.items()
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
    first, second = (np.diff(MARKET.pairs[name].close) / MARKET.pairs[name].close[:-1] for name in ("gbpusd", "eurgbp"))
    assert found["p1"][7] == MARKET.pairs["gbpusd"].close[7]
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
        for pair, bars in MARKET.pairs.items()
        if "aud" in pair
    ]
    np.testing.assert_allclose(found["family_avg"], np.mean(levels, axis=0), atol=1e-9)
    np.testing.assert_allclose(found["family_lag_15"][15:], found["family_avg"][:-15])
