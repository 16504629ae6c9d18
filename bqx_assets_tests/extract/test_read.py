"""A read is tried again while the warehouse says it may help, and never mixes two attempts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from bqx_assets.base.errors import SchemaDrift, TableUnreadable, TransientReadError
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.retry import RETRIES
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract import read
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets_tests.frames import START, FrameWarehouse, frame_warehouse


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> FrameWarehouse:
    monkeypatch.setitem(RETRIES, "table_read", replace(RETRIES["table_read"], first_wait_seconds=0.001))
    return frame_warehouse(50, ["mkt_vol"])


def _request(warehouse: FrameWarehouse) -> ReadRequest:
    table = next(each for each in warehouse.describe() if each.table == "mkt_vol")
    return ReadRequest(table, (KEY, "scope", "mkt_vol_atr_45"), warehouse.snapshot())


def _unavailable() -> TransientReadError:
    return TransientReadError("mkt_vol", got="unavailable", expected="rows", cure="Try again.")


def test_rows_of_broken_attempts_are_dropped_and_the_table_is_read_whole(warehouse: FrameWarehouse) -> None:
    warehouse.faults["mkt_vol"] = [_unavailable(), _unavailable()]
    frame = read.read_frame(warehouse, _request(warehouse), subject="t", progress=Silent())
    assert frame.height == 50
    assert frame.columns == [KEY, "scope", "mkt_vol_atr_45"]
    assert warehouse.reads["mkt_vol"] == 3


def test_after_five_attempts_the_error_is_the_tables_own(warehouse: FrameWarehouse) -> None:
    warehouse.faults["mkt_vol"] = [_unavailable() for _ in range(9)]
    with pytest.raises(TransientReadError):
        read.read_frame(warehouse, _request(warehouse), subject="t", progress=Silent())
    assert warehouse.reads["mkt_vol"] == RETRIES["table_read"].attempts


def test_a_permanent_error_is_not_tried_again(warehouse: FrameWarehouse) -> None:
    warehouse.faults["mkt_vol"] = [TableUnreadable("t", got="corrupt", expected="rows", cure="Restore it.")]
    with pytest.raises(TableUnreadable):
        read.read_frame(warehouse, _request(warehouse), subject="t", progress=Silent())
    assert warehouse.reads["mkt_vol"] == 1


def test_rows_of_another_type_than_described_are_refused(warehouse: FrameWarehouse) -> None:
    request = _request(warehouse)
    frame = warehouse.frames[FEATURES_DATASET, "mkt_vol"]
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = frame.with_columns(pl.col("mkt_vol_atr_45").cast(pl.String))
    with pytest.raises(SchemaDrift, match="mkt_vol_atr_45 FLOAT64"):
        read.read_frame(warehouse, request, subject="t", progress=Silent())


def test_no_rows_is_an_empty_frame_with_the_described_types(warehouse: FrameWarehouse) -> None:
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = warehouse.frames[FEATURES_DATASET, "mkt_vol"].clear()
    frame = read.read_frame(warehouse, _request(warehouse), subject="t", progress=Silent())
    assert frame.shape == (0, 3)
    assert frame.schema["mkt_vol_atr_45"] == pl.Float64


def test_streams_that_are_in_order_are_together_in_order(
    warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [each.slice(at, 10) for each in warehouse.read(_request(warehouse)) for at in (0, 10, 20)]
    interleaved = [batches[place] for place in (3, 0, 4, 1, 5, 2)]
    request = _request(warehouse)
    monkeypatch.setattr(warehouse, "read", {request: interleaved}.__getitem__)
    frame = read.read_frame(warehouse, request, subject="t", progress=Silent())
    assert frame.height == 50
    assert frame.get_column(KEY).is_sorted()


def test_a_whole_table_that_comes_with_fewer_rows_than_its_catalogue_counts_is_refused(
    warehouse: FrameWarehouse,
) -> None:
    request = _request(warehouse)
    whole = warehouse.frames[FEATURES_DATASET, "mkt_vol"]
    for rows in (49, 0):
        warehouse.frames[FEATURES_DATASET, "mkt_vol"] = whole.head(rows)
        with pytest.raises(TransientReadError, match=f"{rows} rows, expected 50"):
            read.read_frame(warehouse, request, subject="t", progress=Silent())
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = pl.concat([whole, whole.head(1)])
    assert read.read_frame(warehouse, request, subject="t", progress=Silent()).height == 51


def test_a_range_of_a_table_has_no_count_to_be_held_against(warehouse: FrameWarehouse) -> None:
    request = replace(_request(warehouse), start=START, end=START + timedelta(minutes=9))
    assert read.read_frame(warehouse, request, subject="t", progress=Silent()).height == 10
