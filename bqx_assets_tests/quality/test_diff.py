"""What two files have that the other one has not: by digests without a value read, or row by row of the same key."""

from __future__ import annotations

import json
import shutil
from datetime import time, timedelta
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.errors import BadSetting, BqxError, DuplicateKeys, FooterError, InexactValue, NullKeys
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality import diff
from bqx_assets.quality.diff import Difference
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.named_file import diff_files
from bqx_assets_tests.frames import EURUSD, START
from bqx_assets_tests.merge.slabs import raw_folder, write_raw
from bqx_assets_tests.quality.training import Training, coherent_warehouse, earlier, good

TABLE = FEATURES_DATASET, "mkt_vol"
COLUMN = "mkt_vol__mkt_vol_atr_45"


def _diff(a: Path, b: Path, *, values: bool = False) -> Difference:
    return diff_files(str(a), str(b), values=values, progress=Silent())


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The good file's tables with two values of one column changed: to another number, and to none."""
    warehouse = coherent_warehouse()
    row = pl.int_range(pl.len())
    column = pl.col("mkt_vol_atr_45")
    changed = pl.when(row == 300).then(9.0).when(row == 310).then(None).otherwise(column).alias("mkt_vol_atr_45")
    warehouse.frames[TABLE] = warehouse.frames[TABLE].with_columns(changed)
    return good(tmp_path_factory.mktemp("other"), warehouse=warehouse)


def test_periods_engines_and_runs_make_no_difference(training: Training, grouped: Training, tmp_path: Path) -> None:
    joined = tmp_path / "joined.parquet"
    manifest = merge(
        plan_merge(EURUSD, working_folder(grouped.file.parent / "slabs"), Settings()),
        *StoredFile.at(joined),
        engine="join",
        progress=Silent(),
    )
    for file in (grouped.file, joined):
        found = _diff(training.file, file)
        assert (found.same, found.by) == (True, "digests")
        assert found.a.content_digest == found.b.content_digest == manifest.file.content_digest
    manifest_path(joined).unlink()
    assert (_diff(training.file, joined).same, _diff(training.file, joined).by) == (True, "values")


def test_digests_name_the_column_and_values_the_rows(training: Training, other: Training) -> None:
    by_digest = _diff(training.file, other.file)
    assert (by_digest.same, by_digest.by, by_digest.tables) == (False, "digests", ("mkt_vol",))
    assert [(each.column, each.rows) for each in by_digest.columns] == [(COLUMN, None)]
    by_value = _diff(training.file, manifest_path(other.file), values=True)
    assert by_value.by == "values"
    (found,) = by_value.columns
    assert found.rows is not None
    assert (found.column, found.rows.count) == (COLUMN, 2)
    keys = training.frame().get_column(KEY)
    assert found.rows.first_keys == (keys[300].isoformat(), keys[310].isoformat())


def test_only_columns_whose_digests_differ_are_read(
    training: Training, other: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = diff.WideFile.read

    def noted(self: diff.WideFile, names: list[str]) -> pl.DataFrame:
        read.extend(names)
        return whole(self, names)

    monkeypatch.setattr(diff.WideFile, "read", noted)
    _diff(training.file, other.file, values=True)
    assert sorted(set(read)) == [KEY, COLUMN]


def test_rows_and_columns_of_one_file_only_are_counted_and_named(training: Training, tmp_path: Path) -> None:
    frame = training.frame()
    keys = frame.get_column(KEY)
    frame[10:].drop("agg__agg_mean_45").write_parquet(tmp_path / "b.parquet")
    found = _diff(training.file, tmp_path / "b.parquet")
    assert (found.same, found.by) == (False, "values")
    assert (found.rows_only_in_a.count, found.rows_only_in_b.count) == (10, 0)
    assert found.rows_only_in_a.first_keys == tuple(key.isoformat() for key in keys.head(5))
    assert (found.columns_only_in_a, found.columns_only_in_b, found.columns) == (("agg__agg_mean_45",), (), ())
    frame[10:].write_parquet(tmp_path / "rows.parquet")
    assert not _diff(training.file, tmp_path / "rows.parquet").same
    frame.reverse().write_parquet(tmp_path / "order.parquet")
    assert _diff(training.file, tmp_path / "order.parquet").same


def test_a_sign_a_nan_and_a_type_are_differences_and_a_nan_is_a_nan(tmp_path: Path) -> None:
    keys = pl.Series(KEY, [START + timedelta(minutes=n) for n in range(4)], dtype=pl.Datetime("us", "UTC"))
    nan = float("nan")
    base = pl.DataFrame({KEY: keys, "t__x": [0.0, nan, None, 1.0], "t__y": [1, 2, 3, 4], "t__s": ["a", None, "", "b"]})
    other = base.with_columns(
        pl.Series("t__x", [-0.0, nan, nan, 1.0]), pl.col("t__y").cast(pl.Float64), pl.Series("t__s", ["a", "", "", "b"])
    )
    base.write_parquet(tmp_path / "a.parquet")
    other.write_parquet(tmp_path / "b.parquet")
    found = {each.column: each for each in _diff(tmp_path / "a.parquet", tmp_path / "b.parquet").columns}
    counts = {name: each.rows.count if each.rows else each.types for name, each in found.items()}
    assert counts == {"t__x": 2, "t__y": ("INT64", "FLOAT64"), "t__s": 1}


def test_a_file_that_is_no_longer_its_manifests_is_read(training: Training, tmp_path: Path) -> None:
    file = tmp_path / training.file.name
    training.frame().with_columns(pl.lit(1.0).alias(COLUMN)).write_parquet(file)
    assert training.manifest is not None
    size = training.manifest.file.model_copy(update={"size_bytes": file.stat().st_size})
    training.manifest.model_copy(update={"file": size}).save(manifest_path(file))
    found = _diff(training.file, file)
    assert (found.by, [each.column for each in found.columns]) == ("values", [COLUMN])


def test_a_rotten_file_is_not_called_the_same_by_its_manifests_digests(training: Training, tmp_path: Path) -> None:
    file = tmp_path / training.file.name
    data = bytearray(training.file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    shutil.copy(manifest_path(training.file), tmp_path)
    try:
        assert _diff(training.file, file).by == "values"
    except FooterError as error:
        assert file.name in str(error)  # noqa: PT017 -- either is right: the byte may be one that says how to decode


@pytest.mark.parametrize("field", ["file", "slabs", "both"])
def test_digests_that_contradict_each_other_are_not_gone_by(training: Training, tmp_path: Path, field: str) -> None:
    file = tmp_path / training.file.name
    file.write_bytes(training.file.read_bytes())
    assert training.manifest is not None
    forged = training.manifest.model_dump(mode="json")
    if field != "slabs":
        forged["file"]["content_digest"] = "0" * 64
    if field != "file":
        forged["extraction"]["slabs"][1]["content"] = []
    manifest_path(file).write_text(json.dumps(forged))
    found = _diff(training.file, manifest_path(file))
    assert (found.same, found.by) == (True, "values")


@pytest.mark.parametrize("rows", [0, 1])
def test_files_without_a_row_or_without_a_common_one_differ_by_their_rows(
    training: Training, tmp_path: Path, rows: int
) -> None:
    frame = training.frame()
    frame.head(rows).with_columns(pl.col(KEY).dt.offset_by("1y")).write_parquet(tmp_path / "b.parquet")
    found = _diff(training.file, tmp_path / "b.parquet")
    assert (found.same, found.rows_only_in_a.count, found.rows_only_in_b.count) == (False, frame.height, rows)
    assert found.columns == ()
    assert _diff(tmp_path / "b.parquet", tmp_path / "b.parquet").same


def test_manifests_of_an_earlier_version_are_compared_by_their_files_values(training: Training, tmp_path: Path) -> None:
    file = tmp_path / training.file.name
    file.write_bytes(training.file.read_bytes())
    assert training.manifest is not None
    old = training.manifest.file.model_copy(update={"content_digest": None})
    training.manifest.model_copy(update={"file": old}).save(manifest_path(file))
    found = _diff(training.file, manifest_path(file))
    assert (found.same, found.by) == (True, "values")
    file.unlink()
    assert Manifest.load(manifest_path(file)).file.content_digest is None
    with pytest.raises(BadSetting, match="a manifest without its file"):
        _diff(training.file, manifest_path(file))


def test_the_manifest_of_an_earlier_version_is_compared_by_its_digests(
    training: Training, other: Training, tmp_path: Path
) -> None:
    made = earlier(tmp_path)
    assert Manifest.load(manifest_path(made.file)).extraction.slabs[0].pieces[0].period == ""
    same = _diff(training.file, made.file)
    assert (same.same, same.by) == (True, "digests")
    changed = _diff(manifest_path(made.file), other.file)
    assert (changed.same, changed.by, changed.tables) == (False, "digests", ("mkt_vol",))
    (column,) = _diff(made.file, other.file, values=True).columns
    assert (column.column, column.rows.count if column.rows else 0) == (COLUMN, 2)


def test_raw_checkpoints_as_they_lie_aligned_or_shuffled_give_the_same_content(tmp_path: Path) -> None:
    """Half the rows' order is another, so that nothing is copied as it lies: the values are the same."""
    frames = raw_folder(tmp_path / "lying")
    (tmp_path / "shuffled").mkdir()
    for stem, frame in frames.items():
        write_raw(tmp_path / "shuffled", stem, frame.sample(fraction=1.0, shuffle=True, seed=1))
    digests: set[str | None] = set()
    for name, engine in (("lying", "splice"), ("shuffled", "splice"), ("lying", "join")):
        plan = plan_merge(EURUSD, working_folder(tmp_path / name), Settings())
        manifest = merge(plan, *StoredFile.at(tmp_path / f"{name}.parquet"), engine=engine, progress=Silent())
        digests.add(manifest.file.content_digest)
    assert len(digests) == 1
    assert None not in digests


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (pl.DataFrame({"x": [1]}), FooterError),
        (pl.DataFrame({KEY: ["2026"], "x": [1]}), FooterError),
        (pl.DataFrame({KEY: [START, START], "x": [1, 2]}), DuplicateKeys),
        (pl.DataFrame({KEY: [START, None], "x": [1, 2]}), NullKeys),
        (pl.DataFrame({KEY: pl.Series([2**62, 2**62 + 1]).cast(KEY_TYPE), "x": [1, 2]}), InexactValue),
    ],
)
def test_files_whose_rows_cannot_be_told_apart_are_refused(
    training: Training, tmp_path: Path, frame: pl.DataFrame, error: type[BqxError]
) -> None:
    frame.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(error):
        _diff(training.file, tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (pl.lit(1).cast(pl.Int8), pl.lit(1).cast(pl.Int8), True),
        (pl.lit(1).cast(pl.Int8), pl.lit(1).cast(pl.Float32), False),
        (pl.lit(1).cast(pl.Decimal(10, 2)), pl.lit(1).cast(pl.Int8), False),
        (pl.lit(1).cast(pl.Date), pl.lit(time(1)), False),
        (pl.lit(b"a"), pl.lit(1).cast(pl.Date), False),
    ],
)
def test_types_that_no_training_file_has_are_told_apart(
    training: Training, tmp_path: Path, left: pl.Expr, right: pl.Expr, *, same: bool
) -> None:
    """Equal numbers of two such types were called the same, and types that cannot be compared ended in a traceback."""
    for name, odd in (("a", left), ("b", right)):
        training.frame().select(KEY, odd=odd).write_parquet(tmp_path / f"{name}.parquet")
    found = _diff(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert found.same == same
    assert [each.column for each in found.columns] == ([] if same else ["odd"])
    assert all(each.types for each in found.columns)


@pytest.mark.parametrize("name", ["gone.parquet", "gone.manifest.json", "text.parquet"])
def test_what_is_not_there_or_no_training_file_is_refused(training: Training, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises((BadSetting, FooterError)):
        _diff(training.file, tmp_path / name)


def test_a_damaged_column_is_refused_by_name(training: Training, other: Training, tmp_path: Path) -> None:
    file = tmp_path / "b.parquet"
    other.frame().select(KEY, COLUMN).write_parquet(file)
    data = bytearray(file.read_bytes())
    data[4:40] = b"\xff" * 36
    file.write_bytes(data)
    with pytest.raises(FooterError):
        _diff(training.file, file)
