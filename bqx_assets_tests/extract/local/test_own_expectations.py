"""The expectations a warehouse carries follow from its rows and windows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.extract.local.layout import Made
from bqx_assets.extract.local.own_expectations import own_expectations
from bqx_assets.extract.local.selection import select
from bqx_assets.extract.local.simulate import simulate

EURUSD = parse_pair("eurusd")


def _own(folder: Path, rows: int, tables: int | None = None) -> Expectations:
    market = simulate(rows, seed=1)
    made = Made(pairs=("eurusd",), rows=rows, tables=tables, seed=1, rates=None)
    text = own_expectations(made, (EURUSD,), market, select(market, (EURUSD,), tables))
    (folder / "expectations.toml").write_text(text)
    return load_expectations(folder / "expectations.toml")


def test_only_what_differs_is_stated(tmp_path: Path) -> None:
    _own(tmp_path, 6_000)
    stated = tomllib.loads((tmp_path / "expectations.toml").read_text())
    assert not {"windows", "horizons", "family_tables", "version"} & stated.keys()


def test_all_tables_give_all_columns_but_those_that_look_forward(tmp_path: Path) -> None:
    own = _own(tmp_path, 6_000)
    assert (own.min_rows, own.min_columns) == (5_940, 17_038 - 7)
    assert own.known_absent == {}


def test_thresholds_fall_towards_the_users_own_as_history_grows(tmp_path: Path) -> None:
    short, longer, full = (_own(tmp_path, rows) for rows in (3_200, 6_000, 100_060))
    assert short.max_feature_null_fraction > longer.max_feature_null_fraction > full.max_feature_null_fraction
    assert full.max_feature_null_fraction < 0.05
    assert full.max_target_null_fraction < 0.01
    assert set(full.allowed_constant) < set(longer.allowed_constant) < set(short.allowed_constant)


@pytest.mark.parametrize(("rows", "empty"), [(3_000, ()), (1_600, (2_880,)), (200, (180, 360, 720, 1_440, 2_880))])
def test_windows_longer_than_the_history_are_known_to_be_empty(
    tmp_path: Path, rows: int, empty: tuple[int, ...]
) -> None:
    own = _own(tmp_path, rows, tables=9)
    for window in own.windows:
        assert (f"*_{window}" in own.allowed_all_null) == (window in empty)


def test_calendar_columns_may_be_constant_only_while_the_calendar_is(tmp_path: Path) -> None:
    days, months = _own(tmp_path, 6_000), _own(tmp_path, 100_000)
    assert "*__month" in days.allowed_constant
    assert "*__is_weekend" not in days.allowed_constant
    assert "*__month" not in months.allowed_constant
