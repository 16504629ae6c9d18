"""Files of another origin, without a manifest: judged as far as they can be, never raising."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.names import KEY
from bqx_assets_tests.quality.training import Training, verdict_of

KEYED = "key_unique_and_ascending"


def _written(frame: pl.DataFrame, folder: Path, training: Training) -> Training:
    file = folder / "eurusd.parquet"
    pq.write_table(frame.to_arrow(), file, compression="snappy", row_group_size=128)
    return replace(training, file=file, manifest=None)


def test_a_users_own_merge_passes_with_warnings_for_what_nothing_proves(tmp_path: Path, training: Training) -> None:
    """As pandas writes it: by pyarrow, naive nanoseconds, Snappy, no pair in its metadata, names of its own."""
    renamed = {name: name.replace("__", "_x_") for name in training.frame().columns if "__" in name}
    frame = (
        training.frame().rename(renamed).with_columns(pl.col(KEY).dt.replace_time_zone(None).cast(pl.Datetime("ns")))
    )
    report = _written(frame, tmp_path, training).report()
    assert report.passed
    assert not report.not_checked
    warned = {verdict.rule for verdict in report.verdicts if not verdict.passed}
    assert {"checksum", "rows_equal_spine", "file_is_of_pair", "columns_equal_catalogue"} <= warned
    assert verdict_of(report, KEYED).passed


@pytest.mark.parametrize("text", [pl.col(KEY).cast(pl.String), pl.col(KEY).dt.date(), pl.lit(1)])
def test_a_key_that_is_no_timestamp_is_not_taken_for_one(tmp_path: Path, training: Training, text: pl.Expr) -> None:
    found = verdict_of(_written(training.frame().with_columns(text.alias(KEY)), tmp_path, training).report(), KEYED)
    assert not found.passed
    assert "timestamp" in found.got


@pytest.mark.parametrize(
    ("kind", "ticks", "why"),
    [
        (pa.timestamp("ns"), 900, "digits below a microsecond"),
        (pa.timestamp("ms"), 2**62, "outside of the years 1 to 9999"),
        (pa.timestamp("us", "UTC"), 2**62, "outside of the years 1 to 9999"),
        (pa.timestamp("us", "+05:30"), -(2**62), "outside of the years 1 to 9999"),
    ],
)
def test_keys_that_no_timestamp_holds_as_they_are_fail_by_their_column(
    tmp_path: Path, training: Training, kind: pa.DataType, ticks: int, why: str
) -> None:
    table = training.frame().to_arrow()
    keys = pa.array([ticks] * table.num_rows, pa.int64()).cast(kind)
    pq.write_table(table.set_column(table.column_names.index(KEY), KEY, keys), tmp_path / "f.parquet")
    report = replace(training, file=tmp_path / "f.parquet", manifest=None).report()
    found = verdict_of(report, "file_readable")
    assert not found.passed
    assert KEY in found.got
    assert why in found.got


@pytest.mark.parametrize("deep", [True, False])
def test_no_rows_at_all_is_a_verdict(tmp_path: Path, training: Training, *, deep: bool) -> None:
    training.frame().clear().write_parquet(tmp_path / "f.parquet")
    pq.write_table(training.frame().clear().to_arrow(), tmp_path / "g.parquet")
    for name in ("f.parquet", "g.parquet"):
        for manifest in (None, training.manifest):
            report = replace(training, file=tmp_path / name, manifest=manifest).report(deep=deep)
            assert not report.passed
            assert report.rows == 0
            assert name == "g.parquet" or not verdict_of(report, "dimensions").passed


@pytest.mark.parametrize("deep", [True, False])
def test_a_column_twice_is_named(tmp_path: Path, training: Training, *, deep: bool) -> None:
    table = training.frame().to_arrow()
    for name in (KEY, "target_bqx45_h15", "agg__agg_mean_45"):
        pq.write_table(table.append_column(name, table.column(name)), tmp_path / "f.parquet")
        report = replace(training, file=tmp_path / "f.parquet").report(deep=deep)
        assert f"1 twice: {name}" in verdict_of(report, "columns_equal_catalogue").got
        assert not report.passed


@pytest.mark.parametrize("deep", [True, False])
def test_columns_of_types_no_training_file_has_are_no_trouble(
    tmp_path: Path, training: Training, *, deep: bool
) -> None:
    rows = training.frame().height
    odd = {
        "x__binary": pa.array([b"\xff", b"\x00"] * (rows // 2)),
        "x__date": pa.array(range(rows), pa.int32()).cast(pa.date32()),
        "x__time": pa.array(range(rows), pa.int64()).cast(pa.time64("us")),
        "x__decimal": pa.array(range(rows), pa.int64()).cast(pa.decimal128(20, 0)),
        "x__float32": pa.array(range(rows), pa.int64()).cast(pa.float32()),
        "x__int8": pa.array([row % 100 for row in range(rows)], pa.int8()),
        "x__null": pa.nulls(rows),
        "x__dictionary": pa.array(["a", "b"] * (rows // 2)).dictionary_encode(),
    }
    table = training.frame().to_arrow()
    for name, values in odd.items():
        table = table.append_column(name, values)
    pq.write_table(table, tmp_path / "f.parquet")
    report = replace(training, file=tmp_path / "f.parquet", manifest=None).report(deep=deep)
    failed = {verdict.rule for verdict in report.failures()}
    assert failed == ({"no_unexpected_all_null"} if deep else set())
    assert not deep or verdict_of(report, "no_unexpected_all_null").evidence["names"] == ["x__null"]
    assert not deep or not report.not_checked


def test_nested_columns_are_refused_in_words(tmp_path: Path, training: Training) -> None:
    pq.write_table(pa.table({KEY: [1], "x": [[1, 2]]}), tmp_path / "f.parquet")
    report = replace(training, file=tmp_path / "f.parquet", manifest=None).report()
    assert (report.rows, report.columns) == (0, 0)
    assert "nested" in verdict_of(report, "file_readable").got
