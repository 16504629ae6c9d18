"""Every column of the grammar has a sentence, and its window is what the simulated market's formulas look back over."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.dictionary.meanings import UNKNOWN, Meaning, meaning_of
from bqx_assets.sandbox.features.pair_tables import compute_pair_tables
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.market.bars import Bars, Market
from bqx_assets_tests.sandbox.features.bars import small_market

EURUSD = parse_pair("eurusd")
ROWS = 700
Row = dict[tuple[str, str], object]


@pytest.mark.parametrize("pair", [ALL_PAIRS[0], ALL_PAIRS[-1]], ids=str)
def test_every_column_of_the_grammar_has_a_sentence_of_its_own_table(pair: object) -> None:
    found = {
        (table.table, column): meaning_of(table.table, column)
        for table in expected_tables(parse_pair(str(pair)))
        for column, _ in table.columns
    }
    assert len(found) == 16_988
    assert [name for name, meaning in found.items() if meaning.meaning == UNKNOWN or not meaning.formula_of] == []
    assert [m.meaning for m in found.values() if not m.meaning.endswith(".") or "{" in m.meaning + m.unit] == []
    assert [name for name, meaning in found.items() if not meaning.unit] == []
    unbounded = {name[1].removeprefix("csi_") for name, meaning in found.items() if meaning.window is None}
    assert {name.split("_")[0] for name in unbounded} == {"cyc", "ema"}


def test_a_column_that_the_grammar_does_not_have_says_that_nothing_is_known() -> None:
    for table, column in (("agg_eurusd", "agg_median_45"), ("new_eurusd", "value_45"), ("csi_agg_eur", "csi_x")):
        assert meaning_of(table, column) == Meaning(meaning=UNKNOWN)


def test_targets_and_key_are_known_whatever_the_table() -> None:
    target = meaning_of("targets_eurusd", "target_bqx90_h105", role="target")
    assert (target.window, target.horizon, target.unit) == (90, 105, "percent")
    assert target.formula_of == "the users' tables"
    assert meaning_of("targets_eurusd", "interval_time", role="key").window == 1


@pytest.mark.parametrize(
    ("table", "column", "window", "identifier"),
    [
        ("base_bqx_eurusd", "bqx_45", 46, False),
        ("agg_eurusd", "agg_mean_2880", 2880, False),
        ("agg_bqx_eurusd", "agg_mean_2880", 2925, False),
        ("reg_eurusd", "reg_slope_90", 90, False),
        ("vol_eurusd", "vol_of_vol_180", 360, False),
        ("der_eurusd", "der_v1_720", 721, False),
        ("lag_idx_eurusd_w45", "return_lag_45", 47, False),
        ("regime_eurusd_90", "vol_p33", 1530, False),
        ("csi_reg_bqx_eur", "csi_reg_slope_90", 135, False),
        ("csi_reg_bqx_eur", "currency", 1, True),
        ("lag_bqx_eurusd_45", "ema_45", None, False),
        ("corr_ibkr_eurusd_ewa", "corr_30min", 31, False),
        ("corr_etf_idx_eurusd_ewa", "corr_30min", 30, False),
    ],
)
def test_windows_count_the_rows_that_a_value_needs(
    table: str, column: str, window: int | None, *, identifier: bool
) -> None:
    found = meaning_of(table, column)
    assert (found.window, found.identifier) == (window, identifier)


@cache
def _one_of_each_kind() -> list[ExpectedTable]:
    """One table of each kind and each set of columns; of those that compare two pairs, that of one peer."""
    found: dict[object, ExpectedTable] = {}
    for table in expected_tables(EURUSD):
        if "cov" not in table.kind or "gbpusd" in table.table:
            found.setdefault((table.kind, table.columns), table)
    return [*found.values()]


def _disturbed(bars: Bars, last: int, seed: int) -> Bars:
    """The same bars with other prices and volumes but for the first bar, which sets an index, and the last ones."""
    random = np.random.default_rng(seed)
    factor, more = np.ones(bars.rows), np.zeros(bars.rows, dtype=np.int64)
    factor[1 : bars.rows - last] = np.exp(random.normal(0.0, 1e-2, bars.rows - last - 1))
    more[1 : bars.rows - last] = 7
    prices = (bars.open * factor, bars.high * factor, bars.low * factor, bars.close * factor)
    return Bars(bars.times, *prices, bars.volume + more)


@cache
def _last_row(last: int) -> Row:
    """The values of the last row if only the ``last`` bars of the market, and the first one, are as they were."""
    market = small_market(ROWS, missing=0.0)
    bars = {name: _disturbed(each, last, seed) for seed, (name, each) in enumerate(market.pairs.items())}
    changed = Market(bars, market.instruments)
    tables = _one_of_each_kind()
    own = compute_pair_tables(changed, EURUSD, [table for table in tables if not table.shared])
    shared = compute_shared_tables(changed, [table for table in tables if table.shared])
    found: Row = {}
    for table, frame in (*own, *shared):
        row = frame.tail(1).drop("interval_time")
        found |= {(table.table, name): value for name, value in row.row(0, named=True).items()}
    return found


@pytest.mark.parametrize("last", [1, 45, 90, 135, 225])
def test_a_value_depends_on_the_rows_of_its_window_alone(last: int) -> None:
    same, whole = _last_row(last), _last_row(ROWS - 1)
    windows = {name: meaning_of(*name).window for name in same}
    within = [name for name, window in windows.items() if window is not None and window <= last]
    assert len(within) > 100 * (last > 40)
    changed = {name: (same[name], whole[name]) for name in within if not _alike(same[name], whole[name])}
    assert changed == {}


@pytest.mark.parametrize("last", [45, 90, 135])
def test_a_window_is_no_longer_than_the_rows_that_count(last: int) -> None:
    """A value whose window is one row longer than what stayed the same has changed, but for flags and extremes."""
    same, whole = _last_row(last), _last_row(ROWS - 1)
    longer = [name for name in same if meaning_of(*name).window == last + 1 and isinstance(whole[name], float)]
    changed = [name for name in longer if not _alike(same[name], whole[name])]
    assert longer
    assert len(changed) > 0.6 * len(longer), sorted({*longer} - {*changed})


def _alike(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True))
    return one == other


def test_the_window_test_compares_known_values() -> None:
    row = pl.Series([value is not None for value in _last_row(ROWS - 1).values()])
    assert row.sum() > 0.6 * len(row)
