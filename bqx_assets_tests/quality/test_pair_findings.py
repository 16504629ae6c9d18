"""An extraction's facts, approved, are exactly what its file is held against; a file that differs fails by its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.errors import CheckpointCorrupt, ExtractionIncomplete
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.catalogue.expectations import Expectations, PairFacts
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs, slabs_prefix
from bqx_assets.quality.pair_findings import find_pair_facts
from bqx_assets_tests.frames import EURUSD, FrameWarehouse, frame_job
from bqx_assets_tests.quality.training import Training, coherent_warehouse, expectations, good, verdict_of
from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process, gcs_store

__all__ = ["gcs", "gcs_process", "gcs_store"]
NOW = datetime(2026, 11, 26, tzinfo=UTC)
ETF = FEATURES_DATASET, "corr_ibkr_eurusd_ewa"


def _warehouse() -> FrameWarehouse:
    """One table has four rows in ten, and one column of another no value."""
    warehouse = coherent_warehouse()
    warehouse.frames[ETF] = warehouse.frames[ETF].gather_every(5, 1)
    agg = FEATURES_DATASET, "agg_eurusd"
    empty = pl.lit(None, pl.Float64).alias("agg_mean_45")
    warehouse.frames[agg] = warehouse.frames[agg].with_columns(empty)
    return warehouse


def _facts(folder: Path) -> PairFacts:
    slabs = Slabs.in_folder(folder / "slabs")
    found = find_pair_facts(slabs, slabs.load_extraction(), NOW)
    assert not found.failed
    return found.facts


def _approved(facts: PairFacts) -> Expectations:
    approved = facts.model_copy(update={"approved": "today"})
    return expectations().model_copy(update={"pair": {"eurusd": approved}})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, PairFacts]:
    folder = tmp_path_factory.mktemp("made")
    training = good(folder, warehouse=_warehouse())
    return training, _facts(folder)


def test_facts_are_the_files_own_numbers(made: tuple[Training, PairFacts]) -> None:
    training, facts = made
    frame = training.frame()
    columns = [name for name in frame.columns if name.startswith("agg__")]
    nulls = frame.select(columns).null_count().sum_horizontal().item()
    assert (facts.tables["agg_eurusd"].nulls, facts.tables["agg_eurusd"].columns) == (nulls, len(columns))
    assert (facts.tables[ETF[1]].matched, facts.rows) == (80, 400)
    assert facts.all_null == ("agg__agg_mean_45",)
    assert "mkt_vol__market" not in facts.all_null
    assert "2026-11-26" in facts.found


def test_the_file_that_failed_passes_once_its_facts_are_approved(made: tuple[Training, PairFacts]) -> None:
    training, facts = made
    assert {"tables_cover_spine", "no_unexpected_all_null"} <= training.failed()
    approved = replace(training, expectations=_approved(facts))
    report = approved.report()
    assert not report.failures()
    assert report.expectations is not None
    assert report.expectations.approval == "approved"
    assert "approved" in verdict_of(report, "tables_cover_spine").expected


@pytest.mark.parametrize(("table", "change"), [("agg_eurusd", -1), ("mkt_vol", 1), (ETF[1], 5)])
def test_on_the_same_rows_one_row_or_null_more_or_less_fails_by_the_tables_name(
    made: tuple[Training, PairFacts], table: str, change: int
) -> None:
    training, facts = made
    for field, rule in (("matched", "tables_cover_spine"), ("nulls", "completeness")):
        own = facts.tables[table]
        other = own.model_copy(update={field: getattr(own, field) + change})
        stated = facts.model_copy(update={"tables": facts.tables | {table: other}})
        report = replace(training, expectations=_approved(stated)).report(deep=False)
        assert [each.rule for each in report.failures()] == [rule]
        assert table in report.failures()[0].got
        assert "bqx expectations propose eurusd" in report.failures()[0].cure


def test_a_table_that_came_after_the_approval_is_held_against_the_familys_limit(
    made: tuple[Training, PairFacts],
) -> None:
    training, facts = made
    earlier = facts.model_copy(update={"tables": {name: facts.tables[name] for name in facts.tables if name != ETF[1]}})
    for limit, fails in ((1.0, False), (0.5, True)):
        stated = _approved(earlier).model_copy(update={"max_feature_null_fraction": {"corr": limit, "*": 0.0}})
        report = replace(training, expectations=stated).report(deep=False)
        told = [each.got for each in report.failures() if each.rule == "completeness"]
        assert ["too many in corr" in got for got in told] == [True] * fails


def test_on_other_rows_the_share_counts_and_may_drift(made: tuple[Training, PairFacts]) -> None:
    training, facts = made
    for drift, fails in ((0.02, set[str]()), (0.0, {"tables_cover_spine"})):
        worse = facts.tables[ETF[1]].model_copy(update={"matched": 85})
        other = {"spine": "another", "tables": facts.tables | {ETF[1]: worse}, "drift": drift}
        stated = facts.model_copy(update=other)
        assert replace(training, expectations=_approved(stated)).failed(deep=False) - {"completeness"} == fails


def test_a_column_that_lost_all_its_values_fails_though_a_pattern_would_excuse_it(
    made: tuple[Training, PairFacts],
) -> None:
    training, facts = made
    stated = _approved(facts.model_copy(update={"all_null": ()})).model_copy(update={"allowed_all_null": ("agg__*",)})
    assert "no_unexpected_all_null" in replace(training, expectations=stated).failed(deep=False)


def test_tables_that_are_absent_or_empty_are_proposed_as_that_and_a_broken_one_is_not(tmp_path: Path) -> None:
    warehouse = coherent_warehouse()
    del warehouse.frames[FEATURES_DATASET, "tmp_eurusd"]
    cov = FEATURES_DATASET, "cov_lag_eurusd_usdjpy"
    warehouse.frames[cov] = warehouse.frames[cov].clear()
    market = FEATURES_DATASET, "mkt_vol"
    warehouse.frames[market] = pl.concat([warehouse.frames[market], warehouse.frames[market].head(1)])
    with pytest.raises(ExtractionIncomplete):
        extract_pair(frame_job(tmp_path / "slabs", warehouse))
    slabs = Slabs.in_folder(tmp_path / "slabs")
    found = find_pair_facts(slabs, slabs.load_extraction(), NOW)
    assert [each.table for each in found.failed] == ["mkt_vol"]
    assert found.facts.absent["tmp_eurusd"].startswith("not in the warehouse on ")
    assert found.facts.tables[cov[1]].matched == 0
    stated = _approved(found.facts)
    assert stated.may_be_empty(EURUSD, [name for name in found.facts.all_null if name.startswith("cov_lag")])
    assert "tmp_eurusd" in stated.absent(EURUSD)


def test_slabs_in_a_bucket_give_the_same_facts(made: tuple[Training, PairFacts], gcs_store: GcsObjectStore) -> None:
    slabs = Slabs(gcs_store, slabs_prefix(EURUSD))
    record: ExtractionRecord = extract_pair(frame_job(slabs, _warehouse()))
    found = find_pair_facts(Slabs(gcs_store, slabs_prefix(EURUSD)), record, NOW).facts
    same = {"tables", "all_null", "constant", "spine", "rows", "absent"}
    assert found.model_dump(include=same) == made[1].model_dump(include=same)


def test_slabs_that_are_gone_are_named(made: tuple[Training, PairFacts], tmp_path: Path) -> None:
    record = Slabs.in_folder(made[0].file.parent / "slabs").load_extraction()
    with pytest.raises(CheckpointCorrupt, match="bqx extract eurusd"):
        find_pair_facts(Slabs.in_folder(tmp_path), record, NOW)
