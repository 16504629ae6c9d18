"""Columns that mean the same in two pairs have the same common name, and no two columns of a pair share one."""

from __future__ import annotations

import pytest

from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.dictionary.subjects import common_name, pairs_in, subject_of


@pytest.mark.parametrize(
    ("pair", "table", "column", "subject", "name"),
    [
        ("eurusd", "agg_bqx_eurusd", "agg_mean_45", "pair", "agg_bqx__agg_mean_45"),
        ("eurusd", "csi_agg_eur", "csi_agg_mean_45", "base", "csi_agg_base__csi_agg_mean_45"),
        ("usdjpy", "csi_agg_usd", "csi_agg_mean_45", "base", "csi_agg_base__csi_agg_mean_45"),
        ("eurusd", "csi_agg_usd", "csi_agg_mean_45", "quote", "csi_agg_quote__csi_agg_mean_45"),
        ("eurusd", "var_corr_bqx_gbp", "p1", "other", "var_corr_bqx_gbp__p1"),
        ("eurusd", "cov_agg_eurusd_gbpusd", "val1", "pair", "cov_agg_pair_gbpquote__val1"),
        ("gbpusd", "cov_agg_eurusd_gbpusd", "val1", "other", "cov_agg_eurquote_pair__val1"),
        ("gbpusd", "cov_agg_eurusd_gbpusd", "val2", "pair", "cov_agg_eurquote_pair__val2"),
        ("gbpusd", "cov_agg_eurusd_gbpusd", "spread_lag_5", "compared", "cov_agg_eurquote_pair__spread_lag_5"),
        ("eurusd", "corr_ibkr_eurusd_ewa", "corr_30min", "compared", "corr_ibkr_ewa__corr_30min"),
        ("eurusd", "corr_ibkr_eurusd_ewa", "fx_volatility_60min", "pair", "corr_ibkr_ewa__fx_volatility_60min"),
        ("eurusd", "corr_ibkr_eurusd_ewa", "ibkr_volatility_60min", "other", "corr_ibkr_ewa__ibkr_volatility_60min"),
        ("eurusd", "corr_etf_bqx_eurusd_ewa", "bqx_45", "other", "corr_etf_bqx_ewa__bqx_45"),
        ("eurusd", "tri_agg_bqx_eur_usd_aud", "tri_error", "compared", "tri_agg_bqx_base_quote_aud__tri_error"),
        ("audusd", "tri_agg_bqx_eur_usd_aud", "pair1_val", "compared", "tri_agg_bqx_eur_quote_base__pair1_val"),
        ("eurgbp", "tri_agg_bqx_eur_usd_aud", "tri_error", "other", "tri_agg_bqx_base_usd_aud__tri_error"),
        ("eurusd", "mkt_vol", "mkt_vol_atr_45", "market", "mkt_vol__mkt_vol_atr_45"),
        ("eurusd", "mkt_corr", "eurusd", "pair", "mkt_corr__pair"),
        ("eurusd", "mkt_corr", "usdjpy", "other", "mkt_corr__quotejpy"),
        ("eurusd", "mkt_corr", "corr_eur_jpy_45", "market", "mkt_corr__corr_base_jpy_45"),
        ("eurusd", "base_bqx_eurusd", "bqx_45", "pair", "base_bqx__bqx_45"),
    ],
)
def test_a_column_has_a_subject_and_a_common_name(pair: str, table: str, column: str, subject: str, name: str) -> None:
    of = parse_pair(pair)
    assert (subject_of(table, column, of), common_name(table, column, of)) == (subject, name)


@pytest.mark.parametrize("pair", ALL_PAIRS[::9], ids=str)
def test_no_two_columns_of_a_pair_share_a_common_name(pair: object) -> None:
    of = parse_pair(str(pair))
    names = [common_name(table.table, column, of) for table in expected_tables(of) for column, _ in table.columns]
    assert len({*names}) == len(names)


def test_pair_specific_columns_that_compare_nothing_have_the_same_names_in_all_pairs() -> None:
    found = [
        {
            common_name(table.table, column, pair)
            for table in expected_tables(pair)
            for column, _ in table.columns
            if subject_of(table.table, column, pair) in {"pair", "base", "quote"}
            and table.kind.startswith(("agg", "csi_reg", "tmp"))
        }
        for pair in (parse_pair("eurusd"), parse_pair("gbpjpy"))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("table", "column", "pairs"),
    [
        ("agg_bqx_eurusd", "agg_mean_45", "eurusd"),
        ("cov_agg_euraud_eurusd", "spread", "euraud eurusd"),
        ("cov_agg_euraud_eurusd", "val2", "eurusd"),
        ("tri_agg_bqx_eur_usd_aud", "pair1_val", "eurusd euraud audusd"),
        ("corr_ibkr_eurusd_ewa", "corr_30min", "eurusd"),
        ("corr_bqx_ibkr_eurusd_ewa", "bqx_45", ""),
        ("csi_agg_eur", "csi_agg_mean_45", ""),
        ("var_corr_usd", "p1", ""),
        ("mkt_corr", "usdjpy", "usdjpy"),
        ("new_eurusd", "value", "eurusd"),
    ],
)
def test_the_pairs_in_a_feature_are_those_of_its_name(table: str, column: str, pairs: str) -> None:
    assert sorted(pairs_in(table, column)) == sorted(pairs.split())
