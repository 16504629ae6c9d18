"""Raw checkpoints of another origin: any row order, missing, extra and repeated rows, leaks by name and by value."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import (
    BadSetting,
    BqxError,
    ColumnCollision,
    DuplicateKeys,
    EmptyTable,
    FooterError,
    InexactValue,
    MergeRefused,
    NotEnoughMemory,
    NullKeys,
    SchemaDrift,
)
from bqx_assets.base.names import KEY
from bqx_assets.base.process import PeakMemory
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge import plan
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD, START, frame_job, frame_warehouse, minutes
from bqx_assets_tests.merge.readers import arrow
from bqx_assets_tests.merge.slabs import SETTINGS, Told, raw_folder, write_raw


@pytest.fixture
def frames(tmp_path: Path) -> dict[str, pl.DataFrame]:
    """Six tables and the targets in ``raw/``."""
    return raw_folder(tmp_path / "raw")


def _merge(
    tmp_path: Path, engine: str = "splice", settings: Settings = SETTINGS
) -> tuple[pl.DataFrame, Manifest, Told]:
    told = Told()
    output = tmp_path / f"{engine}.parquet"
    manifest = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), settings),
        *StoredFile.at(output),
        engine=engine,
        progress=told,
    )
    assert crc32c_of_file(output) == manifest.file.crc32c
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    return pl.read_parquet(output), manifest, told


@pytest.mark.usefixtures("frames")
def test_raw_checkpoints_give_the_very_table_that_extraction_gives(tmp_path: Path) -> None:
    output = tmp_path / "own.parquet"
    extract_pair(frame_job(tmp_path / "slabs", frame_warehouse()))
    merge(
        plan_merge(EURUSD, working_folder(tmp_path / "slabs"), SETTINGS),
        *StoredFile.at(output),
        progress=Told(),
    )
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


@pytest.mark.usefixtures("frames")
def test_of_checkpoints_too_the_last_rows_alone_can_be_merged(tmp_path: Path) -> None:
    whole, _, _ = _merge(tmp_path)
    merged, manifest, _ = _merge(tmp_path, settings=Settings(last="50 rows"))
    assert_frame_equal(merged, whole.tail(50))
    assert manifest.extraction.span == "the last 50 rows"


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
        plan_merge(EURUSD, working_folder(tmp_path), SETTINGS)


def _typed(column: pa.Array[Any], name: str = "x") -> pa.Table:
    rows = len(column)
    return pa.table({KEY: pa.array(minutes(rows).to_list(), pa.timestamp("us", "UTC")), name: column})


def _of(value: object, kind: pa.DataType) -> Callable[[], pa.Table]:
    return lambda: _typed(pa.array([value] * 200, kind))


REFUSED: list[tuple[str, Callable[[], pa.Table], type[BqxError], str]] = [
    ("date", _of(START.date(), pa.date32()), SchemaDrift, "x date32"),
    ("decimal", _of(None, pa.decimal128(9, 2)), SchemaDrift, r"x decimal128\(9, 2\)"),
    ("duration", _of(1, pa.duration("us")), SchemaDrift, "x duration"),
    ("time", _of(1, pa.time64("us")), SchemaDrift, "x time64"),
    ("struct", _of({"a": 1}, pa.struct([("a", pa.int64())])), SchemaDrift, "x struct"),
    ("binary", _of(b"a", pa.binary()), SchemaDrift, "x binary"),
    ("uint64", _of(2**64 - 1, pa.uint64()), InexactValue, "x UINT64: 200 values"),
    ("year 36 million", _of(2**60, pa.timestamp("ms", "UTC")), InexactValue, "x timestamps.ms.: 200 values"),
    ("nanoseconds", _of(900, pa.timestamp("ns")), InexactValue, "x nanoseconds: 200 values"),
    ("pair of numbers", lambda: _typed(pa.array([1] * 200), "pair"), SchemaDrift, "pair int64"),
    ("pair of bytes", lambda: _typed(pa.array([b"eurusd"] * 200), "pair"), SchemaDrift, "pair binary"),
    ("pair of nothing", lambda: _typed(pa.nulls(200), "pair"), SchemaDrift, "pair null"),
    ("pair unknown", lambda: _typed(pa.array(["eurusd", None] * 100), "pair"), NullKeys, "100 rows without pair"),
    ("other pair", lambda: _typed(pa.array(["EUR/USD"] * 200), "pair"), EmptyTable, "200 rows of 'EUR/USD'"),
    ("PAIR", lambda: _typed(pa.array(["eurusd"] * 200), "PAIR"), SchemaDrift, "column PAIR, expected pair"),
    ("no name", lambda: _typed(pa.array([1.0] * 200), ""), BadSetting, "column of eurusd/foo: ''"),
    ("control", lambda: _typed(pa.array([1.0] * 200), "a\x1b"), BadSetting, r"column of eurusd/foo: 'a\\x1b'"),
    ("too long", lambda: _typed(pa.array([1.0] * 200), "a" * 298), BadSetting, "column of eurusd/foo: 303 characters"),
    ("twice", lambda: _typed(pa.array([1.0] * 200)).append_column("x", [[2.0] * 200]), ColumnCollision, "x from foo"),
    ("case", lambda: _typed(pa.array([1.0] * 200), "Mean").append_column("mean", [[2.0] * 200]), ColumnCollision,
     "Mean, mean from foo"),
]  # fmt: skip


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_what_a_training_file_cannot_hold_is_refused_by_file_column_and_type(
    tmp_path: Path, case: tuple[str, Callable[[], pa.Table], type[BqxError], str]
) -> None:
    _, made, error, match = case
    pq.write_table(made(), tmp_path / "raw" / "foo.parquet")
    with pytest.raises(error, match=match) as raised:
        _merge(tmp_path)
    assert "eurusd/foo" in str(raised.value)


@pytest.mark.usefixtures("frames")
def test_a_128_bit_number_is_refused_by_its_column(tmp_path: Path) -> None:
    frame = pl.DataFrame([minutes(200), pl.Series("big", [1] * 200, dtype=pl.Int128)])
    frame.write_parquet(tmp_path / "raw" / "foo.parquet")
    with pytest.raises(SchemaDrift, match=r"eurusd/foo: big Int128"):
        _merge(tmp_path)


@pytest.mark.usefixtures("frames")
def test_a_column_name_that_is_not_utf_8_is_refused_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "foo.parquet"
    pq.write_table(_typed(pa.array([1.0] * 200), "abcdefgh"), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abc\xff\xfegh\x01"))
    with pytest.raises(SchemaDrift, match=r"eurusd/foo: a column named b'abc\\xff"):
        _merge(tmp_path)


@pytest.mark.usefixtures("frames")
def test_tables_that_differ_by_case_alone_collide(tmp_path: Path) -> None:
    for name, column in (("Foo", "a"), ("foo", "b")):
        pq.write_table(_typed(pa.array([1.0] * 200), column), tmp_path / "raw" / f"{name}.parquet")
    with pytest.raises(ColumnCollision, match="tables Foo, foo"):
        _merge(tmp_path)


@pytest.mark.parametrize("dtype", [pl.String, pl.Boolean, pl.Decimal(20, 6)])
def test_targets_that_are_no_numbers_are_refused_by_column(
    tmp_path: Path, frames: dict[str, pl.DataFrame], dtype: pl.DataType
) -> None:
    first = pl.lit(value=True) if dtype == pl.Boolean else pl.col("target_bqx45_h15").cast(dtype)
    write_raw(tmp_path / "raw", "targets", frames["targets"].with_columns(first.alias("target_bqx45_h15")))
    with pytest.raises(SchemaDrift, match="eurusd/targets: target_bqx45_h15 "):
        _merge(tmp_path)


def test_moments_of_96_bits_as_key_and_as_feature_are_those_written(
    tmp_path: Path, frames: dict[str, pl.DataFrame]
) -> None:
    late = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    table = pa.table({KEY: frames["agg_eurusd"][KEY].to_arrow(), "at": [START, late] * 100, "x": range(200)})
    pq.write_table(table, tmp_path / "raw" / "foo.parquet", use_deprecated_int96_timestamps=True, store_schema=False)
    merged, _, _ = _merge(tmp_path)
    assert merged["foo__at"].to_list() == [START, late] * 100
    assert merged["foo__x"].to_list() == list(range(200))


def _bytes_name(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


NOT_TABLES: list[tuple[str, Callable[[Path], object], str]] = [
    ("named pipe", lambda raw: os.mkfifo(raw / "z.parquet"), "z.parquet .a named pipe"),
    ("folder", lambda raw: (raw / "z.parquet").mkdir(), "z.parquet .a folder"),
    ("link to nothing", lambda raw: (raw / "z.parquet").symlink_to("nowhere"), "z.parquet .a link to nothing"),
    ("loop", lambda raw: (raw / "z.parquet").symlink_to("z.parquet"), "z.parquet .*symbolic links"),
    ("capitals", lambda raw: (raw / "z.PARQUET").touch(), "z.PARQUET .its name does not end in .parquet"),
    ("packed", lambda raw: (raw / "z.parquet.gz").touch(), "z.parquet.gz .its name does not end in .parquet"),
    ("dash", lambda raw: (raw / "a-z.parquet").touch(), "a-z.parquet .its name is no table's name"),
    ("not UTF-8", lambda raw: _bytes_name(raw, b"z\xff.parquet").touch(), r"'z\\udcff.parquet' .its name is no"),
    ("control", lambda raw: (raw / "z\x1b[31m.parquet").touch(), r"'z\\x1b\[31m.parquet' .its name is no"),
    ("pipe as targets", lambda raw: ((raw / "targets.parquet").unlink(), os.mkfifo(raw / "targets.parquet")),
     "targets.parquet .a named pipe"),
]  # fmt: skip


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize("case", NOT_TABLES, ids=[case[0] for case in NOT_TABLES])
def test_an_entry_named_like_a_table_that_is_none_is_refused_by_name(
    tmp_path: Path, case: tuple[str, Callable[[Path], object], str]
) -> None:
    _, make, match = case
    make(tmp_path / "raw")
    with pytest.raises(MergeRefused, match=match):
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)


@pytest.mark.usefixtures("frames")
def test_what_else_lies_in_the_folder_is_said_to_be_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "sub").mkdir()
    for name in ("_SUCCESS", ".hidden.parquet", "note\n.txt"):
        (raw / name).touch()
    assert plan_merge(EURUSD, working_folder(raw), SETTINGS).left_out == (
        ".hidden.parquet",
        "_SUCCESS",
        "'note\\n.txt'",
        "sub",
    )


@pytest.mark.usefixtures("frames")
def test_a_table_that_needs_more_memory_than_there_is_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "memory_free_bytes", lambda: 1 << 16)
    with pytest.raises(NotEnoughMemory, match=r"eurusd/targets: .* Give the container more memory\.$"):
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)


@pytest.mark.parametrize("in_order", [True, False])
def test_long_texts_that_repeat_are_merged_in_the_memory_of_their_dictionary(tmp_path: Path, *, in_order: bool) -> None:
    for stem in raw_folder(tmp_path / "raw", rows=20_000).keys() - {"targets"}:
        (tmp_path / "raw" / f"{stem}.parquet").unlink()
    keys = minutes(20_000)
    texts = pl.Series([letter * 3_000 for letter in "abcde"] * 4_000)  # 60 MB a column as plain texts
    table = pl.DataFrame([keys, *(texts.alias(f"s{number}") for number in range(8))])
    write_raw(tmp_path / "raw", "foo", table if in_order else table.reverse())
    with PeakMemory() as memory:
        before = memory.peak_bytes
        _, _, told = _merge(tmp_path)
    assert ("foo", "as it lies" if in_order else "aligned") in told.steps
    assert memory.peak_bytes - before < 300 << 20


@pytest.mark.parametrize("parts", [(200, 0), (0, 200), (90, 0, 110), (0, 0, 200)])
@pytest.mark.usefixtures("frames")
def test_a_row_group_without_rows_is_read(tmp_path: Path, parts: tuple[int, ...]) -> None:
    whole = _typed(pa.array(range(200)))
    with pq.ParquetWriter(tmp_path / "raw" / "foo.parquet", whole.schema) as writer:
        for number, rows in enumerate(parts):
            writer.write_table(whole.slice(sum(parts[:number]), rows))
    assert _merge(tmp_path)[0]["foo__x"].to_list() == list(range(200))


@pytest.mark.usefixtures("frames")
def test_an_earlier_training_file_among_the_checkpoints_is_no_table_and_may_be_replaced(tmp_path: Path) -> None:
    output = tmp_path / "raw" / "training_eurusd.parquet"
    first = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS), *StoredFile.at(output), progress=Told()
    )
    plan = plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)
    assert plan.left_out == ("training_eurusd.manifest.json", "training_eurusd.parquet (a training file)")
    assert merge(plan, *StoredFile.at(output), progress=Told()).file.columns == first.file.columns


@pytest.mark.parametrize("name", ["targets.parquet", "agg_eurusd.parquet"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_merge_never_writes_over_a_checkpoint_it_is_made_of(
    tmp_path: Path, frames: dict[str, pl.DataFrame], name: str, *, linked: bool
) -> None:
    assert Path(name).stem in frames
    output = source = tmp_path / "raw" / name
    before = source.read_bytes()
    if linked:
        output = tmp_path / "out.parquet"
        output.symlink_to(source)
    with pytest.raises(BadSetting, match="one of the checkpoints"):
        merge(plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS), *StoredFile.at(output), progress=Told())
    assert source.read_bytes() == before


def test_a_table_that_the_users_know_to_be_empty_is_kept_without_a_row(
    tmp_path: Path, frames: dict[str, pl.DataFrame]
) -> None:
    """The keys of two ETF tables were damaged when they were copied: they are of 1970."""
    rows = frames["targets"].height if "targets" in frames else 200
    table = pl.DataFrame([minutes(rows, datetime(1970, 1, 1, tzinfo=UTC)), pl.Series("corr_30min", [0.5] * rows)])
    write_raw(tmp_path / "raw", "corr_etf_idx_eurusd_ewa", table)
    for engine in ("splice", "join"):
        merged, manifest, _ = _merge(tmp_path, engine)
        assert merged.get_column("corr_etf_idx_ewa__corr_30min").null_count() == merged.height
        slab = next(each for each in manifest.extraction.features() if each.table == "corr_etf_idx_eurusd_ewa")
        assert (slab.provenance.rows.matched, slab.provenance.rows.extra) == (0, rows)
