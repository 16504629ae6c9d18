"""Tables shared by all pairs are read from the warehouse once; every further pair reads those rows from the folder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.errors import TransientReadError
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract import staging
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.staging import StagedWarehouse, is_shared
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets_tests.frames import EURUSD, FrameWarehouse, few_tables_expectations, frame_job, frame_warehouse

GBPUSD = parse_pair("gbpusd")
SHARED = ("csi_vol_eur", "mkt_vol", "tri_agg_bqx_eur_usd_gbp", "var_lag_bqx_eur")
ROWS = 200


def _tables(pair: Pair) -> Sequence[str]:
    return (f"agg_{pair.name}", *SHARED)


@pytest.fixture
def frames() -> FrameWarehouse:
    """Two pairs and the tables they share; the second pair's spine is shorter at both ends."""
    warehouse = frame_warehouse(ROWS, _tables(EURUSD))
    other = frame_warehouse(ROWS, _tables(GBPUSD), GBPUSD)
    shared = {name: frame for name, frame in other.frames.items() if name not in warehouse.frames}
    warehouse.frames |= shared
    targets = (TARGETS_DATASET, "targets_gbpusd")
    warehouse.frames[targets] = warehouse.frames[targets].slice(20, 150)
    return warehouse


@pytest.fixture
def staged(frames: FrameWarehouse, tmp_path: Path) -> StagedWarehouse:
    return StagedWarehouse(frames, tmp_path / "staging")


def _extract(warehouse: StagedWarehouse | FrameWarehouse, folder: Path, pair: Pair) -> ExtractionRecord:
    job = frame_job(folder / pair.name, frame_warehouse(1, ()))
    expectations = few_tables_expectations(_tables(pair), pair)
    return extract_pair(replace(job, pair=pair, warehouse=warehouse, expectations=expectations))


def _request(warehouse: FrameWarehouse | StagedWarehouse, table: str = "mkt_vol", **changes: object) -> ReadRequest:
    found = next(each for each in warehouse.describe() if each.table == table)
    request = ReadRequest(found, tuple(found.types()), warehouse.snapshot())
    return replace(request, **changes)  # type: ignore[arg-type]


def _rows(warehouse: FrameWarehouse | StagedWarehouse, request: ReadRequest) -> pl.DataFrame:
    return pl.concat(pl.DataFrame(pl.from_arrow(batch)) for batch in warehouse.read(request)).sort(KEY)


def test_two_pairs_read_each_shared_table_once_and_get_what_they_would_have_got(
    frames: FrameWarehouse, staged: StagedWarehouse, tmp_path: Path
) -> None:
    expected = {pair: _extract(frames, tmp_path / "plain", pair) for pair in (EURUSD, GBPUSD)}
    frames.reads.clear()
    for pair in (EURUSD, GBPUSD):
        record = _extract(staged, tmp_path / "staged", pair)
        assert [slab.crc32c for slab in record.slabs] == [slab.crc32c for slab in expected[pair].slabs]
    assert frames.reads == dict.fromkeys([*SHARED, "agg_eurusd", "agg_gbpusd", "targets_eurusd", "targets_gbpusd"], 1)


def test_only_feature_tables_of_no_pair_are_shared(frames: FrameWarehouse) -> None:
    assert {each.table for each in frames.describe() if is_shared(each)} == set(SHARED)
    table = next(each for each in frames.describe() if each.table == "mkt_vol")
    assert not is_shared(replace(table, columns=(*table.columns, ("pair", "STRING"))))
    assert not is_shared(replace(table, dataset=TARGETS_DATASET))
    assert not is_shared(replace(table, table="mkt_vol_summary"))


def test_any_range_and_columns_give_the_rows_of_the_table(frames: FrameWarehouse, staged: StagedWarehouse) -> None:
    key = frames.frames[FEATURES_DATASET, "mkt_vol"].get_column(KEY)
    requests = [
        _request(frames, start=key[20], end=key[30], columns=(KEY, "scope")),
        _request(frames, start=key[5], end=key[90]),
        _request(frames, start=key[50], end=key[60], columns=("mkt_vol_atr_45", KEY)),
        _request(frames),
    ]
    for request in requests:
        assert_frame_equal(_rows(staged, request), _rows(frames, request))


def test_whole_days_are_staged_so_that_a_spine_of_the_same_days_needs_no_other_read(
    frames: FrameWarehouse, staged: StagedWarehouse
) -> None:
    key = frames.frames[FEATURES_DATASET, "mkt_vol"].get_column(KEY)
    assert _rows(staged, _request(frames, start=key[20], end=key[30])).height == 11
    assert _rows(staged, _request(frames, start=key[0], end=key[-1])).height == ROWS
    assert frames.reads == {"mkt_vol": 1}
    later = _request(frames, start=key[0], end=key[-1] + timedelta(days=2))
    assert not staged.holds(later)
    assert _rows(staged, later).height == ROWS
    assert frames.reads == {"mkt_vol": 2}
    assert staged.holds(later)


def test_a_changed_table_is_read_again(frames: FrameWarehouse, staged: StagedWarehouse) -> None:
    _rows(staged, _request(frames))
    frames.frames[FEATURES_DATASET, "mkt_vol"] = frames.frames[FEATURES_DATASET, "mkt_vol"].head(50)
    frames.revised["mkt_vol"] = frames.modified + timedelta(hours=1)
    assert _rows(staged, _request(frames)).height == 50
    assert frames.reads == {"mkt_vol": 2}


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "no record"])
def test_a_damaged_file_is_never_served(
    frames: FrameWarehouse, staged: StagedWarehouse, tmp_path: Path, damage: str
) -> None:
    expected = _rows(staged, _request(frames))
    file = tmp_path / "staging" / FEATURES_DATASET / "mkt_vol.parquet"
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "no record":
        file.with_suffix(".json").unlink()
    else:
        file.write_bytes(whole[:-9] if damage == "cut" else whole[:99] + bytes([whole[99] ^ 1]) + whole[100:])
    assert_frame_equal(_rows(staged, _request(frames)), expected)
    assert frames.reads == {"mkt_vol": 2}
    assert file.read_bytes() == whole


def test_a_broken_read_leaves_nothing_behind(frames: FrameWarehouse, staged: StagedWarehouse, tmp_path: Path) -> None:
    frames.faults["mkt_vol"] = [TransientReadError("mkt_vol", got="gone", expected="rows", cure="Again.")]
    with pytest.raises(TransientReadError):
        _rows(staged, _request(frames))
    assert not staged.holds(_request(frames))
    assert not list((tmp_path / "staging").rglob("*parquet*"))
    assert _rows(staged, _request(frames)).height == ROWS


def test_an_empty_table_is_staged_as_one(frames: FrameWarehouse, staged: StagedWarehouse) -> None:
    frames.frames[FEATURES_DATASET, "mkt_vol"] = frames.frames[FEATURES_DATASET, "mkt_vol"].clear()
    for _ in range(2):
        assert sum(batch.num_rows for batch in staged.read(_request(frames))) == 0
    assert frames.reads == {"mkt_vol": 1}


def test_readers_of_one_table_at_the_same_time_stage_it_once(frames: FrameWarehouse, tmp_path: Path) -> None:
    heights: list[int] = []

    def read() -> None:
        heights.append(_rows(StagedWarehouse(frames, tmp_path / "staging"), _request(frames)).height)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert heights == [ROWS] * 4
    assert frames.reads == {"mkt_vol": 1}


def test_a_file_replaced_while_it_is_read_does_not_change_what_is_read(
    frames: FrameWarehouse, staged: StagedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_ROW_GROUP_ROWS", 60)
    rows = staged.read(_request(frames))
    first = next(rows)
    frames.frames[FEATURES_DATASET, "mkt_vol"] = frames.frames[FEATURES_DATASET, "mkt_vol"].head(50)
    frames.revised["mkt_vol"] = frames.modified + timedelta(hours=1)
    assert _rows(staged, _request(frames)).height == 50
    assert first.num_rows + sum(batch.num_rows for batch in rows) == ROWS
