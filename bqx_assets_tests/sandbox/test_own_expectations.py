"""The expectations a warehouse carries fit its right data, and nothing that is damaged."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.extract.align import KEY_TYPE
from bqx_assets.pipeline import Pipeline
from bqx_assets.sandbox.create import create_warehouse
from bqx_assets.sandbox.features.pair_tables import compute_pair_tables
from bqx_assets.sandbox.market.bars import Market
from bqx_assets.sandbox.market.simulate import simulate
from bqx_assets.sandbox.own_expectations import _patterns, on_spine, readers, spine_keys

EURUSD, USDJPY = parse_pair("eurusd"), parse_pair("usdjpy")
Own = Callable[[int], Expectations]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    """The expectations of a warehouse of so many rows, made once."""
    made: dict[int, Path] = {}

    def load(rows: int) -> Expectations:
        if rows not in made:
            folder = tmp_path_factory.mktemp("own") / "wh"
            create_warehouse(folder, pairs=[EURUSD], rows=rows, tables=9, seed=1, rates=None, progress=Silent())
            made[rows] = folder / "expectations.toml"
        return load_expectations(made[rows])

    return load


def _table(name: str) -> ExpectedTable:
    return next(each for each in expected_tables(EURUSD) if each.table == name)


def test_only_what_differs_is_stated(two_pairs: Path) -> None:
    stated = tomllib.loads((two_pairs / "expectations.toml").read_text())
    assert not {"windows", "horizons", "version"} & stated.keys()


def test_a_longer_history_leaves_less_empty(own: Own) -> None:
    short, longer, full = (own(rows) for rows in (200, 1_600, 6_000))
    shares = [each.max_null_share("pair_specific") for each in (short, longer, full)]
    assert shares == sorted(set(shares), reverse=True)
    assert len(short.allowed_all_null) > len(longer.allowed_all_null) > len(full.allowed_all_null)
    assert len(short.allowed_constant) > len(full.allowed_constant)
    assert full.min_rows == 5_940


@pytest.mark.parametrize(("rows", "empty"), [(3_000, set[int]()), (1_600, {2_880}), (200, {360, 720, 1440, 2880})])
def test_windows_longer_than_the_history_are_known_to_be_empty(own: Own, rows: int, empty: set[int]) -> None:
    names = own(rows).allowed_all_null
    for window in own(rows).windows:
        assert (f"base_bqx__bqx_{window}" in names or f"*__bqx_{window}" in names) == (window in empty)


@pytest.mark.parametrize("rows", [76, 151, 181])
def test_a_file_of_few_rows_passes_every_check(tmp_path: Path, rows: int) -> None:
    """76 is the least that is accepted; with each of these numbers some targets have one known value."""
    warehouse = tmp_path / "warehouse"
    create_warehouse(warehouse, pairs=[EURUSD], rows=rows, tables=4, seed=1, rates=None, progress=Silent())
    pipeline = Pipeline(Settings(home=tmp_path, warehouse=warehouse, workers=1))
    pipeline.extract(EURUSD)
    pipeline.merge(EURUSD)
    report = pipeline.validate(EURUSD)
    assert {each.rule: each.got for each in report.verdicts if not each.passed} == {}


def test_what_may_be_empty_follows_from_the_columns_and_not_from_a_number_in_their_names() -> None:
    """No name of ``mrt_tension_composite`` says the 2,880 rows it waits for."""
    market, facts = simulate(1_000, seed=1), load_expectations()
    table = _table("mrt_eurusd")
    (_, frame), *_ = compute_pair_tables(market, EURUSD, [table])
    seen = on_spine(frame, table, EURUSD, spine_keys(market.pairs["eurusd"], facts))
    assert seen.nulls["mrt__mrt_tension_composite"] == seen.rows == 940
    assert seen.missing == 0


def test_rates_without_volumes_make_their_columns_constant() -> None:
    bars = replace(simulate(200, seed=1).pairs["eurusd"], volume=np.zeros(200, np.int64))
    table = _table("base_idx_eurusd")
    (_, frame), *_ = compute_pair_tables(Market({"eurusd": bars}, {}), EURUSD, [table])
    assert on_spine(frame, table, EURUSD, spine_keys(bars, load_expectations())).constant == ("base_idx__volume_idx",)


def test_rows_a_table_has_not_are_counted_on_the_spine_and_its_values_are_null_there() -> None:
    table = _table("ext_bqx_eurusd")
    keys = pl.Series(KEY, range(0, 600_000_000, 60_000_000)).cast(KEY_TYPE)
    names = [name for name, _ in table.columns]
    frame = pl.DataFrame([keys, *(pl.Series(name, [1.5] * 9 + [2.5]) for name in names)])[[9, 8, 0, 1]]
    seen = on_spine(frame, table, EURUSD, keys[:9])
    assert (seen.rows, seen.missing) == (9, 6)
    assert {*seen.nulls.values()} == {6}
    assert len(seen.constant) == len(names)


@pytest.mark.parametrize(
    ("name", "pairs"),
    [("agg_eurusd", ["eurusd"]), ("cov_lag_eurusd_usdjpy", ["eurusd", "usdjpy"]), ("mkt_vol", ["eurusd", "usdjpy"])],
)
def test_a_table_is_looked_at_on_the_spine_of_each_pair_that_reads_it(name: str, pairs: list[str]) -> None:
    assert [pair.name for pair in readers(_table(name), [EURUSD, USDJPY])] == pairs


def test_a_table_with_other_rows_may_lack_them_and_no_other_table_may(tmp_path: Path) -> None:
    """Of two pairs with other clocks, the table of both has the first one's rows."""
    market = simulate(600, seed=3)
    clocks = {"eurusd": slice(None), "usdjpy": slice(None, None, 2), "eurgbp": slice(300, None)}
    frames = [
        pl.DataFrame({KEY: pl.Series(bars.times[clock]).cast(KEY_TYPE), "pair": name, "close": bars.close[clock]})
        for name, clock in clocks.items()
        for bars in [market.pairs[name]]
    ]
    pl.concat(frames).write_parquet(tmp_path / "rates.parquet")
    create_warehouse(
        tmp_path / "wh",
        pairs=[EURUSD, parse_pair("eurgbp")],
        rows=600,
        tables=200,
        seed=1,
        rates=tmp_path / "rates.parquet",
        progress=Silent(),
    )
    own = load_expectations(tmp_path / "wh/expectations.toml")
    assert own.max_missing_rows("cov_lag_eurgbp_eurusd", 1_000) > 10
    assert own.max_missing_rows("agg_eurusd", 1_000) == 10


def test_patterns_fit_the_names_and_no_other() -> None:
    every = {"a__x_1", "b__x_1", "a__x_2", "b__x_2", "a__y"}
    assert [*_patterns({"a__x_1", "b__x_1", "b__x_2", "a__y"}, every)] == ["*__x_1", "b__x_2", "a__y"]
