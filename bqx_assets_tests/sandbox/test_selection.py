"""Which tables a warehouse gets: all that can be computed, or some of every family."""

from __future__ import annotations

import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables, family_names
from bqx_assets.sandbox.market.bars import Lack, Market
from bqx_assets.sandbox.market.simulate import simulate
from bqx_assets.sandbox.selection import select

EURUSD, GBPUSD, AUDCAD = (parse_pair(name) for name in ("eurusd", "gbpusd", "audcad"))
MARKET = simulate(200, seed=1)


def test_all_tables_of_all_pairs_are_made_once() -> None:
    selection = select(MARKET, (EURUSD, GBPUSD), None)
    names = {table.table for pair in (EURUSD, GBPUSD) for table in expected_tables(pair)}
    assert selection.made.keys() == names
    assert selection.absent == {}
    assert len(names) == 411 + 2 * 256 - 15  # both pairs read the cov_ tables of eurusd with gbpusd


@pytest.mark.parametrize("count", [5, 9, 60, 150])
def test_a_count_is_kept_for_each_pair_and_covers_every_family(count: int) -> None:
    selection = select(MARKET, (EURUSD, GBPUSD, AUDCAD), count)
    for pair in (EURUSD, GBPUSD, AUDCAD):
        made = [table for table in expected_tables(pair) if table.table in selection.made]
        assert len(made) == count
        assert {table.family for table in made} == {*family_names()}
        assert f"base_bqx_{pair}" in selection.made
        assert {table.table for table in expected_tables(pair)} - set(selection.made) <= set(selection.absent)


def test_a_pairs_tables_do_not_depend_on_the_other_pairs_asked_for() -> None:
    both, alone = select(MARKET, (EURUSD, GBPUSD), None), select(MARKET, (GBPUSD,), None)
    assert all(both.made[name] == alone.made[name] for name in alone.made)


def test_the_more_tables_the_same_ones_first() -> None:
    few, more = (set(select(MARKET, (EURUSD,), count).made) for count in (20, 90))
    assert few < more


def test_what_a_market_cannot_give_is_absent_with_its_reason() -> None:
    no_nzd = Market(
        {name: bars for name, bars in MARKET.pairs.items() if "nzd" not in name},
        MARKET.instruments,
        {name: Lack("no rate with", ("nzd",)) for name in MARKET.pairs if "nzd" in name},
    )
    selection = select(no_nzd, (EURUSD,), None)
    assert len(selection.made) + len(selection.absent) == 667
    assert all("nzd" in lack.names for lack in selection.absent.values())
    assert any("nzd" in name for name in selection.absent)
    assert "csi_agg_nzd" in selection.absent
    assert len(select(no_nzd, (EURUSD,), 50).made) == 50
