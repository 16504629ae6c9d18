"""Any sequence of changes, killed and broken runs ends with what one full build gives; no finished work is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partialmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.errors import EmptyTable, ExtractionIncomplete
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.periods import TICK
from bqx_assets.extract.slab_records import TableRecord
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import MonthState
from bqx_assets_tests.extract.history import MOST, STEP, TABLES, TARGETS, VOL, Source, facts, job, read
from bqx_assets_tests.frames import START, FrameWarehouse

_Step = tuple[str, int, int]
_CHANGES = ("append", "change", "change targets", "lose", "lose target", "late", "repeat", "leak", "months")
_SETTINGS = ("columns", "last", "range", "unit")
_RUNS = ("fail", "kill", "run")
STEPS = st.lists(
    st.tuples(st.sampled_from(_CHANGES + _SETTINGS + _RUNS), st.integers(0, MOST), st.integers(1, 260)),
    min_size=1,
    max_size=6,
)
_UNITS: tuple[PeriodUnit, ...] = ("month", "quarter", "none")


class _KilledError(BaseException):
    """What no part of the program handles, as ``kill -9``."""


@contextmanager
def _killed_after(writes: int) -> Generator[None]:
    """End a run at its next write or removal after so many."""
    left = [writes]

    def counted(store: LocalObjectStore, whole: Callable[..., Any], *given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise _KilledError
        return whole(store, *given, **named)

    with pytest.MonkeyPatch.context() as patch, suppress(_KilledError):
        for name in ("put_blocks", "put_bytes", "delete"):
            patch.setattr(LocalObjectStore, name, partialmethod(counted, getattr(LocalObjectStore, name)))
        yield


@settings(max_examples=25)
@given(steps=STEPS, unit=st.sampled_from(_UNITS), rows=st.integers(40, 600))
def test_any_sequence_of_changes_and_broken_runs_ends_with_the_digest_of_a_full_build(
    steps: list[_Step], unit: PeriodUnit, rows: int
) -> None:
    source = Source.of(rows)
    asked: dict[str, Any] = {"include_forward_looking": False, "duplicates": "last", "period": unit}
    act: dict[str, Callable[[int, int], None]] = {
        "append": lambda _row, count: source.append(count),
        "change": lambda row, _count: source.change(VOL, row),
        "change targets": lambda row, _count: source.change(TARGETS, row),
        "lose": lambda row, _count: source.lose(VOL, row),
        "lose target": lambda row, _count: source.lose(TARGETS, row),
        "late": lambda _row, _count: source.restore(),
        "repeat": lambda row, count: source.repeat(VOL if count % 2 else TARGETS, row),
        "leak": source.leak,
        "columns": lambda _row, _count: asked.update(include_forward_looking=not asked["include_forward_looking"]),
        "last": lambda row, count: asked.update(last=(f"{count} rows", f"{row % 100 + 1}d", None)[row % 3]),
        "range": lambda row, count: asked.update(
            start=(None, START + row * STEP / 4, datetime(2024, 2, 1, tzinfo=UTC))[count % 3],
            end=(None, START + (row + 260) * STEP, datetime(2024, 4, 1, tzinfo=UTC) - TICK)[row % 3],
        ),
        "unit": lambda row, _count: asked.update(period=_UNITS[row % 3]),
        "months": lambda _row, _count: setattr(source.shown, "knows_months", not source.shown.knows_months),
    }
    with TemporaryDirectory() as name:
        folder = Path(name)

        def run(place: str) -> ExtractionRecord | str:
            given = {key: value for key, value in asked.items() if value is not None}
            given = {key: value for key, value in given.items() if "last" not in given or key not in ("start", "end")}
            try:
                return extract_pair(job(folder / place, source.shown, **given))
            except EmptyTable as error:
                return str(error)

        for what, row, count in steps:
            if what in act:
                act[what](row, count)
                continue
            fault: list[Exception | None] = [OSError(28, "No space left on device")] if what == "fail" else []
            source.shown.faults = {TABLES[row % len(TABLES)]: [*[None] * (count % 3), *fault]}
            with suppress(ExtractionIncomplete), _killed_after(row % 30 if what == "kill" else 10_000):
                run("kept")
        source.shown.faults = {}
        try:
            kept, full = run("kept"), run("full")
        except ExtractionIncomplete:
            reject()  # no row of a table is left in the range
        assert facts(kept) == facts(full)
        if isinstance(kept, ExtractionRecord):
            there = {path.relative_to(folder / "kept").as_posix() for path in folder.glob("kept/*/*.parquet")}
            assert there == {piece.object_name for slab in kept.slabs for piece in slab.pieces}


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
        extract_pair(job(tmp_path / "kept", source.shown, period="month"))
    before = (tmp_path / "kept" / "targets_eurusd" / "2024-01.parquet").stat().st_mtime_ns
    kept = extract_pair(job(tmp_path / "kept", source.shown, period="month"))
    assert facts(kept) == facts(extract_pair(job(tmp_path / "full", source.shown, period="month")))
    assert (tmp_path / "kept" / "targets_eurusd" / "2024-01.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("table", ["targets_eurusd", "mkt_vol"])
def test_pieces_of_another_unit_are_gone_after_a_killed_run_and_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    source = Source.of(700)
    read(source, tmp_path)
    _kill(monkeypatch, "_save", table)
    with pytest.raises(_KilledError):
        extract_pair(job(tmp_path, source.shown, period="quarter"))
    assert read(source, tmp_path, "quarter") == set()
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
    extract_spine(job(tmp_path, warehouse))
    warehouse.changing = True
    with pytest.raises(ExtractionIncomplete, match=r"1 of 3 tables failed: mkt_vol; first: TableChanged"):
        extract_features(job(tmp_path, warehouse))


def test_a_column_that_looks_ahead_in_a_new_period_is_cut_out_of_the_others_and_comes_back_when_it_stops(
    tmp_path: Path,
) -> None:
    source = Source.of(700)
    read(source, tmp_path / "kept")
    source.leak(2 * 240, 116)  # February's rows
    assert read(source, tmp_path / "kept") == {("mkt_vol", f"2024-0{month}") for month in (1, 2, 3)}
    source.append(8)
    assert {period for table, period in read(source, tmp_path / "kept") if table == "mkt_vol"} == {"2024-03"}
    kept = extract_pair(job(tmp_path / "kept", source.shown, period="month"))
    assert kept.slabs[-1].provenance.quarantined[-1].column == "mkt_vol_atr_45"
    source.change(VOL, 20)
    assert read(source, tmp_path / "kept") == {("mkt_vol", "2024-01")}
    source.leak(0, 0)
    read(source, tmp_path / "kept")
    kept = extract_pair(job(tmp_path / "kept", source.shown, period="month"))
    assert "mkt_vol_atr_45" in {column.source for column in kept.slabs[-1].provenance.columns}
    assert facts(kept) == facts(extract_pair(job(tmp_path / "full", source.shown, period="month")))


_Edit = Callable[[Any], object]
_EDITS: list[tuple[str, _Edit]] = [
    ("targets_eurusd", lambda record: record["pieces"].pop()),
    ("mkt_vol", lambda record: record["slab"]["provenance"].update(pair="gbpusd")),
    ("mkt_vol", lambda record: record["slab"]["pieces"].pop()),
    ("mkt_vol", lambda record: record["pieces"][0]["piece"].update(object_name="agg_eurusd/2024-01.parquet")),
]


@pytest.mark.parametrize(("table", "edit"), _EDITS)
def test_a_record_that_somebody_edited_gives_no_other_file(tmp_path: Path, table: str, edit: _Edit) -> None:
    source = Source.of(700)
    source.shown.knows_months = False
    whole = extract_pair(job(tmp_path, source.shown, period="month"))
    path = tmp_path / f"{table}.slab.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    again = extract_pair(job(tmp_path, source.shown, period="month"))
    assert facts(again) == facts(whole)
    assert {slab.provenance.pair for slab in again.slabs} == {"eurusd"}
