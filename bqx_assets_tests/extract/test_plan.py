"""A plan tells tables, columns, bytes and freshness without reading a row."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base.errors import BudgetExceeded
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.plan import plan_pair
from bqx_assets_tests.frames import FEW_TABLES, frame_job, frame_warehouse


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
