"""Another row of the table of column types is enough for every stage; other names of a type lead to its row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from bqx_assets.base.column_types import COLUMN_TYPES, ColumnType, standard_type
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD, frame_job
from bqx_assets_tests.quality.training import coherent_warehouse, expectations


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ("INTEGER", "INT64"),
        ("INT", "INT64"),
        ("BIGINT", "INT64"),
        ("FLOAT", "FLOAT64"),
        ("Boolean", "BOOL"),
        ("STRING(10)", "STRING"),
        ("TIMESTAMP", "TIMESTAMP"),
        ("float", "FLOAT64"),
        ("string (20)", "STRING"),
        ("STRING(20) ", "STRING"),
        ("timestamp", "TIMESTAMP"),
        ("NUMERIC(10, 2)", "NUMERIC"),
        ("numeric(5,2)", "NUMERIC"),
        ("DECIMAL", "NUMERIC"),
        ("DECIMAL(5)", "NUMERIC"),
        ("BIGNUMERIC(38, 10)", "BIGNUMERIC"),
        ("BIGDECIMAL(38, 10)", "BIGNUMERIC"),
        ("BYTES(5)", "BYTES"),
        ("TIMESTAMP(12)", "TIMESTAMP(12)"),
        ("GEOGRAPHY", "GEOGRAPHY"),
        ("STRUCT<a STRING(10)>", "STRUCT<a STRING(10)>"),
        ("ARRAY<STRING(10)>", "ARRAY<STRING(10)>"),
    ],
)
def test_other_names_of_a_type_are_one_type(said: str, own: str) -> None:
    assert standard_type(said) == own


def test_another_row_of_the_table_is_enough_for_discovery_extraction_merge_and_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ColumnType(
        "DATE", pl.Date(), pa.date32(), pa.types.is_date32, ("INT32", 6, {6: {}}), "<i", cell_bytes=4, memory_bytes=4
    )
    monkeypatch.setitem(COLUMN_TYPES, "DATE", row)
    warehouse = coherent_warehouse()
    table = warehouse.frames[FEATURES_DATASET, "mkt_vol"]
    days = table.get_column(KEY).dt.date().alias("trading_day")
    warehouse.frames[FEATURES_DATASET, "fixing_eurusd"] = pl.DataFrame([table.get_column(KEY), days])
    stated = expectations().model_copy(update={"accepted_tables": ("fixing_eurusd",)})
    extract_pair(replace(frame_job(tmp_path / "slabs", warehouse), expectations=stated))
    file = tmp_path / "training_eurusd.parquet"
    plan = plan_merge(EURUSD, working_folder(tmp_path / "slabs"), Settings())
    manifest = merge(plan, working_folder(tmp_path), file.name, progress=Silent())
    assert pl.read_parquet(file).get_column("fixing__trading_day").equals(days, check_names=False)
    report = validate(StoredFile.at(file), EURUSD, stated, manifest=manifest, deep=True, progress=Silent())
    assert [verdict for verdict in report.verdicts if not verdict.passed and verdict.severity == "error"] == []
