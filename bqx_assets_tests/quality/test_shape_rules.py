"""A table that is known to be empty on the spine is kept and named; one that nobody knows to be empty is not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bqx_assets.base.errors import ExtractionIncomplete
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets_tests.frames import FEW_TABLES, FrameWarehouse, frame_warehouse, minutes
from bqx_assets_tests.quality.training import ROWS, good, verdict_of

ETF = "corr_etf_idx_eurusd_ewa"


def _of_1970(table: str) -> FrameWarehouse:
    """The tables' keys were damaged when they were copied: the users' are of 1970, none on the spine."""
    warehouse = frame_warehouse(ROWS, (*FEW_TABLES, ETF))
    frame = warehouse.frames[FEATURES_DATASET, table]
    damaged = frame.with_columns(minutes(ROWS, datetime(1970, 1, 1, tzinfo=UTC)))
    warehouse.frames[FEATURES_DATASET, table] = damaged
    return warehouse


def test_a_table_whose_columns_may_be_empty_is_kept_without_a_row_and_named(tmp_path: Path) -> None:
    report = good(tmp_path, warehouse=_of_1970(ETF)).report()
    rows, nulls = verdict_of(report, "tables_cover_spine"), verdict_of(report, "no_unexpected_all_null")
    assert rows.passed
    assert nulls.passed
    assert f"1 without any, kept: {ETF}" in rows.got
    assert nulls.evidence["allowed"] == 8
    assert "corr_etf_idx_ewa__fx_pair" in str(nulls.evidence["kept"])


def test_another_table_without_a_row_is_refused_and_its_cure_names_the_key_that_helps(tmp_path: Path) -> None:
    with pytest.raises(ExtractionIncomplete, match=r"mkt_vol.*allowed_all_null") as refused:
        good(tmp_path, warehouse=_of_1970("mkt_vol"))
    assert "none on the spine" in refused.value.got
