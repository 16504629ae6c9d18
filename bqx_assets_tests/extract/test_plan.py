"""A plan tells tables, columns, bytes and freshness without reading a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base.artifacts import Column
from bqx_assets.base.errors import BudgetExceeded
from bqx_assets.base.names import KEY
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.plan import plan_pair
from bqx_assets.extract.plan_periods import ReadCost, planned_periods, spine_there
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets_tests.descriptions import describe
from bqx_assets_tests.frames import FEW_TABLES, START, frame_job, frame_warehouse


def test_before_extraction_all_tables_are_missing_and_no_row_is_read(tmp_path: Path) -> None:
    warehouse = frame_warehouse()
    plan = plan_pair(frame_job(tmp_path, warehouse))
    assert sum(family.tables for family in plan.families) == len(FEW_TABLES)
    assert sum(family.missing for family in plan.families) == len(FEW_TABLES)
    assert plan.read_bytes > 0
    assert plan.read_usd > 0
    assert len(plan.quarantined) == 7
    assert plan.columns == 50 + sum(family.columns for family in plan.families)
    assert not warehouse.reads


def test_after_extraction_all_are_fresh_and_nothing_is_left_to_read(tmp_path: Path) -> None:
    warehouse = frame_warehouse()
    extract_pair(frame_job(tmp_path, warehouse))
    plan = plan_pair(frame_job(tmp_path, warehouse))
    assert sum(family.fresh for family in plan.families) == len(FEW_TABLES)
    assert plan.read_bytes == 0


def test_a_changed_table_is_stale(tmp_path: Path) -> None:
    warehouse = frame_warehouse()
    extract_pair(frame_job(tmp_path, warehouse))
    warehouse.revised["mkt_vol"] = warehouse.modified + timedelta(hours=1)
    plan = plan_pair(frame_job(tmp_path, warehouse))
    assert {family.family: family.stale for family in plan.families if family.stale} == {"market_wide": 1}


def test_for_another_range_nothing_that_is_there_counts_as_fresh_and_the_cap_refuses_before_the_first_row(
    tmp_path: Path,
) -> None:
    warehouse = frame_warehouse()
    extract_pair(frame_job(tmp_path / "a", warehouse, last="100 rows"))
    whole = plan_pair(frame_job(tmp_path / "b", warehouse)).read_bytes
    assert plan_pair(frame_job(tmp_path / "a", warehouse, last="100 rows")).read_bytes == 0
    assert plan_pair(frame_job(tmp_path / "a", warehouse)).read_bytes == whole > 0
    warehouse.requests.clear()
    with pytest.raises(BudgetExceeded):
        extract_pair(frame_job(tmp_path / "a", warehouse, max_bytes=whole - 1))
    assert warehouse.requests == []


def test_a_missing_table_is_a_problem_of_the_plan(tmp_path: Path) -> None:
    warehouse = frame_warehouse(tables=FEW_TABLES[1:])
    plan = plan_pair(frame_job(tmp_path, warehouse))
    assert [(each.table, each.error) for each in plan.problems] == [(FEW_TABLES[0], "TableMissing")]


FEATURES = (("level", "FLOAT64"), ("count", "INT64"), ("flag", "BOOL"), ("regime", "STRING"))
TABLE = replace(describe("d", "t", ((KEY, "TIMESTAMP"), *FEATURES)), rows=2_160_000)
COLUMNS = tuple(Column(name=f"t__{name}", source=name, type=kind) for name, kind in FEATURES)
ROW_BYTES = 8 + 8 + 8 + 1 + 10


def _bytes(job: Extraction, table: TableDescription, columns: Sequence[Column]) -> int:
    """The bytes of a table's only planned period."""
    states = SourceStates({})
    (period,) = planned_periods(job, job.catalogue(), states, spine_there(job))
    return ReadCost(job.warehouse, states).of(table, columns, period)


def test_without_bounds_the_whole_history_is_counted_by_bigquerys_logical_sizes(tmp_path: Path) -> None:
    job = frame_job(tmp_path, frame_warehouse(10))
    assert _bytes(job, TABLE, COLUMNS) == 2_160_000 * ROW_BYTES
    assert _bytes(job, TABLE, COLUMNS[:1]) == 2_160_000 * 16


def test_within_bounds_whole_days_are_counted_and_never_more_than_the_table_has(tmp_path: Path) -> None:
    job = frame_job(tmp_path, frame_warehouse(10), start=START, end=START + timedelta(days=1, minutes=1))
    assert _bytes(job, TABLE, COLUMNS) == 2 * 1_440 * ROW_BYTES
    assert _bytes(job, replace(TABLE, rows=7), COLUMNS) == 7 * ROW_BYTES


@pytest.mark.parametrize(
    ("last", "rows"), [("100000 rows", 102_880), ("395d", 397 * 1_440), ("9999999 rows", 2_160_000)]
)
def test_of_the_last_rows_or_days_no_more_is_counted_than_they_and_the_days_they_begin_and_end_in(
    tmp_path: Path, last: str, rows: int
) -> None:
    assert _bytes(frame_job(tmp_path, frame_warehouse(10), last=last), TABLE, COLUMNS) == rows * ROW_BYTES


def test_once_the_spine_is_known_its_range_is_counted(tmp_path: Path) -> None:
    job = frame_job(tmp_path, frame_warehouse())
    extract_spine(job)
    assert _bytes(job, TABLE, COLUMNS) == 1_440 * ROW_BYTES


def test_a_staged_table_costs_nothing(tmp_path: Path) -> None:
    frames = frame_warehouse()
    job = replace(
        frame_job(tmp_path, frames), warehouse=StagedWarehouse(frames, LocalObjectStore(tmp_path / "staging"))
    )
    before = plan_pair(job).read_bytes
    table = next(each for each in frames.describe() if each.table == "mkt_vol")
    list(job.warehouse.read(ReadRequest(table, tuple(table.types()), frames.snapshot())))
    saved = before - plan_pair(job).read_bytes
    assert saved == next(family.read_bytes for family in plan_pair(replace(job, warehouse=frames)).families[-1:])


@pytest.mark.parametrize("extract", [extract_pair, extract_spine])
def test_an_extraction_over_max_bytes_is_refused_before_any_read(tmp_path: Path, extract: object) -> None:
    frames = frame_warehouse()
    needed = plan_pair(frame_job(tmp_path, frames)).read_bytes
    with pytest.raises(
        BudgetExceeded, match=f"eurusd: {needed:,} bytes to read, .* USD, expected at most {needed - 1:,}"
    ):
        extract(frame_job(tmp_path, frames, max_bytes=needed - 1))  # type: ignore[operator]
    assert not frames.reads
    extract_pair(frame_job(tmp_path, frames, max_bytes=needed))


def test_only_what_is_still_to_be_read_counts_against_max_bytes(tmp_path: Path) -> None:
    frames = frame_warehouse()
    extract_pair(frame_job(tmp_path, frames), ["agg_eurusd"])
    extract_features(frame_job(tmp_path, frames, max_bytes=1), ["agg_eurusd"])
    with pytest.raises(BudgetExceeded):
        extract_features(frame_job(tmp_path, frames, max_bytes=1), ["mkt_vol"])
