"""Tables of one pair have the grammar's shape and no lookahead; its targets equal a loop that a person can check."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.errors import TableMissing
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.sandbox.features.pair_tables import compute_pair_tables, joint_rows, targets_frame, uncomputable
from bqx_assets.sandbox.features.source import bqx
from bqx_assets.sandbox.market.bars import Bars, Integers, Lack, Market
from bqx_assets.sandbox.market.simulate import simulate
from bqx_assets_tests.sandbox.features.bars import changed_after, first_rows, small_market

MARKET = small_market(6000)
EURUSD, USDJPY = ALL_PAIRS[0], ALL_PAIRS[2]
_TYPES = {"FLOAT64": pl.Float64, "INT64": pl.Int64, "STRING": pl.String, "BOOL": pl.Boolean}
_ONE_VALUE_BY_NAME = re.compile(
    r"pair[12]|fx_pair|ibkr_instrument|period_minutes|month.*|quarter|week_of_year|is_(month_start|month_end|weekend)"
)
"""Identifiers, a window's own length, and what a calendar holds still over three days of minutes."""

_BAR_TIMES = st.sets(st.integers(0, 30)).map(lambda times: np.array(sorted(times), dtype=np.int64))

Frames = dict[str, tuple[ExpectedTable, pl.DataFrame]]


def _tables(pair: Pair) -> list[ExpectedTable]:
    return [table for table in expected_tables(pair) if not table.shared]


def _one_peer() -> list[ExpectedTable]:
    """EURUSD's tables; of the comparisons, those with one of its twelve peers."""
    return [table for table in _tables(EURUSD) if "cov" not in table.kind or "eurjpy" in table.table]


def _table(pair: Pair, name: str) -> ExpectedTable:
    return next(table for table in _tables(pair) if table.table == name)


@cache
def _computed(pair: Pair) -> Frames:
    return {table.table: (table, frame) for table, frame in compute_pair_tables(MARKET, pair, _tables(pair))}


@pytest.fixture(scope="module", params=[EURUSD, USDJPY], ids=str)
def frames(request: pytest.FixtureRequest) -> Frames:
    return _computed(request.param)


@pytest.fixture(scope="module")
def eurusd() -> Frames:
    return _computed(EURUSD)


def test_every_table_has_the_pairs_rows_and_the_grammars_columns_and_types(frames: Frames) -> None:
    own = next(name.removeprefix("tmp_") for name in frames if name.startswith("tmp_"))
    assert len(frames) == 256
    assert sum(frame.width - 1 for _, frame in frames.values()) == 4173
    for table, frame in frames.values():
        expected = {"interval_time": pl.Datetime("us", "UTC")}
        expected |= {name: _TYPES[kind] for name, kind in table.columns}
        assert list(frame.schema.items()) == list(expected.items()), table.table
        assert np.array_equal(frame["interval_time"].to_physical(), MARKET.pairs[own].times), table.table


def test_no_column_holds_nan_or_infinity(frames: Frames) -> None:
    for _, frame in frames.values():
        odd = frame.select(pl.col(pl.Float64).is_finite().not_().sum())
        assert not any(sum(row) for row in odd.rows())


def test_no_column_is_empty_or_constant_unless_its_name_says_so(frames: Frames) -> None:
    still: list[str] = []
    for table, frame in frames.values():
        moves = frame.select((pl.all().max() != pl.all().min()).fill_null(value=False)).row(0, named=True)
        still += [f"{table.table}.{name}" for name, moved in moves.items() if not moved]
    assert not [name for name in still if not _ONE_VALUE_BY_NAME.fullmatch(name.partition(".")[2])]


def test_nothing_but_the_leaking_targets_changes_when_later_bars_change(eurusd: Frames) -> None:
    row = 4000
    moment = MARKET.pairs["eurusd"].times[row]
    pairs = {name: changed_after(bars, int(np.searchsorted(bars.times, moment))) for name, bars in MARKET.pairs.items()}
    instruments = {
        name: changed_after(bars, int(np.searchsorted(bars.times, moment, side="right")) - 1)
        for name, bars in MARKET.instruments.items()
    }
    for table, changed in compute_pair_tables(Market(pairs, instruments), EURUSD, _one_peer()):
        before, after = eurusd[table.table][1].head(row + 1), changed.head(row + 1)
        causal = [column for column in before.columns if not column.startswith("target_")]
        assert_frame_equal(after[causal], before[causal], check_exact=True)
        assert before.equals(after) == (table.kind != "base_bqx")


def test_a_shorter_history_gives_the_same_features(eurusd: Frames) -> None:
    short = replace(MARKET, pairs={name: first_rows(bars, 3200) for name, bars in MARKET.pairs.items()})
    kinds = ("reg_bqx_eurusd", "agg_eurusd", "cyc_bqx_eurusd", "regime_eurusd_45", "lag_idx_eurusd_w90")
    for table, frame in compute_pair_tables(short, EURUSD, [_table(EURUSD, kind) for kind in kinds]):
        assert_frame_equal(frame, eurusd[table.table][1].head(3200), rel_tol=1e-9, abs_tol=1e-12)


def test_the_leaking_targets_are_the_future_of_bqx(eurusd: Frames) -> None:
    frame = eurusd["base_bqx_eurusd"][1]
    for window in (45, 2880):
        assert frame[f"target_{window}"].equals(frame[f"bqx_{window}"].shift(-window), check_names=False)


def test_a_peers_missing_minutes_are_unknown_and_cost_no_window(eurusd: Frames) -> None:
    frame = eurusd["cov_vol_eurusd_gbpusd"][1]
    shared = np.isin(MARKET.pairs["eurusd"].times, MARKET.pairs["gbpusd"].times)
    assert 0 < (~shared).sum() < 200
    assert not frame.filter(~pl.Series(shared))["spread"].count()
    assert frame.filter(pl.Series(shared))["spread_ma_180"][300:].null_count() == 0
    assert frame["pair1"].unique().to_list() == ["eurusd"]


def test_both_pairs_of_a_comparison_see_the_same_values_on_shared_minutes(eurusd: Frames) -> None:
    table = _table(USDJPY, "cov_reg_bqx_eurusd_usdjpy")
    _, other = next(compute_pair_tables(MARKET, USDJPY, [table]))
    mine = eurusd[table.table][1].drop_nulls()
    assert mine.height > 3000
    assert_frame_equal(mine, other.drop_nulls())


def test_correlation_is_that_of_returns_on_minutes_that_both_have(eurusd: Frames) -> None:
    frame = eurusd["corr_ibkr_eurusd_spy"][1]
    pair, instrument = MARKET.pairs["eurusd"], MARKET.instruments["spy"]
    times = np.intersect1d(pair.times, instrument.times)
    one, other = pair.close[np.isin(pair.times, times)], instrument.close[np.isin(instrument.times, times)]
    returns = [np.diff(close) / close[:-1] for close in (one, other)]
    moment = pl.lit(times[500]).cast(pl.Datetime("us", "UTC"))
    found = frame.filter(pl.col("interval_time") == moment).row(0, named=True)
    assert found["corr_60min"] == pytest.approx(np.corrcoef(returns[0][440:500], returns[1][440:500])[0, 1], abs=1e-9)
    assert found["fx_volatility_60min"] == pytest.approx(100.0 * returns[0][440:500].std(ddof=1))
    assert (found["fx_pair"], found["ibkr_instrument"]) == ("eurusd", "spy")


def test_an_instruments_bqx_counts_the_pairs_minutes_and_carries_its_last_price(eurusd: Frames) -> None:
    frame = eurusd["corr_etf_bqx_eurusd_gld"][1]
    pair, instrument = MARKET.pairs["eurusd"], MARKET.instruments["gld"]
    traded = np.isin(pair.times, instrument.times)
    assert not frame.filter(~pl.Series(traded))["bqx_45"].count()
    row = int(np.flatnonzero(traded)[-1])
    now, then = (instrument.close[instrument.times <= pair.times[at]][-1] for at in (row, row - 2880))
    assert frame["bqx_2880"][row] == pytest.approx(100.0 * (now - then) / then)


def test_regimes_and_their_codes_say_the_same(eurusd: Frames) -> None:
    for name in ("regime_eurusd_45", "regime_bqx_eurusd_90"):
        frame = eurusd[name][1]
        for regime in (column for column in frame.columns if column.endswith("_regime")):
            both = frame.select(pl.col(regime, f"{regime}_code")).drop_nulls().unique()
            assert both.height == 3
            assert both[regime].n_unique() == both[f"{regime}_code"].n_unique() == 3


def test_a_table_without_its_pair_peer_or_instrument_is_uncomputable_for_a_named_reason() -> None:
    market = Market(
        {name: bars for name, bars in MARKET.pairs.items() if name not in ("nzdusd", "eurchf")},
        {name: bars for name, bars in MARKET.instruments.items() if name != "vix"},
        {"nzdusd": Lack("no rate with", ("nzd",))},
    )
    reasons = {table.table: uncomputable(market, table) for table in _tables(EURUSD)}
    assert reasons["agg_bqx_eurusd"] is reasons["cov_lag_audusd_eurusd"] is reasons["corr_ibkr_eurusd_spy"] is None
    assert str(reasons["cov_lag_bqx_eurusd_nzdusd"]) == "no rate with nzd"
    assert str(reasons["cov_agg_eurchf_eurusd"]) == "no bars of eurchf"
    assert str(reasons["corr_etf_idx_eurusd_vix"]) == "no bars of instrument vix"
    with pytest.raises(TableMissing, match="no rate with nzd"):
        list(compute_pair_tables(market, EURUSD, [_table(EURUSD, "cov_lag_bqx_eurusd_nzdusd")]))
    assert {str(uncomputable(market, table)) for table in _tables(ALL_PAIRS[6])} == {"no rate with nzd"}


def test_a_history_shorter_than_the_windows_gives_nulls_of_the_right_types() -> None:
    market = Market(
        {name: first_rows(bars, 20) for name, bars in MARKET.pairs.items()},
        {name: first_rows(bars, 0) for name, bars in MARKET.instruments.items()},
    )
    for table, frame in compute_pair_tables(market, EURUSD, _one_peer()):
        assert frame.height == 20
        assert frame.dtypes[1:] == [_TYPES[kind] for _, kind in table.columns], table.table


FACTS = load_expectations()


def _bars(close: list[float]) -> Bars:
    values = np.array(close)
    times = np.arange(values.size, dtype=np.int64) * 60_000_000
    return Bars(times, values, values, values, values, times)


def _naive(close: list[float], window: int, row: int) -> float | None:
    if row < window or row >= len(close):
        return None
    return (close[row] - close[row - window]) / close[row - window] * 100


@settings(deadline=None, max_examples=50)
@given(
    close=st.lists(st.floats(0.01, 500), min_size=1, max_size=40),
    windows=st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True),
    horizons=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
)
def test_targets_equal_a_naive_loop(close: list[float], windows: list[int], horizons: list[int]) -> None:
    frame = targets_frame(_bars(close), EURUSD, windows, horizons)
    first = min(windows)
    assert frame.height == max(0, len(close) - first)
    for window in windows:
        naive = [_naive(close, window, row) for row in range(first, len(close))]
        assert frame.get_column(f"bqx_{window}").to_list() == naive
        for horizon in horizons:
            later = [_naive(close, window, row + horizon) for row in range(first, len(close))]
            assert frame.get_column(f"target_bqx{window}_h{horizon}").to_list() == later


def test_the_head_nulls_are_those_of_the_users_tables() -> None:
    """DESIGN: head nulls of a column = max(0, w - 45 - h), on rows that begin 45 bars after base_bqx."""
    frame = targets_frame(simulate(3_300, 1).pairs["eurusd"], EURUSD, FACTS.windows, FACTS.horizons)
    spine = frame.filter(pl.col("target_bqx45_h15").is_not_null())
    assert spine.height == 3_300 - 45 - 15
    for window in FACTS.windows:
        for horizon in FACTS.horizons:
            known = spine.get_column(f"target_bqx{window}_h{horizon}").is_not_null()
            assert known.arg_max() == max(0, window - 45 - horizon)


def test_the_table_has_the_users_columns_and_types() -> None:
    frame = targets_frame(simulate(3_000, 1).pairs["eurusd"], EURUSD, FACTS.windows, FACTS.horizons)
    assert frame.columns == [KEY, "pair", *(f"bqx_{window}" for window in FACTS.windows), *FACTS.targets()]
    assert frame.schema[KEY] == pl.Datetime("us", "UTC")
    assert set(frame.select(pl.exclude(KEY, "pair")).dtypes) == {pl.Float64}
    assert frame.get_column("pair").unique().to_list() == ["eurusd"]


@pytest.mark.parametrize("window", [1, 5, 6, 100])
def test_bqx_has_no_value_before_its_window(window: int) -> None:
    values = bqx(np.arange(1.0, 7.0), window)
    assert np.isnan(values[:window]).all()
    assert np.isfinite(values[window:]).all()
    assert values.size == 6


@given(own=_BAR_TIMES, other=_BAR_TIMES)
@settings(deadline=None)
def test_shared_rows_are_the_intersection(own: Integers, other: Integers) -> None:
    joint = joint_rows(own, other)
    shared, own_rows, other_rows = np.intersect1d(own, other, assume_unique=True, return_indices=True)
    np.testing.assert_array_equal(joint.own, own_rows)
    np.testing.assert_array_equal(joint.other, other_rows)
    spread = joint.spread({"time": shared.astype(np.float64)})["time"]
    np.testing.assert_array_equal(spread, np.where(np.isin(own, other), own, np.nan))
