"""A refresh reads the periods that changed and no other, and ends with what one full build gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.errors import ExtractionIncomplete
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.plan import plan_pair
from bqx_assets.extract.slab_records import TableRecord
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import MonthState
from bqx_assets.merge.result import content_digest
from bqx_assets_tests.frames import START, FrameWarehouse, few_tables_expectations, frame_job, frame_warehouse

TABLES = ("agg_eurusd", "base_bqx_eurusd", "mkt_vol")
TARGETS = (TARGETS_DATASET, "targets_eurusd")
VOL = (FEATURES_DATASET, "mkt_vol")
STEP = timedelta(hours=3)
MOST = 900
"""Rows of the whole history: 248 in a month of 31 days, so that it ends in the fourth month."""
_UNKNOWN = 5
"""Rows at the end whose targets are not known yet."""


@dataclass
class Source:
    """A warehouse that shows the first ``rows`` rows of a history, and changes on demand."""

    whole: FrameWarehouse
    shown: FrameWarehouse
    rows: int

    @classmethod
    def of(cls, rows: int) -> Source:
        """The first rows of the history."""
        whole = frame_warehouse(MOST, TABLES)
        keys = pl.datetime_range(START, START + (MOST - 1) * STEP, STEP, time_unit="us", time_zone="UTC", eager=True)
        for name, frame in whole.frames.items():
            whole.frames[name] = frame.with_columns(keys.alias(KEY))
        source = cls(whole, frame_warehouse(2, TABLES), rows)
        source.shown.knows_months = True
        source.show()
        return source

    def show(self) -> None:
        """Show the present state. Targets whose future has not come are null."""
        for name, frame in self.whole.frames.items():
            seen = frame.filter(pl.col(KEY) < START + self.rows * STEP)
            if name == TARGETS:
                known = pl.col(KEY) < START + (self.rows - _UNKNOWN) * STEP
                seen = seen.with_columns(pl.when(known).then(pl.col("^target_.*$")))
            self.shown.frames[name] = seen

    def append(self, rows: int) -> None:
        """More rows arrive."""
        self.rows = min(MOST, self.rows + rows)
        self.show()

    def change(self, table: tuple[str, str], row: int) -> None:
        """A value of a row changes."""
        frame = self.whole.frames[table]
        column = next(name for name, kind in frame.schema.items() if kind == pl.Float64 and name != KEY)
        at = pl.int_range(pl.len()) == row % frame.height
        self.whole.frames[table] = frame.with_columns(
            pl.when(at).then(pl.lit(row + 0.5)).otherwise(pl.col(column)).alias(column)
        )
        self.show()

    def lose(self, table: tuple[str, str], row: int) -> None:
        """A row vanishes."""
        frame = self.whole.frames[table]
        self.whole.frames[table] = frame.filter(pl.int_range(pl.len()) != row % frame.height)
        self.show()


def _job(folder: Path, warehouse: FrameWarehouse, **asked: Any) -> Extraction:
    return replace(frame_job(folder, warehouse, **asked), expectations=few_tables_expectations(TABLES))


def _facts(record: ExtractionRecord) -> list[object]:
    return [
        content_digest(record.slabs),
        record.spine,
        [(slab.table, slab.provenance.columns, slab.provenance.quarantined, slab.content) for slab in record.slabs],
        [slab.provenance.rows.matched for slab in record.slabs],
    ]


_Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "change", "change targets", "lose", "lose target", "columns", "fail", "run"]),
        st.integers(0, MOST),
        st.integers(1, 260),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25)
@given(steps=STEPS, unit=st.sampled_from(["month", "quarter", "none"]), rows=st.integers(40, 600))
def test_any_sequence_of_changes_and_broken_runs_ends_with_the_digest_of_a_full_build(
    steps: list[_Step], unit: PeriodUnit, rows: int
) -> None:
    source, asked = Source.of(rows), {"include_forward_looking": False}
    act: dict[str, Callable[[int, int], None]] = {
        "append": lambda _row, count: source.append(count),
        "change": lambda row, _count: source.change(VOL, row),
        "change targets": lambda row, _count: source.change(TARGETS, row),
        "lose": lambda row, _count: source.lose(VOL, row),
        "lose target": lambda row, _count: source.lose(TARGETS, row),
        "columns": lambda _row, _count: asked.update(include_forward_looking=not asked["include_forward_looking"]),
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        for what, row, count in steps:
            if what in act:
                act[what](row, count)
                continue
            fault: list[Exception | None] = [OSError(28, "No space left on device")] if what == "fail" else []
            source.shown.faults = {TABLES[row % len(TABLES)]: [*[None] * (count % 3), *fault]}
            with suppress(ExtractionIncomplete):
                extract_pair(_job(folder / "kept", source.shown, period=unit, **asked))
        source.shown.faults = {}
        kept = extract_pair(_job(folder / "kept", source.shown, period=unit, **asked))
        full = extract_pair(_job(folder / "full", source.shown, period=unit, **asked))
    assert _facts(kept) == _facts(full)


def _read(source: Source, folder: Path, unit: PeriodUnit = "month") -> set[tuple[str, str]]:
    """The tables and periods that a run reads."""
    source.shown.requests.clear()
    extract_pair(_job(folder, source.shown, period=unit))
    return {(request.table.table, request.period) for request in source.shown.requests}


def test_rows_that_arrive_in_the_last_period_leave_all_others_as_they_are(tmp_path: Path) -> None:
    source = Source.of(700)
    assert len(_read(source, tmp_path)) == 3 * (1 + len(TABLES))
    assert _read(source, tmp_path) == set()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/2024-0[12].parquet")}
    source.append(8)
    assert _read(source, tmp_path) == {(table, "2024-03") for table in ("targets_eurusd", *TABLES)}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_rows_of_a_new_period_complete_the_targets_of_the_one_before(tmp_path: Path) -> None:
    source = Source.of(474)
    _read(source, tmp_path)
    source.append(40)
    read = _read(source, tmp_path)
    assert {period for _, period in read} == {"2024-02", "2024-03"}


def test_a_row_that_changes_in_an_old_period_makes_that_period_new_and_no_other(tmp_path: Path) -> None:
    source = Source.of(700)
    _read(source, tmp_path)
    source.change(VOL, 20)
    assert _read(source, tmp_path) == {("mkt_vol", "2024-01")}
    source.lose(VOL, 300)
    assert _read(source, tmp_path) == {("mkt_vol", "2024-02")}


def test_targets_that_change_without_their_keys_make_no_feature_new(tmp_path: Path) -> None:
    source = Source.of(700)
    _read(source, tmp_path)
    source.change(TARGETS, 300)
    assert _read(source, tmp_path) == {("targets_eurusd", "2024-02")}


def test_a_row_that_vanishes_from_the_spine_makes_its_period_new_in_every_table(tmp_path: Path) -> None:
    source = Source.of(700)
    _read(source, tmp_path)
    source.lose(TARGETS, 300)
    assert _read(source, tmp_path) == {(table, "2024-02") for table in ("targets_eurusd", *TABLES)}


def test_a_run_that_broke_goes_on_with_the_pieces_it_lacks(tmp_path: Path) -> None:
    source = Source.of(700)
    source.shown.faults = {"mkt_vol": [None, OSError(5, "Input/output error")], "agg_eurusd": [None]}
    with pytest.raises(ExtractionIncomplete):
        extract_pair(_job(tmp_path, source.shown, period="month"))
    assert _read(source, tmp_path) == {("mkt_vol", "2024-02"), ("mkt_vol", "2024-03")}


def test_a_plan_knows_the_periods_that_changed_and_what_they_take(tmp_path: Path) -> None:
    source = Source.of(700)
    first = plan_pair(_job(tmp_path, source.shown, period="month"))
    assert (first.periods.new, first.read_bytes) == (3, first.total_bytes)
    _read(source, tmp_path)
    done = plan_pair(_job(tmp_path, source.shown, period="month"))
    assert (done.periods.fresh, done.read_bytes, done.total_bytes > 0) == (3, 0, True)
    source.change(VOL, 20)
    source.append(100)
    plan = plan_pair(_job(tmp_path, source.shown, period="month"))
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
        unit: content_digest(extract_pair(_job(tmp_path / unit, source.shown, period=unit)).slabs)
        for unit in ("month", "quarter", "half-year", "year", "none")
    }
    assert len(set(digests.values())) == 1
    for unit in ("quarter", "month", "none"):
        record = extract_pair(_job(tmp_path / "month", source.shown, period=unit))
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
    kept = extract_pair(_job(tmp_path / "kept", source.shown, period="month"))
    columns = [slab.provenance.columns for slab in kept.slabs]
    _leak(source, month)
    for folder in ("kept", "full"):
        record = extract_pair(_job(tmp_path / folder, source.shown, period="month"))
        vol = next(slab for slab in record.slabs if slab.table == "mkt_vol")
        assert [each.column for each in vol.provenance.quarantined] == ["mkt_vol_atr_45"]
    source.whole.frames[VOL] = right
    source.show()
    for folder in ("kept", "full"):
        record = extract_pair(_job(tmp_path / folder, source.shown, period="month"))
        assert [slab.provenance.columns for slab in record.slabs] == columns
        assert content_digest(record.slabs) == content_digest(kept.slabs)


def _changes(source: Source, folder: Path, **asked: Any) -> tuple[str, ...]:
    return extract_pair(_job(folder, source.shown, period="month", **asked)).changes


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
    _read(source, tmp_path / "kept")
    plan = plan_pair(_job(tmp_path / "kept", source.shown, period=unit))
    assert (plan.periods.fresh, plan.read_bytes) == (periods, 0)
    assert _read(source, tmp_path / "kept", unit) == set()
    assert plan_pair(_job(tmp_path / "kept", source.shown, period=unit)).read_bytes == 0
    kept = extract_pair(_job(tmp_path / "kept", source.shown, period=unit))
    assert _facts(kept) == _facts(extract_pair(_job(tmp_path / "full", source.shown, period=unit)))


def test_a_longer_unit_reads_the_periods_that_changed_meanwhile(tmp_path: Path) -> None:
    source = Source.of(MOST)
    _read(source, tmp_path)
    source.change(VOL, 20)
    plan = plan_pair(_job(tmp_path, source.shown, period="quarter"))
    assert [(each.period, each.state, each.stale_tables) for each in plan.by_period] == [
        ("2024-Q1", "changed", 1),
        ("2024-Q2", "fresh", 0),
    ]
    assert _read(source, tmp_path, "quarter") == {("mkt_vol", "2024-Q1")}


def test_a_shorter_unit_is_read_again_and_the_plan_says_so(tmp_path: Path) -> None:
    source = Source.of(MOST)
    _read(source, tmp_path, "quarter")
    plan = plan_pair(_job(tmp_path, source.shown, period="month"))
    assert plan.read_bytes == plan.total_bytes
    assert len(_read(source, tmp_path, "month")) == 4 * (1 + len(TABLES))


class _KilledError(BaseException):
    """What no part of the program handles, as ``kill -9``."""


def _kill(monkeypatch: pytest.MonkeyPatch, method: str, table: str) -> None:
    """End the next run before the second piece of a table, or before its finished record, is written."""
    whole, done = getattr(Slabs, method), Counter[str]()

    def write(slabs: Slabs, record: Any, *rest: Any) -> None:
        name = record.table if isinstance(record, TableRecord) else record.piece.object_name.partition("/")[0]
        done[name] += method == "put" or record.slab is not None
        if name == table and done[name] == (2 if method == "put" else 1):
            monkeypatch.undo()
            raise _KilledError
        whole(slabs, record, *rest)

    monkeypatch.setattr(Slabs, method, write)


@pytest.mark.parametrize("knows_months", [True, False])
def test_a_spine_that_a_killed_run_began_is_no_spine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, knows_months: bool
) -> None:
    source = Source.of(700)
    source.shown.knows_months = knows_months
    _kill(monkeypatch, "put", "targets_eurusd")
    with pytest.raises(_KilledError):
        extract_pair(_job(tmp_path / "kept", source.shown, period="month"))
    before = (tmp_path / "kept" / "targets_eurusd" / "2024-01.parquet").stat().st_mtime_ns
    kept = extract_pair(_job(tmp_path / "kept", source.shown, period="month"))
    assert _facts(kept) == _facts(extract_pair(_job(tmp_path / "full", source.shown, period="month")))
    assert (tmp_path / "kept" / "targets_eurusd" / "2024-01.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("table", ["targets_eurusd", "mkt_vol"])
def test_pieces_of_another_unit_are_gone_after_a_killed_run_and_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    source = Source.of(700)
    _read(source, tmp_path)
    _kill(monkeypatch, "_save", table)
    with pytest.raises(_KilledError):
        extract_pair(_job(tmp_path, source.shown, period="quarter"))
    assert _read(source, tmp_path, "quarter") == set()
    there = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*.parquet"))
    assert there == [f"{each}/2024-Q1.parquet" for each in sorted((*TABLES, "targets_eurusd"))]


@dataclass
class _Changing(FrameWarehouse):
    """A warehouse of which a table changes after it was described, and before its months are asked for."""

    changing: bool = False

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """The states of the changed rows, with the time of the change."""
        if not self.changing:
            return super().months(tables)
        self.frames[VOL] = self.frames[VOL].with_columns(pl.col(pl.Float64) + 1)
        states = super().months(tables)
        after = self.snapshot() + timedelta(hours=1)
        return states | {VOL: {month: replace(state, modified=after) for month, state in states[VOL].items()}}


def test_a_month_that_changed_after_the_snapshot_is_not_taken_for_its_rows(tmp_path: Path) -> None:
    warehouse = _Changing(Source.of(300).shown.frames, knows_months=True)
    extract_spine(_job(tmp_path, warehouse))
    warehouse.changing = True
    with pytest.raises(ExtractionIncomplete, match=r"1 of 3 tables failed: mkt_vol; first: TableChanged"):
        extract_features(_job(tmp_path, warehouse))


def test_without_known_months_a_changed_table_is_read_in_every_period(tmp_path: Path) -> None:
    source = Source.of(700)
    source.shown.knows_months = False
    extract_pair(_job(tmp_path, source.shown, period="month"))
    source.shown.revised["mkt_vol"] = source.shown.modified + timedelta(hours=1)
    assert _read(source, tmp_path) == {("mkt_vol", f"2024-0{month}") for month in (1, 2, 3)}
