"""The grammar gives every pair its 667 tables, and finds a table's family by its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bqx_assets.base.names import output_column, table_prefix
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.catalogue.families import expected_tables, family_of, family_rank
from bqx_assets_tests.users_catalogue import USERS_TARGETS, users_catalogue

ROOT = Path(__file__).resolve().parents[2]
EURUSD = parse_pair("eurusd")


@pytest.mark.parametrize("pair", ALL_PAIRS, ids=str)
def test_every_pair_has_the_expected_number_of_tables_in_each_family(pair: Pair) -> None:
    counted = Counter(table.family for table in expected_tables(pair))
    assert counted == {
        "pair_specific": 256,
        "triangulation": 194,
        "currency_strength": 144,
        "variance": 63,
        "market_wide": 10,
    }


def test_columns_of_each_family_are_as_many_as_the_users_counted() -> None:
    columns: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for table in expected_tables(EURUSD):
        columns[table.family] += len(table.columns)
        types.update(kind for _, kind in table.columns)
    assert columns == {
        "pair_specific": 4_173,
        "triangulation": 6_460,
        "currency_strength": 5_232,
        "variance": 973,
        "market_wide": 150,
    }
    assert types == {"FLOAT64": 14_842, "STRING": 1_497, "INT64": 646, "BOOL": 3}


def test_the_411_shared_tables_are_the_same_for_all_pairs() -> None:
    shared = [tuple(t for t in expected_tables(pair) if t.shared) for pair in ALL_PAIRS]
    assert len(shared[0]) == 411
    assert all(each == shared[0] for each in shared)


@pytest.mark.parametrize("pair", ALL_PAIRS, ids=str)
def test_no_two_tables_of_a_pair_give_the_same_column(pair: Pair) -> None:
    names = [output_column(table_prefix(t.table, pair), c) for t in expected_tables(pair) for c, _ in t.columns]
    assert len(names) == len(set(names)) == 16_988


@pytest.mark.parametrize("pair", ALL_PAIRS, ids=str)
def test_the_selection_rule_finds_each_expected_table_in_its_own_family(pair: Pair) -> None:
    assert all(family_of(table.table, pair) == table.family for table in expected_tables(pair))


@pytest.mark.parametrize(
    ("table", "family"),
    [
        ("mkt_vol_summary", None),
        ("targets_all_fixed", None),
        ("agg_bqx_gbpusd", None),
        ("agg_bqx_eurusdx", None),
        ("cov_agg_eurusd_gbpusd", "pair_specific"),
        ("eurusd", "pair_specific"),
        ("tri_new_table", "triangulation"),
        ("csi_agg_eurusd", "pair_specific"),
    ],
)
def test_a_name_is_selected_by_whole_words_only(table: str, family: str | None) -> None:
    assert family_of(table, EURUSD) == family


def test_tables_come_in_family_order_and_by_name_within() -> None:
    order = [(family_rank(table.family), table.table) for table in expected_tables(EURUSD)]
    assert order == sorted(order)


def test_the_grammar_equals_the_users_own_catalogue() -> None:
    theirs = users_catalogue()
    del theirs[USERS_TARGETS]
    assert {table.table: dict(table.columns) for table in expected_tables(EURUSD)} == theirs


_EDITED = """

[[family]]
name = "macro"
names = 'mac_.*'
shared = true
description = "Rates of central banks."

[[kind]]
family = "macro"
tables = ["mac_policy_{currency}"]
columns = ["mac_rate", "mac_change:INT64"]
"""
_STAGES = """
import sys
from pathlib import Path
import dagster as dg
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.discovery import discover
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import family_names, family_rank
from bqx_assets.extract.plan import plan_pair
from bqx_assets.extract.staging import is_shared
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.workspace import Workspace
from bqx_assets.sandbox.selection import select
from bqx_assets.sandbox.market.simulate import simulate
from bqx_assets_tests.descriptions import full_descriptions
from bqx_assets_tests.frames import frame_job, frame_warehouse

assert family_names()[-1] == "macro", family_names()
pair = parse_pair("eurusd")
found = discover(pair, full_descriptions(pair).values(), load_expectations())
assert len(found.tables) == 675 and found.problems == {}, found.problems
assert found.tables[-1].family == "macro" and is_shared(found.tables[-1].description)
assert family_rank("macro") < family_rank("no family")
plan = plan_pair(frame_job(Path(sys.argv[1]), frame_warehouse(50)))
assert plan.families[-1].family == "macro"
graph = build_definitions(Workspace()).resolve_asset_graph()
macro = graph.get(dg.AssetKey(["bigquery", "macro"]))
assert macro.description == "Rates of central banks. The same tables for all 28 pairs.", macro.description
absent = select(simulate(300, 1), [pair], None).absent
assert str(absent["mac_policy_usd"]) == "no formulas of the family macro", absent["mac_policy_usd"]
"""


def test_a_family_is_added_by_editing_families_toml_alone(tmp_path: Path) -> None:
    copy = tmp_path / "package" / "bqx_assets"
    shutil.copytree(ROOT / "bqx_assets", copy)
    with (copy / "catalogue" / "families.toml").open("a") as file:
        file.write(_EDITED)
    path = os.pathsep.join([str(copy.parent), str(ROOT)])
    run = [sys.executable, "-c", _STAGES, str(tmp_path)]
    done = subprocess.run(
        run, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
