"""A warehouse with appended bars is the one that was made of as many, and nothing of what it held has changed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting, TableMissing, TableUnreadable
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.extract import embedded
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import (
    APPENDING_FILE,
    RECORD_FILE,
    WarehouseRecord,
    load_record,
)
from bqx_assets.sandbox.advance import advance_warehouse
from bqx_assets.sandbox.create import create_warehouse
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.sandbox.conftest import linked

EURUSD, GBPUSD, USDJPY = (parse_pair(name) for name in ("eurusd", "gbpusd", "usdjpy"))
MONTH_END = 24_300
"""Bars up to a few hours after the end of March 2024."""


def _make(folder: Path, rows: int, pairs: tuple[Pair, ...] = (EURUSD,), *, tables: int = 9, **changed: bool) -> Path:
    create_warehouse(folder, pairs=pairs, rows=rows, tables=tables, seed=1, rates=None, progress=Silent(), **changed)
    return folder


def _advance(folder: Path, bars: int) -> WarehouseRecord:
    return advance_warehouse(folder, bars=bars, progress=Silent())


def _bytes(folder: Path) -> dict[str, bytes]:
    """The tables and expectations of a warehouse, without its record."""
    files = [*folder.rglob("*.parquet"), folder / "expectations.toml"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _frames(folder: Path) -> dict[str, pl.DataFrame]:
    return {path.stem: pl.read_parquet(path) for path in sorted(folder.rglob("*.parquet"))}


def _refuse_other_earlier_rows(before: pl.DataFrame, after: pl.DataFrame) -> None:
    """Rows up to the last one are the same, but for unknown values of columns that look forward."""
    keys = [name for name in (KEY, "pair") if name in before.columns]
    until = after.filter(pl.col(KEY) <= before.get_column(KEY).max()).sort(keys)
    earlier = before.sort(keys)
    forward = [name for name in earlier.columns if name.startswith("target")]
    assert until.drop(forward).equals(earlier.drop(forward))
    for name in forward:
        assert until.select(pl.coalesce(earlier.get_column(name), name)).to_series().equals(until.get_column(name))


@given(
    rows=st.integers(76, 2_000),
    bars=st.integers(1, 1_000),
    pairs=st.sampled_from([(EURUSD,), (USDJPY,), (GBPUSD, EURUSD)]),
    tables=st.sampled_from([4, 9, 25]),
    quirks=st.booleans(),
    known_gaps=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(rows=MONTH_END - 900, bars=900, pairs=(EURUSD,), tables=4, quirks=True, known_gaps=False, seed=1)
@settings(max_examples=6)
def test_appended_bars_give_the_longer_warehouse_and_leave_what_was_there(  # noqa: PLR0913 -- one argument a parameter
    *, rows: int, bars: int, pairs: tuple[Pair, ...], tables: int, quirks: bool, known_gaps: bool, seed: int
) -> None:
    with TemporaryDirectory() as name:
        one, other = Path(name, "one"), Path(name, "other")
        for folder, length in ((one, rows), (other, rows + bars)):
            create_warehouse(
                folder, pairs=pairs, rows=length, tables=tables, seed=seed, rates=None, progress=Silent(),
                quirks=quirks, known_gaps=known_gaps,
            )  # fmt: skip
        before = _frames(one)
        record = _advance(one, bars)
        assert (record.made.rows, record.appended, record.present.rows) == (rows, (bars,), rows + bars)
        assert record == load_record(one)
        assert _bytes(one) == _bytes(other)
        after = _frames(one)
        assert before.keys() == after.keys()
        for table, frame in before.items():
            if KEY in frame.columns:
                _refuse_other_earlier_rows(frame, after[table])


def test_months_that_ended_long_ago_keep_their_state_in_every_table(tmp_path: Path) -> None:
    _make(tmp_path / "w", MONTH_END + 3_000, tables=8)
    warehouse = LocalWarehouse(tmp_path / "w")
    before = warehouse.months([each for each in warehouse.describe() if KEY in each.types()])
    _advance(tmp_path / "w", 1_440)
    after = warehouse.months([each for each in warehouse.describe() if KEY in each.types()])
    assert before.keys() == after.keys()
    for table, months in before.items():
        assert [*months] == ["2024-03", "2024-04"]
        assert months["2024-03"] == after[table]["2024-03"], table
        assert months["2024-04"] != after[table]["2024-04"], table


def test_a_table_without_new_content_is_not_written(tmp_path: Path) -> None:
    _make(tmp_path / "w", 200)
    summary = next((tmp_path / "w").rglob("mkt_vol_summary.parquet"))
    before = summary.stat().st_mtime_ns
    _advance(tmp_path / "w", 10)
    assert summary.stat().st_mtime_ns == before


def test_bars_can_be_appended_again_and_are_kept_when_the_same_is_made_again(tmp_path: Path) -> None:
    _make(tmp_path / "w", 200)
    _advance(tmp_path / "w", 30)
    assert _advance(tmp_path / "w", 70).appended == (30, 70)
    long = _bytes(tmp_path / "w")
    assert long == _bytes(_make(tmp_path / "long", 300))
    assert _bytes(_make(tmp_path / "w", 200)) == long
    inject_fault(tmp_path / "w", "nan", EURUSD)
    with pytest.raises(BadSetting, match="spoiled warehouse") as caught:
        _advance(tmp_path / "w", 1)
    assert "--pairs eurusd --rows 200 --tables 9 --seed 1" in caught.value.cure
    assert _bytes(_make(tmp_path / "w", 200)) == long
    assert _advance(tmp_path / "w", 1).present.rows == 301


class Killed(BaseException):
    """What ends a process, and no handler of errors catches."""


@contextmanager
def _killed_at(monkeypatch: pytest.MonkeyPatch, place: int) -> Generator[None]:
    """End the appending before its n-th change of a name in the warehouse, and leave its files as a kill would."""
    rename, left = Path.replace, [place]

    def replace(self: Path, target: Path) -> Path:
        if ".scratch" not in str(target):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
        return rename(self, target)

    def leave(*_: object, **__: object) -> None:
        pass

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        patched.setattr("shutil.rmtree", leave)
        yield


@pytest.mark.parametrize("place", [0, 1, 5, 12, 13])
def test_an_appending_that_was_killed_leaves_what_was_there_or_says_so_and_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    _make(tmp_path / "w", 200)
    before, longer = _bytes(tmp_path / "w"), _bytes(_make(tmp_path / "longer", 300))
    with _killed_at(monkeypatch, place), pytest.raises(Killed):
        _advance(tmp_path / "w", 100)
    if place:
        with pytest.raises(TableUnreadable, match="two lengths") as caught:
            LocalWarehouse(tmp_path / "w").describe()
        assert caught.value.cure.endswith(f"bqx warehouse advance {tmp_path / 'w'} --bars 100")
        with pytest.raises(TableUnreadable):
            inject_fault(tmp_path / "w", "nan", EURUSD)
    else:
        assert len(LocalWarehouse(tmp_path / "w").describe()) == 13
        assert _bytes(tmp_path / "w").items() >= before.items()
    assert _advance(tmp_path / "w", 100).present.rows == 300
    assert {name: data for name, data in _bytes(tmp_path / "w").items() if ".scratch" not in name} == longer
    assert len(LocalWarehouse(tmp_path / "w").describe()) == 13


def test_one_of_which_only_the_mark_is_left_is_ended_and_nothing_is_appended_twice(tmp_path: Path) -> None:
    _make(tmp_path / "w", 200)
    _advance(tmp_path / "w", 100)
    (tmp_path / "w" / APPENDING_FILE).write_text('{"bars": 100, "rows": 300}')
    assert _advance(tmp_path / "w", 100).present.rows == 300
    assert _bytes(tmp_path / "w") == _bytes(_make(tmp_path / "longer", 300))


def test_an_interrupted_appending_can_be_made_from_the_start_as_well(tmp_path: Path) -> None:
    before = _bytes(_make(tmp_path / "w", 200))
    (tmp_path / "w" / APPENDING_FILE).write_text('{"bars": 100, "rows": 300}')
    assert _bytes(_make(tmp_path / "w", 200)) == before
    assert len(LocalWarehouse(tmp_path / "w").describe()) == 13


def test_what_has_no_known_future_is_refused_and_stays(two_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(TableMissing):
        _advance(tmp_path / "none", 1)
    with pytest.raises(BadSetting, match="from 1"):
        _advance(two_pairs, 0)

    own = linked(two_pairs, tmp_path / "own")
    (own / RECORD_FILE).unlink()
    with pytest.raises(BadSetting, match="did not make") as caught:
        _advance(own, 1)
    assert "your own tables" in caught.value.cure

    for name, changed, cure in (
        ("rates", {"rates": "0" * 64}, "longer file: bqx warehouse create NEW --pairs eurusd,gbpusd --rates FILE"),
        ("version", {"seed": 7}, "make it again: bqx warehouse create"),
    ):
        folder = linked(two_pairs, tmp_path / name)
        record = load_record(folder)
        assert record is not None
        record.model_copy(update={"made": record.made.model_copy(update=changed)}).save(folder / RECORD_FILE)
        with pytest.raises(BadSetting) as caught:
            _advance(folder, 1)
        assert cure in caught.value.cure
        assert _bytes(folder) == _bytes(two_pairs)


def test_months_are_kept_with_the_tables_and_with_the_longer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _make(tmp_path / "w", 900)
    for bars in (100, 0):
        with monkeypatch.context() as unread:
            unread.delattr(embedded, "months_or_none")
            warehouse = LocalWarehouse(folder)
            tables = warehouse.describe()
            assert len(warehouse.months(tables)) == len(tables)
        if bars:
            _advance(folder, bars)
