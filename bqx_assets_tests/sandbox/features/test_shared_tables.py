"""All 411 shared tables are the grammar's, causal, finite, and told apart from those a market cannot have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.sandbox.features.panel import clock_of
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables, uncomputable
from bqx_assets.sandbox.features.source import source_of
from bqx_assets.sandbox.market.bars import Bars, Floats, Lack, Market
from bqx_assets_tests.sandbox.features.bars import changed_after, first_rows, small_market

TABLES = [table for table in expected_tables(parse_pair("gbpjpy")) if table.shared]
TYPES = {"FLOAT64": pl.Float64, "INT64": pl.Int64, "STRING": pl.String, "BOOL": pl.Boolean}
CAUSAL = [
    "tri_agg_idx_eur_usd_gbp", "tri_align_bqx_aud_usd_jpy", "tri_reg_bqx_eur_gbp_jpy", "tri_vol_idx_gbp_usd_chf",
    "csi_agg_eur", "csi_align_bqx_usd", "csi_cyc_bqx_jpy", "csi_reg_gbp", "csi_vol_bqx_cad",
    "var_agg_idx_usd", "var_align_bqx_chf", "var_corr_bqx_aud", "var_lag_idx_cad",
    "mkt_corr", "mkt_dispersion_bqx", "mkt_regime", "mkt_sentiment_bqx", "mkt_vol",
]  # fmt: skip
MARKET = small_market(rows=400, missing=0.0)
INDEX = np.stack([100.0 * bars.close / bars.close[0] for bars in MARKET.pairs.values()])


def _by_name(market: Market, tables: Sequence[ExpectedTable]) -> dict[str, pl.DataFrame]:
    return {table.table: found for table, found in compute_shared_tables(market, tables)}


@pytest.fixture(scope="module")
def computed() -> tuple[Market, dict[str, pl.DataFrame]]:
    market = small_market(rows=3300)
    return market, _by_name(market, TABLES)


def test_names_order_types_and_rows_are_the_grammars(computed: tuple[Market, dict[str, pl.DataFrame]]) -> None:
    market, frames = computed
    assert len(frames) == len(TABLES) == 411
    assert sum(len(table.columns) for table in TABLES) == 12_815
    times = pl.Series(KEY, clock_of(market).times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    for table in TABLES:
        found = frames[table.table]
        expected = {KEY: pl.Datetime("us", "UTC")} | {name: TYPES[kind] for name, kind in table.columns}
        assert list(found.schema.items()) == list(expected.items()), table.table
        assert found.get_column(KEY).equals(times)


def test_no_value_is_nan_or_infinite(computed: tuple[Market, dict[str, pl.DataFrame]]) -> None:
    for name, found in computed[1].items():
        floats = found.select(pl.col(pl.Float64))
        assert floats.width == 0 or floats.select(pl.all_horizontal(pl.all().is_finite().all())).item(), name


def test_no_column_is_empty_or_constant_beyond_the_allowed(computed: tuple[Market, dict[str, pl.DataFrame]]) -> None:
    allowed = {pattern.removeprefix("*__") for pattern in load_expectations().allowed_constant}
    for name, found in computed[1].items():
        for column in found.drop(KEY).iter_columns():
            distinct = column.drop_nulls().n_unique()
            assert distinct > 1 or (distinct == 1 and column.name in allowed), f"{name}.{column.name}"


def test_a_row_does_not_change_with_what_follows() -> None:
    market, row = small_market(rows=420), 333
    wanted = [table for table in TABLES if table.table in CAUSAL]
    assert len(wanted) == len(CAUSAL)
    moment = clock_of(market).times[row]

    def last_known(bars: Bars) -> int:
        return int(np.searchsorted(bars.times, moment, side="right")) - 1

    cut = {name: first_rows(bars, last_known(bars) + 1) for name, bars in market.pairs.items()}
    changed = {name: changed_after(bars, last_known(bars)) for name, bars in market.pairs.items()}
    expected = {name: found.head(row + 1) for name, found in _by_name(market, wanted).items()}
    for pairs in (cut, changed):
        for name, found in _by_name(Market(pairs, {}), wanted).items():
            assert_frame_equal(found.head(row + 1), expected[name], check_exact=True)


def test_without_a_currency_its_own_tables_cannot_be_and_all_others_are() -> None:
    full = small_market(rows=120)
    missing = {pair.name: Lack("no rate with", ("nzd",)) for pair in ALL_PAIRS if "nzd" in (pair.base, pair.quote)}
    market = Market({name: bars for name, bars in full.pairs.items() if name not in missing}, {}, missing)
    reasons = {table.table: uncomputable(market, table) for table in TABLES}
    absent = {name: str(reason) for name, reason in reasons.items() if reason is not None}
    assert all("nzd" in name for name in absent)
    assert set(absent) == {name for name in reasons if "nzd" in name.split("_")}
    assert absent["csi_agg_nzd"] == "needs nzdusd: no rate with nzd"
    assert absent["tri_agg_idx_aud_usd_nzd"] == "needs nzdusd: no rate with nzd"
    left = [
        table for table in TABLES if reasons[table.table] is None and table.kind.startswith(("csi_mom", "var", "mkt"))
    ]
    frames = _by_name(market, left)
    assert set(frames) == {table.table for table in left}
    assert frames["var_agg_idx_eur"]["pairs_in_family"].max() == 6
    assert frames["mkt_vol"]["pairs_count"].max() == 21


def test_a_table_names_the_first_pair_it_lacks() -> None:
    few = Market({name: bars for name, bars in small_market(rows=60).pairs.items() if name in ("eurusd", "gbpusd")}, {})
    tables = {table.table: table for table in TABLES}
    reasons = {
        "csi_agg_eur": None,
        "csi_agg_jpy": "needs usdjpy: no bars",
        "mkt_vol": None,
        "mkt_corr": "needs audusd: no bars",
        "tri_agg_idx_eur_usd_gbp": "needs eurgbp: no bars",
        "var_lag_bqx_eur": "needs eurgbp: no bars",
        "var_agg_idx_usd": None,
        "var_corr_usd": "needs usdjpy: no bars",
    }
    lacks = {name: uncomputable(few, tables[name]) for name in reasons}
    assert {name: lack and str(lack) for name, lack in lacks.items()} == reasons


def _table(name: str) -> dict[str, Floats]:
    (wanted,) = (table for table in TABLES if table.table == name)
    ((_, found),) = compute_shared_tables(MARKET, [wanted])
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
