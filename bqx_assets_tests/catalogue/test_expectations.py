"""One expectations file; a warehouse's own states only what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.catalogue.expectations import load_expectations


def test_the_packaged_file_holds_the_users_thresholds() -> None:
    found = load_expectations()
    assert (found.min_rows, found.min_columns) == (100_000, 10_000)
    assert (found.max_feature_null_fraction, found.max_target_null_fraction) == (0.05, 0.01)
    assert len(found.targets()) == 49
    assert sum(found.family_tables.values()) == 667


def test_a_file_overrides_only_what_it_states(tmp_path: Path) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text('min_rows = 400\n[known_absent]\nagg_eurusd = "retired"\n')
    found = load_expectations(path)
    assert found.min_rows == 400
    assert found.known_absent == {"agg_eurusd": "retired"}
    assert found.min_columns == load_expectations().min_columns


@pytest.mark.parametrize("text", ["min_rows = 0", "unknown_key = 1", "not toml", "max_feature_null_fraction = 5"])
def test_a_file_that_is_wrong_is_refused_naming_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text(text)
    with pytest.raises(BadSetting, match=r"expectations\.toml"):
        load_expectations(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="No such file"):
        load_expectations(tmp_path / "none.toml")


_MINUTES = 2_164_285
_KNOWN = {
    # The users' own counts of rows, or of the worst table of a family.
    "corr_etf_idx_eurusd_spy": 1_201_524,
    "corr_ibkr_eurusd_gld": 1_190_996,
    "corr_etf_bqx_eurusd_ewj": 1_067_160,
    "corr_bqx_ibkr_eurusd_uup": 1_037_017,
    "corr_etf_idx_eurusd_vix": 998_129,
    "corr_etf_idx_eurusd_ewg": 990_966,
    "corr_etf_idx_eurusd_ewa": 928_724,
    "cov_agg_eurusd_gbpusd": 1_955_574,
    "tri_agg_bqx_eur_usd_gbp": 1_921_875,
    "tri_agg_bqx_eur_usd_chf": 1_996_766,
    "base_bqx_eurusd": _MINUTES,
    "agg_eurusd": _MINUTES,
    "csi_agg_aud": _MINUTES,
}


@pytest.mark.parametrize("table", _KNOWN)
def test_the_rows_that_the_users_tables_have_are_enough_and_two_fifths_of_them_are_not(table: str) -> None:
    most = load_expectations().max_missing_rows(table, _MINUTES)
    assert _MINUTES - _KNOWN[table] <= most
    assert _MINUTES - _KNOWN[table] * 2 // 5 > most


@pytest.mark.parametrize("table", ["base_bqx_eurusd", "agg_eurusd", "reg_idx_eurusd", "csi_agg_aud", "any_other_name"])
def test_a_table_that_misses_none_may_not_lose_a_few_per_cent(table: str) -> None:
    assert load_expectations().max_missing_rows(table, 10_000) < 400


def test_a_lost_row_counts_whole_in_a_short_range() -> None:
    assert load_expectations().max_missing_rows("agg_eurusd", 40) == 1


@pytest.mark.parametrize("text", ["windows = []", "horizons = [0]", '[max_missing_fraction]\n"*" = 1.5'])
def test_expectations_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(BadSetting):
        load_expectations(tmp_path / "own.toml")
