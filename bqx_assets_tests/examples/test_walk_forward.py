"""LightGBM walks forward over 500 columns; what it used is led back to tables, and every prediction is out of fold."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from bqx_assets_tests.docs.page_commands import run_lines, run_script
from bqx_assets_tests.examples.conftest import EXAMPLES


def test_500_columns_are_chosen_split_scored_and_led_back(tmp_path: Path) -> None:
    market = "bqx warehouse create .bqx/warehouses/eurusd --pairs eurusd --rows 4000 --tables 28"
    run_lines(f"{market}\nbqx run eurusd", tmp_path)
    found = run_script(EXAMPLES / "walk_forward" / "train.py", tmp_path, "eurusd", "1200", "900")
    assert re.match(r"eurusd, data [0-9a-f]{16}: 3,9\d\d rows x 500 columns\n2 folds, embargo \d+ rows\n", found), found
    assert len(re.findall(r"  fold \d: test from 2024-\d\d-\d\d \d\d:\d\d, R2 -?\d+\.\d{3}$", found, re.MULTILINE)) == 2
    assert len(re.findall(r"%  \w+__\w+: .+ \(bqx_ml_v3_features_v2\.\w+\.\w+\)$", found, re.MULTILINE)) == 5
    predictions = pl.read_parquet(tmp_path / "predictions.parquet")
    assert predictions.height == predictions["interval_time"].n_unique() == 1_800
    assert predictions["fold"].unique().sort().to_list() == [0, 1]
    assert "load_training" in run_lines("bqx card eurusd", tmp_path)
