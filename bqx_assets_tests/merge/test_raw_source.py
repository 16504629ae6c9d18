"""Raw checkpoints in a bucket: read by ranges of one generation, with the file and the refusals of a local folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import Manifest, load_record
from bqx_assets.base.errors import BqxError, ChecksumMismatch, FooterError, MergeRefused
from bqx_assets.base.names import KEY, table_prefix
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore, working_folder
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.raw_source import Range, RawSource
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD, frame_job, frame_warehouse, minutes
from bqx_assets_tests.merge.slabs import SETTINGS, Told, extracted, raw_folder, write_raw
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

PLACE = f"gs://{BUCKET}/eurusd_checkpoints_validated"


def users_folder(folder: Path, *, rows: int = 200) -> dict[str, pl.DataFrame]:
    """The same tables as the users' own pipeline writes them: prefixed, some rows missing, with a marker beside."""
    frames = raw_folder(folder, rows=rows)
    for stem, frame in frames.items():
        if stem == "targets":
            continue
        own = frame.drop("pair", strict=False)
        short = table_prefix(stem, EURUSD)
        prefixed = own.rename({name: f"{short}_{name}" for name in own.columns if name != KEY})
        pq.write_table(prefixed.to_arrow(), folder / f"{stem}.parquet", compression="snappy")
    (folder / "_COMPLETE").touch()
    return frames


def _upload(folder: Path, store: GcsObjectStore) -> int:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    for path in files:
        store.put_file(path.relative_to(folder).as_posix(), path)
    return sum(path.stat().st_size for path in files if path.suffix == ".parquet")


@pytest.fixture
def store(gcs: GcsServer) -> GcsObjectStore:
    """The users' folder of the bucket."""
    assert gcs.buckets
    return GcsObjectStore(
        BUCKET,
        "eurusd_checkpoints_validated/",
        policy=replace(RETRIES["cloud_storage"], first_wait_seconds=0.01, patience_seconds=10),
    )


def _merge_objects(store: GcsObjectStore, output: Path, engine: str = "splice") -> tuple[Manifest, Told]:
    told = Told()
    plan = plan_merge(EURUSD, store, SETTINGS)
    return merge(plan, *StoredFile.at(output), engine=engine, progress=told), told


def test_the_users_own_files_give_the_columns_and_values_of_an_extraction(tmp_path: Path) -> None:
    users_folder(tmp_path / "raw")
    extract_pair(frame_job(tmp_path / "slabs", frame_warehouse()))
    merge(
        plan_merge(EURUSD, working_folder(tmp_path / "slabs"), SETTINGS),
        *StoredFile.at(tmp_path / "own.parquet"),
        progress=Told(),
    )
    manifest = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS),
        *StoredFile.at(tmp_path / "users.parquet"),
        progress=Told(),
    )
    assert_frame_equal(pl.read_parquet(tmp_path / "users.parquet"), pl.read_parquet(tmp_path / "own.parquet"))
    assert "base_bqx__bqx_45" in pq.read_schema(tmp_path / "users.parquet").names
    leaks = [each.column for slab in manifest.extraction.slabs for each in slab.provenance.quarantined]
    assert "target_45" in leaks


@pytest.mark.parametrize("stem", ["base_bqx", "eurusd_base_bqx"])
def test_a_file_may_be_called_without_its_pair_or_with_it_in_front(tmp_path: Path, stem: str) -> None:
    users_folder(tmp_path / "raw")
    before = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS),
        *StoredFile.at(tmp_path / "a.parquet"),
        progress=Told(),
    )
    (tmp_path / "raw" / "base_bqx_eurusd.parquet").rename(tmp_path / "raw" / f"{stem}.parquet")
    for path in (tmp_path / "raw").iterdir():  # nothing else tells how columns are spelled
        _ = path.stem in {stem, "targets"} or path.unlink()
    merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS),
        *StoredFile.at(tmp_path / "b.parquet"),
        progress=Told(),
    )
    expected = next(slab for slab in before.extraction.slabs if slab.table == "base_bqx_eurusd").provenance.columns
    found = [name for name in pq.read_schema(tmp_path / "b.parquet").names if "__" in name]
    assert found == [column.name for column in expected]


def test_a_buckets_checkpoints_give_the_very_bytes_of_a_folders(tmp_path: Path, store: GcsObjectStore) -> None:
    frames = users_folder(tmp_path / "raw")
    agg = pl.read_parquet(tmp_path / "raw" / "agg_eurusd.parquet")
    write_raw(tmp_path / "raw", "agg_eurusd", agg.tail(150).reverse())  # to be aligned
    write_raw(tmp_path / "raw", "mkt_vol", frames["mkt_vol"])  # to be copied as it lies
    _upload(tmp_path / "raw", store)
    told = Told()
    merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS),
        *StoredFile.at(tmp_path / "folder.parquet"),
        progress=told,
    )
    manifest, of_bucket = _merge_objects(store, tmp_path / "bucket.parquet")
    assert {"aligned", "as it lies"} <= {note for _, note in told.steps}
    assert [step for step in of_bucket.steps if step[1] in {"aligned", "as it lies"}] == told.steps[:-1]
    a, b = pq.read_table(tmp_path / "folder.parquet"), pq.read_table(tmp_path / "bucket.parquet")
    assert a.equals(b)
    sources = [slab.provenance.source for slab in manifest.extraction.slabs]
    assert all(source.etag == store.head(f"{source.table}.parquet").version for source in sources)  # type: ignore[union-attr]
    records = [Manifest.load(tmp_path / f"{name}.manifest.json").extraction.slabs for name in ("folder", "bucket")]
    spans = [[[piece.sha256 for piece in slab.pieces] for slab in slabs] for slabs in records]
    assert spans[0] == spans[1]


def test_the_slow_engine_reads_a_bucket_too(tmp_path: Path, store: GcsObjectStore) -> None:
    users_folder(tmp_path / "raw")
    _upload(tmp_path / "raw", store)
    _merge_objects(store, tmp_path / "splice.parquet")
    _merge_objects(store, tmp_path / "join.parquet", "join")
    assert_frame_equal(pl.read_parquet(tmp_path / "join.parquet"), pl.read_parquet(tmp_path / "splice.parquet"))


def test_each_byte_is_asked_for_once_and_nothing_is_left_behind(
    tmp_path: Path, store: GcsObjectStore, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that is aligned is no file of this machine at any time, one that lies as it must is fetched once."""
    rows = 20_000
    raw_folder(tmp_path / "raw", rows=rows)
    wide = pl.DataFrame([minutes(rows), *(pl.Series(f"x{n}", range(rows), pl.Float64) * n for n in range(60))])
    write_raw(tmp_path / "raw", "foo", wide)
    write_raw(tmp_path / "raw", "bar", wide.reverse())
    _upload(tmp_path / "raw", store)
    gcs.log.clear()
    fetched: list[str] = []
    fetch = RawSource.fetch

    def spied(self: RawSource, scratch: Path) -> RawSource:
        fetched.append(self.table)
        return fetch(self, scratch)

    monkeypatch.setattr(RawSource, "fetch", spied)
    _merge_objects(store, tmp_path / "out" / "bucket.parquet")
    assert "foo" in fetched
    assert "bar" not in fetched
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bucket.manifest.json", "bucket.parquet"]
    for table in ("foo", "bar"):
        size_bytes = (tmp_path / "raw" / f"{table}.parquet").stat().st_size
        asked = [length for name, _, length in gcs.log.ranges if name.endswith(f"/{table}.parquet")]
        assert 0.95 * size_bytes < sum(asked) < 1.1 * size_bytes
        assert max(asked) <= 8 << 20
        assert len(asked) < 8


def test_of_a_table_to_be_aligned_no_more_is_in_memory_than_the_columns_in_work(
    tmp_path: Path, store: GcsObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 20_000
    raw_folder(tmp_path / "raw", rows=rows)
    wide = [pl.Series(f"x{n}", range(rows), pl.Float64) * (n + 0.1) for n in range(450)]  # 72 MB
    table = pl.DataFrame([minutes(rows), *wide]).reverse().to_arrow()
    pq.write_table(table, tmp_path / "foo.parquet", compression="none", use_dictionary=False)
    for path in (tmp_path / "foo.parquet", tmp_path / "raw" / "targets.parquet"):
        store.put_file(path.name, path)
    held: list[int] = []
    opened = RawSource.open

    def spied(self: RawSource, ranges: Iterable[Range] = ()) -> BinaryIO:
        wanted = list(ranges)
        held.append(sum(end - start for start, end in wanted))
        return opened(self, wanted)

    monkeypatch.setattr(RawSource, "open", spied)
    _merge_objects(store, tmp_path / "out.parquet")
    assert sum(held) > 72_000_000
    assert max(held) < 34 << 20


@pytest.mark.parametrize("skip", [2, 3])
def test_an_object_replaced_between_two_reads_is_refused(
    tmp_path: Path, store: GcsObjectStore, gcs: GcsServer, skip: int
) -> None:
    frames = users_folder(tmp_path / "raw")
    write_raw(tmp_path / "raw", "agg_eurusd", frames["agg_eurusd"].reverse())
    _upload(tmp_path / "raw", store)
    other = frames["agg_eurusd"].with_columns(source_value=pl.lit(1.0))
    write_raw(tmp_path / "raw", "agg_eurusd", other.reverse())
    replace = lambda: store.put_file("agg_eurusd.parquet", tmp_path / "raw" / "agg_eurusd.parquet")  # noqa: E731
    gcs.fail("object.media", "hook", name="agg_eurusd", skip=skip, hook=replace)
    with pytest.raises(MergeRefused, match=r"agg_eurusd.parquet: replaced or removed while it was being read"):
        _merge_objects(store, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def _cut(data: bytes) -> bytes:
    return data[:-50]


def _flipped(data: bytes) -> bytes:
    return data[:4] + bytes([data[4] ^ 255]) + data[5:]


DAMAGES: list[tuple[str, Callable[[bytes], bytes], type[BqxError], str]] = [
    ("cut short", _cut, FooterError, "eurusd/agg_eurusd"),
    ("other head", lambda data: b"XXXX" + data[4:], FooterError, "eurusd/agg_eurusd: .* without a whole footer"),
    ("empty", lambda _: b"", FooterError, "eurusd/agg_eurusd"),
    ("tiny", lambda _: b"PAR1", FooterError, "eurusd/agg_eurusd"),
    ("damaged pages", _flipped, FooterError, "eurusd/agg_eurusd: column"),
]


@pytest.mark.parametrize("case", DAMAGES, ids=[case[0] for case in DAMAGES])
def test_a_damaged_object_is_refused_as_a_damaged_file_is(
    tmp_path: Path, store: GcsObjectStore, case: tuple[str, Callable[[bytes], bytes], type[BqxError], str]
) -> None:
    _, damage, error, match = case
    users_folder(tmp_path / "raw")
    path = tmp_path / "raw" / "agg_eurusd.parquet"
    path.write_bytes(damage(path.read_bytes()))
    _upload(tmp_path / "raw", store)
    with pytest.raises(error, match=match) as of_folder:
        merge(
            plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS),
            *StoredFile.at(tmp_path / "a.parquet"),
            progress=Told(),
        )
    with pytest.raises(error, match=match) as of_bucket:
        _merge_objects(store, tmp_path / "b.parquet")
    assert str(of_bucket.value) == str(of_folder.value)


def test_bytes_that_change_on_their_way_are_refused(tmp_path: Path, store: GcsObjectStore, gcs: GcsServer) -> None:
    frames = users_folder(tmp_path / "raw", rows=2_000)
    write_raw(tmp_path / "raw", "mkt_vol", frames["mkt_vol"])
    _upload(tmp_path / "raw", store)
    gcs.fail("object.media", "corrupt", name="mkt_vol", skip=3)
    with pytest.raises((ChecksumMismatch, FooterError)):
        _merge_objects(store, tmp_path / "out.parquet")


def test_what_a_bucket_holds_besides_is_named_and_not_read(tmp_path: Path, store: GcsObjectStore) -> None:
    users_folder(tmp_path / "raw")
    summary = pl.DataFrame({"market": ["fx"], "corr": [0.5]})
    summary.write_parquet(tmp_path / "raw" / "mkt_corr_summary.parquet")
    _upload(tmp_path / "raw", store)
    store.put_bytes("older/agg_eurusd.parquet", b"x")
    for folder in ("", "older/"):  # what consoles make for a folder
        store.bucket.blob(f"{store.prefix}{folder}").upload_from_string(b"")
    plan = plan_merge(EURUSD, store, SETTINGS)
    assert plan.left_out == ("_COMPLETE", "older/", "mkt_corr_summary.parquet (a summary without interval_time)")
    local = plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)
    assert local.left_out == ("_COMPLETE", "mkt_corr_summary.parquet (a summary without interval_time)")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("agg_gbpusd", "tables of other pairs: agg_gbpusd in"),
        ("agg_GBPUSD", "tables of other pairs: agg_GBPUSD in"),
        ("cov_agg_audusd_gbpusd", "tables of other pairs: cov_agg_audusd_gbpusd in"),
        ("targets_gbpusd", "more targets: targets_gbpusd in"),
        ("targets_all_fixed", "more targets: targets_all_fixed in"),
    ],
)
def test_files_of_another_pair_are_refused_by_name(
    tmp_path: Path, store: GcsObjectStore, name: str, match: str
) -> None:
    frames = users_folder(tmp_path / "raw")
    write_raw(tmp_path / "raw", name, frames["targets" if name.startswith("targets") else "agg_eurusd"])
    _upload(tmp_path / "raw", store)
    with pytest.raises(MergeRefused, match=match):
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)
    with pytest.raises(MergeRefused, match=f"{match} {PLACE}"):
        plan_merge(EURUSD, store, SETTINGS)


def test_targets_of_another_pair_alone_are_named(tmp_path: Path) -> None:
    raw_folder(tmp_path / "raw")
    (tmp_path / "raw" / "targets.parquet").rename(tmp_path / "raw" / "targets_gbpusd.parquet")
    with pytest.raises(MergeRefused, match=r"neither targets.parquet nor .* but targets_gbpusd.parquet"):
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)


def test_slabs_of_an_extraction_in_a_bucket_are_named_with_the_way_to_merge_them(
    tmp_path: Path, store: GcsObjectStore
) -> None:
    _upload(extracted(tmp_path / "slabs"), store)
    plan = plan_merge(EURUSD, store, SETTINGS)
    with pytest.raises(MergeRefused, match="with BQX_OUTPUT and without --checkpoint-dir: bqx merge eurusd"):
        merge(plan, *StoredFile.at(tmp_path / "out.parquet"), progress=Told())
    assert not (tmp_path / "out.parquet").exists()


def test_a_folder_store_pins_generations_as_a_bucket_does(tmp_path: Path) -> None:
    users_folder(tmp_path / "raw")
    (tmp_path / "store").mkdir()
    local = LocalObjectStore(tmp_path / "store")
    for path in (tmp_path / "raw").iterdir():
        local.put_file(path.name, path)
    plan = plan_merge(EURUSD, local, SETTINGS)
    local.put_file("agg_eurusd.parquet", tmp_path / "raw" / "tmp_eurusd.parquet")
    with pytest.raises(MergeRefused, match=r"agg_eurusd.parquet: replaced"):
        merge(plan, *StoredFile.at(tmp_path / "out.parquet"), progress=Told())


def test_checkpoints_of_a_folder_are_merged_into_a_bucket_with_the_bytes_of_a_folders_file(
    tmp_path: Path, store: GcsObjectStore, gcs: GcsServer
) -> None:
    users_folder(tmp_path / "raw")
    plan = plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)
    here = merge(plan, *StoredFile.at(tmp_path / "made.parquet"), progress=Told())
    there = merge(plan, store, "made.parquet", progress=Told())
    assert store.read("made.parquet") == (tmp_path / "made.parquet").read_bytes()
    assert load_record(store, "made.manifest.json", Manifest) == there
    assert there.file == here.file
    assert {name.rpartition("/")[2] for name in gcs.buckets[BUCKET].live} == {"made.parquet", "made.manifest.json"}


def test_rows_missing_in_a_bucket_are_accounted_for(tmp_path: Path, store: GcsObjectStore) -> None:
    frames = users_folder(tmp_path / "raw")
    extra = frames["agg_eurusd"].head(7).with_columns(pl.col(KEY) - timedelta(days=9))
    write_raw(tmp_path / "raw", "agg_eurusd", pl.concat([frames["agg_eurusd"].tail(150), extra]))
    _upload(tmp_path / "raw", store)
    manifest, _ = _merge_objects(store, tmp_path / "out.parquet")
    rows = {slab.table: slab.provenance.rows for slab in manifest.extraction.slabs}["agg_eurusd"]
    assert (rows.read, rows.matched, rows.missing, rows.extra, rows.duplicates) == (157, 150, 50, 7, 0)
