"""A warehouse made here is the users' in names, types and quirks, byte for byte repeatable, and whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bqx_assets.base.errors import BadSetting, TableUnreadable
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.catalogue.discovery import discover
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, expected_tables
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import WarehouseRecord, table_path
from bqx_assets.sandbox import batches
from bqx_assets.sandbox.create import create_warehouse, exclusive
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.frames import START
from bqx_assets_tests.sandbox.conftest import linked
from bqx_assets_tests.users_catalogue import USERS_TARGETS, users_catalogue

EURUSD, GBPUSD = parse_pair("eurusd"), parse_pair("gbpusd")
WINDOWS = load_expectations().windows
ROWS, TABLES = 3_100, 24


class Heard(Silent):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.total = 0
        self.items: list[str] = []
        self.warnings: list[str] = []
        self.made: WarehouseRecord | None = None

    def start(self, stage: str, total: int) -> None:
        assert stage == "warehouse"
        self.total = total

    def advance(self, stage: str, item: str, note: str = "") -> None:
        assert (stage, note) == ("warehouse", "")
        self.items.append(item)

    def warn(self, stage: str, message: str) -> None:
        assert stage == "warehouse"
        self.warnings.append(message)


def make(folder: Path, pairs: Sequence[Pair] = (EURUSD,), *, heard: Heard | None = None, **changed: Any) -> Heard:
    heard = heard or Heard()
    facts: dict[str, Any] = {"rows": 200, "tables": 9, "seed": 1, "rates": None} | changed
    heard.made = create_warehouse(folder, pairs=pairs, progress=heard, **facts)
    return heard


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


@dataclass(frozen=True)
class Small:
    folder: Path
    heard: Heard


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """9 tables of eurusd, as ``make`` makes them, and what its progress heard; not to be changed."""
    folder = tmp_path_factory.mktemp("small") / "w"
    return Small(folder, make(folder))


@pytest.mark.parametrize("pair", [EURUSD, GBPUSD], ids=str)
def test_each_pairs_catalogue_has_no_problem_and_every_table_is_accounted_for(two_pairs: Path, pair: Pair) -> None:
    facts = load_expectations(two_pairs / "expectations.toml")
    catalogue = discover(pair, LocalWarehouse(two_pairs).describe(), facts)
    assert dict(catalogue.problems) == {}
    assert catalogue.unexpected == ()
    assert len(catalogue.tables) == TABLES
    assert len(catalogue.tables) + len(catalogue.known_absent) == 667
    assert catalogue.column_count == facts.min_columns
    assert sum(len(each.quarantined) for each in catalogue.tables) == 7


def test_tables_have_the_grammars_columns_types_and_keys(two_pairs: Path) -> None:
    grammar = {table.table: table for pair in (EURUSD, GBPUSD) for table in expected_tables(pair)}
    described = [each for each in LocalWarehouse(two_pairs).describe() if each.table in grammar]
    for each in described:
        keys = [(key, "TIMESTAMP" if key == KEY else "STRING") for key in grammar[each.table].keys]
        assert each.columns == (*keys, *grammar[each.table].columns), each.table


def test_tables_have_the_columns_and_types_of_the_users_own(two_pairs: Path) -> None:
    users = users_catalogue()
    described = {each.table: each for each in LocalWarehouse(two_pairs).describe()}
    shared = described.keys() & users.keys()
    assert len(shared) == TABLES + 1
    for name in shared:
        columns = dict(described[name].columns)
        extra = {KEY, "pair"} | ({f"bqx_{window}" for window in WINDOWS} if name == USERS_TARGETS else set())
        assert {column: kind for column, kind in columns.items() if column not in extra} == users[name]


def test_there_is_what_must_not_become_a_feature(two_pairs: Path) -> None:
    described = {each.table: each for each in LocalWarehouse(two_pairs).describe()}
    summaries = [each for name, each in described.items() if name.endswith("_summary")]
    assert len(summaries) == 2
    assert all(KEY not in each.types() for each in summaries)
    assert described["targets_all_fixed"].dataset == TARGETS_DATASET


def test_some_tables_hold_another_pairs_rows(two_pairs: Path) -> None:
    frame = pl.read_parquet(table_path(two_pairs, FEATURES_DATASET, "base_bqx_eurusd"))
    assert set(frame.get_column("pair")) == {"eurusd", "gbpusd"}
    own = frame.filter(pl.col("pair") == "eurusd")
    assert own.get_column(KEY).is_unique().all()
    assert own.height == pytest.approx(ROWS, abs=40)


def test_the_spine_has_the_rows_the_expectations_ask_for(two_pairs: Path) -> None:
    facts = load_expectations(two_pairs / "expectations.toml")
    for pair in (EURUSD, GBPUSD):
        targets = pl.read_parquet(table_path(two_pairs, TARGETS_DATASET, f"targets_{pair}"))
        spine = targets.filter(pl.col("target_bqx45_h15").is_not_null())
        assert spine.height == facts.min_rows == ROWS - 60
        lacking = spine.select(facts.targets()).null_count().row(0, named=True)
        for window, horizon in product(facts.windows, facts.horizons):
            lacks = max(0, window - horizon - 45) + horizon - 15
            assert lacking[f"target_bqx{window}_h{horizon}"] == min(lacks, spine.height)


def test_the_same_seed_gives_the_same_bytes_whatever_pairs_order_or_processes(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "both", (EURUSD, GBPUSD))
    make(tmp_path / "reversed", (GBPUSD, EURUSD))
    make(tmp_path / "seed", (EURUSD,), seed=2)
    monkeypatch.setattr(batches, "_FEW_CELLS", 0)
    make(tmp_path / "processes", (EURUSD,))
    both, alone = _bytes(tmp_path / "both"), _bytes(small.folder)
    stray = f"{TARGETS_DATASET}/targets_all_fixed.parquet"  # holds every pair's rows
    assert _bytes(tmp_path / "reversed") == both
    assert _bytes(tmp_path / "processes") == alone
    assert all(both[name] == data for name, data in alone.items() if name != stray)
    other = _bytes(tmp_path / "seed")
    assert all(other[name] != data for name, data in alone.items() if not name.endswith("_summary.parquet"))


def test_progress_names_every_table_once(small: Small) -> None:
    heard = small.heard
    assert heard.total == len(heard.items) == len(set(heard.items)) == 10
    assert heard.warnings == []


def test_made_again_the_same_is_nothing_to_do(small: Small) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.folder.rglob("*")}
    assert make(small.folder).items == []
    assert {path: path.stat().st_mtime_ns for path in small.folder.rglob("*")} == before


@pytest.mark.parametrize("changed", [{"rows": 300}, {"tables": 10}, {"seed": 2}, {"pairs": (GBPUSD,)}], ids=str)
def test_a_warehouse_of_other_parameters_is_not_overwritten(small: Small, changed: dict[str, Any]) -> None:
    before = _bytes(small.folder)
    with pytest.raises(BadSetting, match="rm -r"):
        make(small.folder, **changed)
    assert _bytes(small.folder) == before


def test_a_folder_with_other_things_in_it_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadSetting, match="other things"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interrupted_making_is_no_warehouse_and_begins_again(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bqx_assets.sandbox.create.make_batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "w", seed=2)
    with pytest.raises(TableUnreadable, match="interrupted"):
        LocalWarehouse(tmp_path / "w").describe()
    make(tmp_path / "w", seed=1)
    assert _bytes(tmp_path / "w") == _bytes(small.folder)


def test_two_makings_of_one_folder_do_not_mix_for_the_second_waits_and_takes_what_the_first_made(
    small: Small, tmp_path: Path
) -> None:
    first = ExitStack()

    class Second(Heard):
        def warn(self, stage: str, message: str) -> None:
            super().warn(stage, message)
            leave = shutil.ignore_patterns(".lock")
            shutil.copytree(small.folder, tmp_path, copy_function=os.link, dirs_exist_ok=True, ignore=leave)
            first.close()

    with first:
        first.enter_context(exclusive(tmp_path, Silent()))
        second = make(tmp_path, heard=Second())
    assert second.warnings == [f"another process is making {tmp_path}: this one waits until that has ended"]
    assert (second.made, second.items) == (small.heard.made, [])


def test_a_spoiled_warehouse_made_again_is_mended(small: Small, tmp_path: Path) -> None:
    before = _bytes(linked(small.folder, tmp_path / "w"))
    inject_fault(tmp_path / "w", "missing-table", EURUSD)
    assert "was spoiled (agg_bqx_eurusd: removed)" in make(tmp_path / "w").warnings[0]
    assert _bytes(tmp_path / "w") == before
    assert make(tmp_path / "w").items == []


def _rates(folder: Path) -> Path:
    """Hourly closes of two pairs, 400 bars each."""
    close = [1.1 + row % 7 / 1000 for row in range(400)]
    key = pl.datetime_range(START, START + timedelta(hours=399), "1h", time_unit="us", eager=True)
    parts = [pl.DataFrame({KEY: key, "pair": [pair] * 400, "close": close}) for pair in ("eurusd", "gbpusd")]
    pl.concat(parts).write_parquet(folder / "rates.parquet")
    return folder / "rates.parquet"


def test_a_pair_the_rates_cannot_give_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no rate with jpy") as caught:
        make(tmp_path / "w", (parse_pair("usdjpy"),), rates=_rates(tmp_path))
    assert "eurusd, gbpusd, eurgbp" in caught.value.cure
    assert not (tmp_path / "w").exists()


def test_tables_that_the_rates_cannot_give_are_known_to_be_absent(tmp_path: Path) -> None:
    make(tmp_path / "w", rates=_rates(tmp_path), tables=9)
    facts = load_expectations(tmp_path / "w" / "expectations.toml")
    assert facts.known_absent["csi_agg_jpy"].endswith("no rate with jpy")
    assert facts.known_absent["corr_etf_idx_eurusd_spy"] == "no bars of instrument spy"
    assert facts.min_rows == 200 - 45


def test_tables_of_rates_have_the_files_bars_no_others_and_no_blanks(tmp_path: Path) -> None:
    make(tmp_path / "w", rates=_rates(tmp_path), rows=400, tables=150)
    bars = pl.read_parquet(tmp_path / "rates.parquet").filter(pl.col("pair") == "eurusd").get_column(KEY).to_list()
    made = {path.stem: path for path in (tmp_path / "w" / FEATURES_DATASET).glob("*.parquet")}
    tables = {name: pl.read_parquet(path) for name, path in made.items() if not name.endswith("_summary")}
    assert len(tables) == 150
    assert all(frame.get_column(KEY).to_list() == bars for frame in tables.values())
    assert not any("_vix" in name for name in tables)
    targets = pl.read_parquet(table_path(tmp_path / "w", TARGETS_DATASET, "targets_eurusd"))
    assert targets.get_column(KEY).to_list() == bars


def test_quirks_beside_rates_are_there_when_asked_for(tmp_path: Path) -> None:
    make(tmp_path / "w", rates=_rates(tmp_path), tables=60, quirks=True)
    frame = pl.read_parquet(table_path(tmp_path / "w", FEATURES_DATASET, "base_bqx_eurusd"))
    assert set(frame.get_column("pair")) == {"eurusd", "gbpusd"}
    heights = {pl.read_parquet(path).height for path in (tmp_path / "w" / FEATURES_DATASET).glob("*_eurusd.parquet")}
    assert len(heights) > 1
    with pytest.raises(BadSetting, match="a warehouse made with quirks True"):
        make(tmp_path / "w", rates=tmp_path / "rates.parquet", tables=60)


def test_a_warehouse_of_rates_says_what_it_took_for_what_and_says_it_again(tmp_path: Path) -> None:
    made = make(tmp_path / "w", rates=_rates(tmp_path)).made
    assert made is not None
    assert any(said.startswith("left out: 32 tables (corr_") and said.endswith("spy, uup, vix") for said in made.said)
    assert "no column tick_volume: every volume is 0" in made.said
    again = make(tmp_path / "w", rates=tmp_path / "rates.parquet")
    assert again.items == []
    assert again.made == made


@pytest.mark.parametrize("quirks", [False, True])
def test_one_pair_alone_is_enough(tmp_path: Path, *, quirks: bool) -> None:
    rates = pl.read_parquet(_rates(tmp_path)).filter(pl.col("pair") == "gbpusd").drop("pair")
    rates.write_csv(tmp_path / "alone.csv")
    make(tmp_path / "w", (GBPUSD,), rates=tmp_path / "alone.csv", tables=None, quirks=quirks)
    catalogue = discover(
        GBPUSD, LocalWarehouse(tmp_path / "w").describe(), load_expectations(tmp_path / "w" / "expectations.toml")
    )
    assert dict(catalogue.problems) == {}
    assert len(catalogue.tables) + len(catalogue.known_absent) == 667
    assert len(catalogue.tables) > 70


def test_rates_that_changed_are_other_parameters(tmp_path: Path) -> None:
    rates = _rates(tmp_path)
    make(tmp_path / "w", rates=rates)
    pl.read_parquet(rates).head(-1).write_parquet(rates)
    with pytest.raises(BadSetting, match="rates"):
        make(tmp_path / "w", rates=rates)


@pytest.mark.parametrize("rows", [1, 75])
def test_too_few_bars_for_the_checks_are_refused_with_the_least_that_works(tmp_path: Path, rows: int) -> None:
    with pytest.raises(BadSetting, match=f"{rows} bars of eurusd, expected at least 76: .* ROWS=76 for make run"):
        make(tmp_path / "w", rows=rows)
    assert not (tmp_path / "w").exists()
