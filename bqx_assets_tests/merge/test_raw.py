"""Raw checkpoints of another origin: any row order, missing, extra and repeated rows, leaks by name and by value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import (
    BqxError,
    ColumnCollision,
    DuplicateKeys,
    EmptyTable,
    FooterError,
    MergeRefused,
    NullKeys,
    SchemaDrift,
)
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import Settings
from bqx_assets.merge.engine import merge
from bqx_assets.merge.plan import plan_merge
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.readers import arrow
from bqx_assets_tests.merge.slabs import SETTINGS, Told, extracted, raw_folder, write_raw


@pytest.fixture
def frames(tmp_path: Path) -> dict[str, pl.DataFrame]:
    """Six tables and the targets in ``raw/``."""
    return raw_folder(tmp_path / "raw")


def _merge(
    tmp_path: Path, engine: str = "splice", settings: Settings = SETTINGS
) -> tuple[pl.DataFrame, Manifest, Told]:
    told = Told()
    output = tmp_path / f"{engine}.parquet"
    manifest = merge(plan_merge(EURUSD, tmp_path / "raw", settings), output, engine=engine, progress=told)
    assert crc32c_of_file(output) == manifest.file.crc32c
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    return pl.read_parquet(output), manifest, told


@pytest.mark.usefixtures("frames")
def test_raw_checkpoints_give_the_very_table_that_extraction_gives(tmp_path: Path) -> None:
    output = tmp_path / "own.parquet"
    merge(plan_merge(EURUSD, extracted(tmp_path / "slabs"), SETTINGS), output, progress=Told())
    merged, manifest, told = _merge(tmp_path)
    assert_frame_equal(merged, pl.read_parquet(output))
    assert ("agg_eurusd", "as it lies") in told.steps
    assert manifest.extraction.features()[0].provenance.source.dataset == "raw"


@pytest.mark.usefixtures("frames")
def test_a_table_spliced_as_it_lies_leaves_its_keys_bytes_behind(tmp_path: Path) -> None:
    _, manifest, told = _merge(tmp_path)
    slab = next(slab for slab in manifest.extraction.slabs if slab.table == "agg_eurusd")
    assert ("agg_eurusd", "as it lies") in told.steps
    assert slab.size_bytes < (tmp_path / "raw" / "agg_eurusd.parquet").stat().st_size


def test_shuffled_missing_and_extra_rows_are_aligned_and_accounted_for(
    tmp_path: Path, frames: dict[str, pl.DataFrame]
) -> None:
    agg = frames["agg_eurusd"]
    extra = agg.head(7).with_columns(pl.col(KEY) - timedelta(days=9))
    shuffled = pl.concat([agg.tail(150), extra]).sample(fraction=1, shuffle=True, seed=1)
    write_raw(tmp_path / "raw", "agg_eurusd", shuffled)
    merged, manifest, told = _merge(tmp_path)
    assert_frame_equal(merged, _merge(tmp_path, "join")[0])
    assert merged.height == 200
    assert merged["agg__source_value"][:50].null_count() == 50
    assert merged["agg__source_value"][50:].to_list() == agg["source_value"][50:].to_list()
    rows = {slab.table: slab.provenance.rows for slab in manifest.extraction.slabs}["agg_eurusd"]
    assert (rows.read, rows.matched, rows.missing, rows.extra, rows.duplicates) == (157, 150, 50, 7, 0)
    assert ("agg_eurusd", "aligned") in told.steps


def test_repeated_keys_are_refused_by_name_and_an_earlier_output_stays(
    tmp_path: Path, frames: dict[str, pl.DataFrame]
) -> None:
    before, manifest, _ = _merge(tmp_path)
    agg = frames["agg_eurusd"]
    write_raw(tmp_path / "raw", "agg_eurusd", pl.concat([agg, agg.head(3)]))
    with pytest.raises(DuplicateKeys, match="agg_eurusd: 3 surplus rows"):
        _merge(tmp_path)
    assert_frame_equal(pl.read_parquet(tmp_path / "splice.parquet"), before)
    assert Manifest.load(tmp_path / "splice.manifest.json") == manifest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("policy", "value"), [("first", 1.0), ("last", 2.0)])
def test_a_configured_policy_decides_between_repeated_rows_and_is_recorded(
    tmp_path: Path, frames: dict[str, pl.DataFrame], policy: str, value: float
) -> None:
    ones = frames["agg_eurusd"].with_columns(source_value=pl.lit(1.0))
    twos = ones.head(3).with_columns(source_value=pl.lit(2.0))
    write_raw(tmp_path / "raw", "agg_eurusd", pl.concat([ones, twos]))
    merged, manifest, _ = _merge(tmp_path, settings=Settings.model_validate({"duplicates": policy}))
    assert merged.height == 200
    assert merged["agg__source_value"].to_list() == [value] * 3 + [1.0] * 197
    provenance = manifest.extraction.slabs[1].provenance
    assert (provenance.duplicate_policy, provenance.rows.duplicates) == (policy, 3)


def test_features_that_look_forward_are_left_out_by_name_and_by_value(
    tmp_path: Path, frames: dict[str, pl.DataFrame]
) -> None:
    leaking = frames["agg_eurusd"].with_columns(target_45=pl.lit(1.0), innocent=frames["targets"]["target_bqx90_h30"])
    write_raw(tmp_path / "raw", "agg_eurusd", leaking)
    merged, manifest, _ = _merge(tmp_path)
    assert not {"agg__target_45", "agg__innocent"} & set(merged.columns)
    reasons = {each.column: each.reason for each in manifest.extraction.slabs[1].provenance.quarantined}
    assert reasons == {"target_45": "its name looks forward", "innocent": "equals bqx_90 30 rows ahead"}
    assert not manifest.extraction.forward_looking_included
    kept, manifest, _ = _merge(tmp_path, settings=Settings(include_forward_looking=True))
    assert {"agg__target_45", "agg__innocent"} < set(kept.columns)
    assert manifest.extraction.forward_looking_included


def test_a_pair_column_filters_rows_and_is_no_feature(tmp_path: Path, frames: dict[str, pl.DataFrame]) -> None:
    agg = frames["agg_eurusd"]
    both = pl.concat([agg.with_columns(pair=pl.lit("gbpusd")), agg.with_columns(pair=pl.lit("eurusd"))])
    write_raw(tmp_path / "raw", "agg_eurusd", both)
    merged, _, _ = _merge(tmp_path)
    assert "agg__pair" not in merged.columns
    assert merged["agg__source_value"].to_list() == agg["source_value"].to_list()


def test_other_types_and_row_groups_are_encoded_anew(tmp_path: Path, frames: dict[str, pl.DataFrame]) -> None:
    casts = [pl.col("month").cast(pl.Int8), pl.col("trading_session").cast(pl.Categorical)]
    tmp = frames["tmp_eurusd"].with_columns(casts)
    write_raw(tmp_path / "raw", "tmp_eurusd", tmp)
    frames["mkt_vol"].write_parquet(tmp_path / "raw" / "mkt_vol.parquet", row_group_size=60)
    merged, _, told = _merge(tmp_path)
    assert merged.schema["tmp__month"] == pl.Int64
    assert merged["tmp__trading_session"].to_list() == frames["tmp_eurusd"]["trading_session"].to_list()
    assert {("tmp_eurusd", "aligned"), ("mkt_vol", "aligned")} < set(told.steps)


def test_several_row_groups_have_the_spines_boundaries(tmp_path: Path, frames: dict[str, pl.DataFrame]) -> None:
    del frames
    merged, _, _ = _merge(tmp_path, settings=Settings(row_group_rows=90))
    metadata = arrow.read_metadata(tmp_path / "splice.parquet")
    assert [metadata.row_group(n).num_rows for n in range(3)] == [90, 90, 20]
    assert_frame_equal(merged, _merge(tmp_path)[0])


def test_the_spine_is_the_rows_whose_first_target_is_known_in_order(
    tmp_path: Path, frames: dict[str, pl.DataFrame]
) -> None:
    targets = frames["targets"].with_columns(
        target_bqx45_h15=pl.when(pl.int_range(pl.len()) < 190).then(pl.col("target_bqx45_h15"))
    )
    write_raw(tmp_path / "raw", "targets", targets.sample(fraction=1, shuffle=True, seed=2))
    merged, _, _ = _merge(tmp_path)
    assert merged[KEY].to_list() == targets[KEY][:190].to_list()


NO_KEYS = pl.lit(None, pl.Datetime("us", "UTC")).alias(KEY)
Change = Callable[[pl.DataFrame], pl.DataFrame]
UNFIT: list[tuple[str, Change, type[BqxError], str]] = [
    ("agg_eurusd", lambda f: f.drop(KEY), MergeRefused, "no interval_time in agg_eurusd"),
    ("agg_eurusd", lambda f: f.with_columns(pl.col(KEY).cast(pl.Int64)), SchemaDrift, "interval_time int64"),
    ("agg_eurusd", lambda f: f.clear(), EmptyTable, "none on the spine"),
    ("agg_eurusd", lambda f: f.with_columns(NO_KEYS), NullKeys, "200 rows"),
    ("agg_eurusd", lambda f: f.with_columns(lists=pl.lit([1.0])), SchemaDrift, "lists large_list"),
    ("agg", lambda f: f, ColumnCollision, "from agg_eurusd, agg"),
    ("targets", lambda f: f.drop("target_bqx45_h30"), SchemaDrift, "target_bqx45_h30"),
    ("targets", lambda f: pl.concat([f, f.head(1)]), DuplicateKeys, "targets: 1 surplus"),
    ("targets_eurusd", lambda f: f, MergeRefused, "both targets.parquet and"),
    ("targets_all_fixed", lambda f: f, MergeRefused, "more targets: targets_all_fixed"),
]


@pytest.mark.parametrize("case", UNFIT, ids=[f"{stem}: {match}" for stem, _, _, match in UNFIT])
def test_a_folder_that_cannot_be_merged_is_refused_by_name(
    tmp_path: Path, frames: dict[str, pl.DataFrame], case: tuple[str, Change, type[BqxError], str]
) -> None:
    stem, change, error, match = case
    source = "targets" if stem.startswith("targets") else "agg_eurusd"
    write_raw(tmp_path / "raw", stem, change(frames[source]))
    with pytest.raises(error, match=match):
        _merge(tmp_path)
    assert not (tmp_path / "splice.parquet").exists()


@pytest.mark.usefixtures("frames")
def test_a_damaged_checkpoint_is_a_footer_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "agg_eurusd.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FooterError, match="eurusd/agg_eurusd"):
        _merge(tmp_path)


def test_an_empty_folder_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(MergeRefused, match="bqx extract eurusd"):
        plan_merge(EURUSD, tmp_path, SETTINGS)
