"""No value depends on rows behind its reach, whatever bars other pairs lack; without gaps it is the window."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.dictionary.meanings import meaning_of
from bqx_assets.dictionary.reaches import reaches
from bqx_assets.dictionary.subjects import averaged_pairs, pairs_of
from bqx_assets.quality.table_rows import TableRows
from bqx_assets.sandbox.features.pair_tables import compute_pair_tables
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.market.bars import Bars, Market
from bqx_assets_tests.sandbox.features.bars import small_market

EURUSD = parse_pair("eurusd")
ROWS = 520
NUMBERS = {"FLOAT64", "INT64"}
KINDS = ("agg", "cov_agg", "cov_lag", "tri_agg_idx", "tri_reg_idx", "corr_ibkr", "corr_etf_idx",
         "csi_agg", "var_agg_idx", "var_corr", "mkt_vol",
         "mkt_dispersion", "mkt_corr")  # fmt: skip


@cache
def _tables() -> list[ExpectedTable]:
    """One table of each set of columns of some kinds, and those that tell the rows of every pair."""
    found: dict[object, ExpectedTable] = {}
    for table in expected_tables(EURUSD):
        if table.kind in KINDS:
            tells = table.kind in {"cov_lag", "tri_agg_idx"} or table.table == "tri_reg_idx_cad_chf_jpy"
            found.setdefault(table.table if tells else (table.kind, table.columns), table)
    return [*found.values()]


def _computed(market: Market) -> dict[str, pl.DataFrame]:
    """The tables, each with a row for each bar of eurusd, as in its training file."""
    own = compute_pair_tables(market, EURUSD, [table for table in _tables() if not table.shared])
    shared = compute_shared_tables(market, [table for table in _tables() if table.shared])
    frames = {table.table: frame for table, frame in (*own, *shared)}
    spine = frames["agg_eurusd"].select("interval_time")
    return {
        name: spine.join(frame, on="interval_time", how="left", maintain_order="left") for name, frame in frames.items()
    }


def _known(frames: dict[str, pl.DataFrame]) -> TableRows:
    numbers = [(table.table, name) for table in _tables() for name, kind in table.columns if kind in NUMBERS]
    known = TableRows({f"{table}.{name}": table for table, name in numbers})
    for table, name in numbers:
        for first in range(0, frames[table].height, 150):
            known.add(f"{table}.{name}", first, frames[table][name][first : first + 150])
    return known


def _windows() -> Iterator[tuple[str, str, int]]:
    for table in _tables():
        for name, _ in table.columns:
            window = meaning_of(table.table, name).window
            if window is not None and window <= 200:
                yield table.table, name, window


def _changed(bars: Bars, until: int, seed: int) -> Bars:
    """The same bars with other prices up to a time, but for the first bar, which sets an index."""
    random, rows = np.random.default_rng(seed), bars.times <= until
    rows[0] = False
    factor = np.ones(bars.rows)
    factor[rows] = np.exp(random.normal(0.0, 1e-2, int(rows.sum())))
    prices = (bars.open * factor, bars.high * factor, bars.low * factor, bars.close * factor)
    return Bars(bars.times, *prices, bars.volume + 7 * rows)


@settings(deadline=None, max_examples=2)
@given(seed=st.integers(0, 99), missing=st.sampled_from([0.03, 0.1]), last=st.integers(100, 330))
def test_no_value_depends_on_rows_behind_its_reach(seed: int, missing: float, last: int) -> None:
    market = small_market(ROWS, seed=seed, missing=missing)
    before = _computed(market)
    windows: dict[str, set[int]] = {}
    for table, _, window in _windows():
        windows.setdefault(table, set()).add(window)
    rows = before["agg_eurusd"].height
    found = reaches(windows, _known(before), rows)
    until = market.pairs["eurusd"].times[rows - 1 - last]
    bars = {name: _changed(each, int(until), number) for number, (name, each) in enumerate(market.pairs.items())}
    after = _computed(Market(bars, market.instruments))
    compared, wrong = 0, list[str]()
    for table, name, window in _windows():
        back = found[table, window] - 1
        same = [frame[table][name][-(last - back) :] if last > back else None for frame in (before, after)]
        if same[0] is not None and same[1] is not None:
            compared += 1
            wrong += [f"{table}.{name}"] * (not _alike(same[0], same[1]))
    assert compared > 100
    assert wrong == []


def _alike(one: pl.Series, other: pl.Series) -> bool:
    if not one.dtype.is_float():
        return one.equals(other)
    return bool(np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-6, atol=1e-9, equal_nan=True))


def test_without_the_reach_values_change_within_their_windows() -> None:
    """The rows that the pairs lack matter in this market, so that the test above can fail."""
    frames = _computed(small_market(ROWS, missing=0.1))
    found = reaches({"csi_agg_eur": {45}, "agg_eurusd": {45}}, _known(frames), frames["agg_eurusd"].height)
    assert found["agg_eurusd", 45] == 45
    assert 45 < found["csi_agg_eur", 45] < 90


@settings(max_examples=50)
@given(
    rows=st.lists(st.booleans(), min_size=1, max_size=60),
    window=st.integers(1, 20),
    group=st.integers(1, 20),
)
def test_a_window_reaches_over_the_rows_between_its_own_first_and_last(
    rows: list[bool], window: int, group: int
) -> None:
    values = pl.Series([1.0 if there else None for there in rows])
    known = TableRows({"few": "agg_eurusd", "x": "agg_eurusd"})
    for first in range(0, len(rows), group):
        known.add("few", first, pl.Series([None] * len(rows[first : first + group]), dtype=pl.Float64))
        known.add("x", first, values[first : first + group])
    own = [place for place, there in enumerate(rows) if there]
    assert known.count("agg_eurusd") == len(own)
    assert known.places("agg_eurusd").tolist() == own
    found = reaches({"agg_eurusd": {window}}, known, len(rows))["agg_eurusd", window]
    needed = [last - own[max(0, place + 1 - window)] + 1 for place, last in enumerate(own)]
    assert found >= max(needed, default=window)
    assert found <= max(window, len(rows))
    assert all(rows) <= (found == window)


def test_every_pair_is_in_a_table_that_knows_its_rows() -> None:
    told = {pair for table in expected_tables(EURUSD) for pair in pairs_of(table.table)}
    assert told == {pair.name for pair in ALL_PAIRS}
    assert averaged_pairs("csi_agg_jpy") == tuple(pair.name for pair in ALL_PAIRS if "jpy" in pair.name)
    assert len(averaged_pairs("mkt_vol")) == 28
    assert averaged_pairs("agg_eurusd") == ()
