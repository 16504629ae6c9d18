"""A refresh reads the periods that changed and no other, and ends with what one full build gives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bqx_assets.base.errors import ExtractionIncomplete
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.plan import plan_pair
from bqx_assets.merge.result import content_digest
from bqx_assets_tests.extract.history import MOST, TABLES, TARGETS, VOL, Source, facts, job, read


def test_rows_that_arrive_in_the_last_period_leave_all_others_as_they_are(tmp_path: Path) -> None:
    source = Source.of(700)
    assert len(read(source, tmp_path)) == 3 * (1 + len(TABLES))
    assert read(source, tmp_path) == set()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/2024-0[12].parquet")}
    source.append(8)
    assert read(source, tmp_path) == {(table, "2024-03") for table in ("targets_eurusd", *TABLES)}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_rows_of_a_new_period_complete_the_targets_of_the_one_before(tmp_path: Path) -> None:
    source = Source.of(474)
    read(source, tmp_path)
    source.append(40)
    done = read(source, tmp_path)
    assert {period for _, period in done} == {"2024-02", "2024-03"}


def test_a_row_that_changes_in_an_old_period_makes_that_period_new_and_no_other(tmp_path: Path) -> None:
    source = Source.of(700)
    read(source, tmp_path)
    source.change(VOL, 20)
    assert read(source, tmp_path) == {("mkt_vol", "2024-01")}
    source.lose(VOL, 300)
    assert read(source, tmp_path) == {("mkt_vol", "2024-02")}


def test_targets_that_change_without_their_keys_make_no_feature_new(tmp_path: Path) -> None:
    source = Source.of(700)
    read(source, tmp_path)
    source.change(TARGETS, 300)
    assert read(source, tmp_path) == {("targets_eurusd", "2024-02")}


@pytest.mark.parametrize("tables", [None, ["mkt_vol"]])
def test_a_fresh_table_is_read_again_on_demand_and_ends_with_the_same_values(
    tmp_path: Path, tables: list[str] | None
) -> None:
    source = Source.of(700)
    read(source, tmp_path)
    slabs = extract_pair(job(tmp_path, source.shown, period="month")).slabs
    source.shown.requests.clear()
    anew = extract_pair(job(tmp_path, source.shown, period="month"), tables, anew=True)
    months = ("2024-01", "2024-02", "2024-03")
    expected = {(table, month) for table in tables or TABLES for month in months}
    assert {(request.table.table, request.period) for request in source.shown.requests} == expected
    assert [slab.content for slab in anew.slabs] == [slab.content for slab in slabs]
    assert read(source, tmp_path) == set()


def test_a_kept_feature_that_a_correction_of_the_targets_makes_look_forward_is_found_when_it_is_read_anew(
    tmp_path: Path,
) -> None:
    source = Source.of(700)
    source.leak(100, 500)
    source.multiply(TARGETS, 1.5)
    read(source, tmp_path)
    source.multiply(TARGETS, 1 / 1.5)
    kept = extract_pair(job(tmp_path, source.shown, period="month"))
    assert "mkt_vol_atr_45" in {column.source for slab in kept.slabs for column in slab.provenance.columns}
    done = extract_pair(job(tmp_path, source.shown, period="month"), ["mkt_vol"], anew=True)
    quarantined = [each for slab in done.slabs for each in slab.provenance.quarantined if each.table == "mkt_vol"]
    assert [each.column for each in quarantined] == ["mkt_vol_atr_45"]


def test_a_row_that_vanishes_from_the_spine_makes_its_period_new_in_every_table(tmp_path: Path) -> None:
    source = Source.of(700)
    read(source, tmp_path)
    source.lose(TARGETS, 300)
    assert read(source, tmp_path) == {(table, "2024-02") for table in ("targets_eurusd", *TABLES)}


def test_a_run_that_broke_goes_on_with_the_pieces_it_lacks(tmp_path: Path) -> None:
    source = Source.of(700)
    source.shown.faults = {"mkt_vol": [None, OSError(5, "Input/output error")], "agg_eurusd": [None]}
    with pytest.raises(ExtractionIncomplete):
        extract_pair(job(tmp_path, source.shown, period="month"))
    assert read(source, tmp_path) == {("mkt_vol", "2024-02"), ("mkt_vol", "2024-03")}


def test_a_plan_knows_the_periods_that_changed_and_what_they_take(tmp_path: Path) -> None:
    source = Source.of(700)
    first = plan_pair(job(tmp_path, source.shown, period="month"))
    assert (first.periods.new, first.read_bytes) == (3, first.total_bytes)
    read(source, tmp_path)
    done = plan_pair(job(tmp_path, source.shown, period="month"))
    assert (done.periods.fresh, done.read_bytes, done.total_bytes > 0) == (3, 0, True)
    source.change(VOL, 20)
    source.append(100)
    plan = plan_pair(job(tmp_path, source.shown, period="month"))
    assert [(each.period, each.state) for each in plan.by_period] == [
        ("2024-01", "changed"),
        ("2024-02", "fresh"),
        ("2024-03", "changed"),
        ("2024-04", "new"),
    ]
    assert plan.by_period[0].stale_tables == 1
    assert plan.read_bytes == sum(each.read_bytes for each in plan.by_period) < plan.total_bytes


def test_another_unit_gives_the_same_values(tmp_path: Path) -> None:
    source = Source.of(700)
    digests = {
        unit: content_digest(extract_pair(job(tmp_path / unit, source.shown, period=unit)).slabs)
        for unit in ("month", "quarter", "half-year", "year", "none")
    }
    assert len(set(digests.values())) == 1
    for unit in ("quarter", "month", "none"):
        record = extract_pair(job(tmp_path / "month", source.shown, period=unit))
        assert content_digest(record.slabs) == digests["none"]
        there = {path.relative_to(tmp_path / "month").as_posix() for path in tmp_path.glob("month/*/*.parquet")}
        assert there == {piece.object_name for slab in record.slabs for piece in slab.pieces}


def _leak(source: Source, month: str) -> None:
    """Makes a column of ``mkt_vol`` the future in a month alone."""
    future = source.whole.frames[TARGETS].select(KEY, pl.col("target_bqx90_h30").alias("future"))
    frame = source.whole.frames[VOL].join(future, on=KEY, how="left", maintain_order="left")
    there = pl.col(KEY).dt.strftime("%Y-%m") == month
    leaking = pl.when(there).then(pl.col("future")).otherwise(pl.col("mkt_vol_atr_45"))
    source.whole.frames[VOL] = frame.with_columns(leaking.alias("mkt_vol_atr_45")).drop("future")
    source.show()


@pytest.mark.parametrize("month", ["2024-01", "2024-02", "2024-03"])
def test_a_column_that_looked_forward_in_one_period_comes_back_when_that_period_is_mended(
    tmp_path: Path, month: str
) -> None:
    source = Source.of(MOST)
    right = source.whole.frames[VOL]
    kept = extract_pair(job(tmp_path / "kept", source.shown, period="month"))
    columns = [slab.provenance.columns for slab in kept.slabs]
    _leak(source, month)
    for folder in ("kept", "full"):
        record = extract_pair(job(tmp_path / folder, source.shown, period="month"))
        vol = next(slab for slab in record.slabs if slab.table == "mkt_vol")
        assert [each.column for each in vol.provenance.quarantined] == ["mkt_vol_atr_45"]
    source.whole.frames[VOL] = right
    source.show()
    for folder in ("kept", "full"):
        record = extract_pair(job(tmp_path / folder, source.shown, period="month"))
        assert [slab.provenance.columns for slab in record.slabs] == columns
        assert content_digest(record.slabs) == content_digest(kept.slabs)


def _changes(source: Source, folder: Path, **asked: Any) -> tuple[str, ...]:
    return extract_pair(job(folder, source.shown, period="month", **asked)).changes


def test_rows_that_vanish_from_the_source_are_named_by_table_and_period(tmp_path: Path) -> None:
    source = Source.of(700)
    assert _changes(source, tmp_path) == ()
    source.append(8)
    assert _changes(source, tmp_path) == ()
    source.lose(VOL, 20)
    source.lose(VOL, 300)
    assert _changes(source, tmp_path) == ("table mkt_vol lost 2 rows: 1 of 2024-01, 1 of 2024-02",)
    source.lose(TARGETS, 300)
    assert _changes(source, tmp_path) == ("table targets_eurusd lost 1 rows: 1 of 2024-02",)
    assert _changes(source, tmp_path) == ()


def test_rows_that_a_moving_range_leaves_behind_did_not_vanish(tmp_path: Path) -> None:
    source = Source.of(700)
    assert _changes(source, tmp_path, last="400 rows") == ()
    source.append(100)
    assert _changes(source, tmp_path, last="400 rows") == ()


@pytest.mark.parametrize(("unit", "periods"), [("quarter", 2), ("year", 1), ("none", 1)])
def test_a_longer_unit_is_made_of_the_pieces_that_are_there_and_reads_nothing(
    tmp_path: Path, unit: PeriodUnit, periods: int
) -> None:
    source = Source.of(MOST)
    read(source, tmp_path / "kept")
    plan = plan_pair(job(tmp_path / "kept", source.shown, period=unit))
    assert (plan.periods.fresh, plan.read_bytes) == (periods, 0)
    assert read(source, tmp_path / "kept", unit) == set()
    assert plan_pair(job(tmp_path / "kept", source.shown, period=unit)).read_bytes == 0
    kept = extract_pair(job(tmp_path / "kept", source.shown, period=unit))
    assert facts(kept) == facts(extract_pair(job(tmp_path / "full", source.shown, period=unit)))


def test_a_longer_unit_reads_the_periods_that_changed_meanwhile(tmp_path: Path) -> None:
    source = Source.of(MOST)
    read(source, tmp_path)
    source.change(VOL, 20)
    plan = plan_pair(job(tmp_path, source.shown, period="quarter"))
    assert [(each.period, each.state, each.stale_tables) for each in plan.by_period] == [
        ("2024-Q1", "changed", 1),
        ("2024-Q2", "fresh", 0),
    ]
    assert read(source, tmp_path, "quarter") == {("mkt_vol", "2024-Q1")}


def test_a_shorter_unit_is_read_again_and_the_plan_says_so(tmp_path: Path) -> None:
    source = Source.of(MOST)
    read(source, tmp_path, "quarter")
    plan = plan_pair(job(tmp_path, source.shown, period="month"))
    assert plan.read_bytes == plan.total_bytes
    assert len(read(source, tmp_path, "month")) == 4 * (1 + len(TABLES))


def test_without_known_months_a_changed_table_is_read_in_every_period(tmp_path: Path) -> None:
    source = Source.of(700)
    source.shown.knows_months = False
    extract_pair(job(tmp_path, source.shown, period="month"))
    source.shown.revised["mkt_vol"] = source.shown.modified + timedelta(hours=1)
    assert read(source, tmp_path) == {("mkt_vol", f"2024-0{month}") for month in (1, 2, 3)}
