"""What a read will bill is known before it, and what would go over the cap is refused before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base.artifacts import Column
from bqx_assets.base.errors import BudgetExceeded
from bqx_assets.base.names import KEY
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.extract.cost import ReadCost
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.plan import plan_pair
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets_tests.descriptions import describe
from bqx_assets_tests.frames import START, frame_job, frame_warehouse

FEATURES = (("level", "FLOAT64"), ("count", "INT64"), ("flag", "BOOL"), ("regime", "STRING"))
TABLE = replace(describe("d", "t", ((KEY, "TIMESTAMP"), *FEATURES)), rows=2_160_000)
COLUMNS = tuple(Column(name=f"t__{name}", source=name, type=kind) for name, kind in FEATURES)
ROW_BYTES = 8 + 8 + 8 + 1 + 10


def test_without_bounds_the_whole_history_is_counted_by_bigquerys_logical_sizes(tmp_path: Path) -> None:
    cost = ReadCost(frame_job(tmp_path, frame_warehouse(10)), spine=None)
    assert cost.of(TABLE, COLUMNS) == 2_160_000 * ROW_BYTES
    assert cost.of(TABLE, COLUMNS[:1]) == 2_160_000 * 16


def test_within_bounds_whole_days_are_counted_and_never_more_than_the_table_has(tmp_path: Path) -> None:
    job = frame_job(tmp_path, frame_warehouse(10), start=START, end=START + timedelta(days=1, minutes=1))
    assert ReadCost(job, spine=None).of(TABLE, COLUMNS) == 2 * 1_440 * ROW_BYTES
    assert ReadCost(job, spine=None).of(replace(TABLE, rows=7), COLUMNS) == 7 * ROW_BYTES


@pytest.mark.parametrize(
    ("last", "rows"), [("100000 rows", 102_880), ("395d", 397 * 1_440), ("9999999 rows", 2_160_000)]
)
def test_of_the_last_rows_or_days_no_more_is_counted_than_they_and_the_days_they_begin_and_end_in(
    tmp_path: Path, last: str, rows: int
) -> None:
    cost = ReadCost(frame_job(tmp_path, frame_warehouse(10), last=last), spine=None)
    assert cost.of(TABLE, COLUMNS) == rows * ROW_BYTES


def test_once_the_spine_is_known_its_range_is_counted(tmp_path: Path) -> None:
    job = frame_job(tmp_path, frame_warehouse())
    extract_spine(job)
    assert ReadCost(job, job.slabs().load_spine().spine).of(TABLE, COLUMNS) == 1_440 * ROW_BYTES


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
