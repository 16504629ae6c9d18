"""Publication to a bucket is as atomic as to a folder, under races and faults."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import ChecksumMismatch, ObjectMissing, PreconditionFailed, StoreError
from bqx_assets.base.frame_files import scan_parquet
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.base.store.staging_names import merged_name
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs, slabs_prefix
from bqx_assets.merge.engine import merge
from bqx_assets.merge.slab_parts import plan_slabs
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.lifecycle import init_store
from bqx_assets.release.publish import Published, publish
from bqx_assets.release.retention import sweep
from bqx_assets_tests.frames import EURUSD, frame_job, frame_warehouse
from bqx_assets_tests.release.training import report, stored, training
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

NAME = "training_eurusd.parquet"
OLD, NEW, OTHER = b"old bytes", b"new and longer bytes", b"the other run's bytes"
OPERATIONS = ("object.get", "object.insert", "object.compose", "object.delete", "object.media")
CALLS = 30
"""More requests than a publication makes: the last cases prove that every one was failed once."""


def _publish(folder: Path, data: bytes, store: GcsObjectStore) -> Published:
    return publish(*stored(folder, data), store, progress=Silent())


def _merged(folder: Path, data: bytes, store: GcsObjectStore) -> Published:
    file, manifest, verdicts = training(folder, data)
    store.put_bytes(merged_name(EURUSD), data)
    file.unlink()  # there is none in the container
    return publish(StoredFile(store, merged_name(EURUSD)), manifest, verdicts, store, progress=Silent())


Way = Callable[[Path, bytes, GcsObjectStore], Published]


def _whole(store: GcsObjectStore) -> bytes:
    """Return the published bytes, after comparing them with the store's checksum."""
    info, data = store.head(NAME), store.read(NAME)
    assert info is not None
    assert info.crc32c == crc32c(data)
    return data


def test_the_published_object_has_manifest_and_report_and_nothing_is_left_in_staging(
    gcs_store: GcsObjectStore, tmp_path: Path
) -> None:
    file, manifest, verdicts = training(tmp_path, NEW)
    published = publish(StoredFile.at(file), manifest, verdicts, gcs_store, progress=Silent())
    assert published.uri == f"gs://{BUCKET}/{NAME}"
    assert _whole(gcs_store) == NEW
    assert Manifest.model_validate_json(gcs_store.read("training_eurusd.manifest.json")) == manifest
    assert not list(gcs_store.list_objects(STAGING))


def test_replacing_keeps_the_earlier_one_as_a_version_and_the_same_again_writes_nothing(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path
) -> None:
    init_store(gcs_store, staging_days=7, keep_versions=3)
    first = _publish(tmp_path, OLD, gcs_store)
    second = _publish(tmp_path, NEW, gcs_store)
    assert second.replaced_generation == first.generation
    assert [each.data for each in gcs.buckets[BUCKET].listing(NAME, versions=True)] == [OLD, NEW]
    gcs.log.clear()
    assert _publish(tmp_path, NEW, gcs_store).already_there
    assert gcs.log.count().keys() == {"object.get", "object.media"}


def test_a_composed_file_is_published_without_a_byte_of_it(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path
) -> None:
    published = _merged(tmp_path, NEW * 1_000_000, gcs_store)
    assert not published.already_there
    assert _whole(gcs_store) == NEW * 1_000_000
    gcs.log.clear()
    assert _merged(tmp_path, OLD * 1_000_000, gcs_store).replaced_generation == published.generation
    media = [name for name, _, _ in gcs.log.ranges]
    assert NAME not in media
    assert merged_name(EURUSD) not in media
    assert [info.name for info in gcs_store.list_objects(STAGING)] == [merged_name(EURUSD)]


def test_a_file_of_a_bucket_is_published_to_a_folder(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    _, manifest, verdicts = training(tmp_path, NEW)
    gcs_store.put_bytes(merged_name(EURUSD), NEW)
    folder = LocalObjectStore(tmp_path / "published")
    publish(StoredFile(gcs_store, merged_name(EURUSD)), manifest, verdicts, folder, progress=Silent())
    assert folder.read(NAME) == NEW
    assert not list(folder.list_objects(STAGING))


def test_a_composed_file_that_is_not_the_manifests_is_refused(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    _, manifest, verdicts = training(tmp_path, NEW)
    with pytest.raises(ObjectMissing, match="no such file"):
        publish(StoredFile(gcs_store, merged_name(EURUSD)), manifest, verdicts, gcs_store, progress=Silent())
    gcs_store.put_bytes(merged_name(EURUSD), NEW[::-1])
    with pytest.raises(ChecksumMismatch):
        publish(StoredFile(gcs_store, merged_name(EURUSD)), manifest, verdicts, gcs_store, progress=Silent())
    assert gcs_store.head(NAME) is None


@pytest.mark.parametrize("earlier", [None, OLD], ids=["first publication", "replacing"])
@pytest.mark.parametrize("number", [0, 1], ids=["while staging", "while swapping"])
def test_of_two_racing_publications_one_wins_and_the_other_says_so(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, earlier: bytes | None, number: int
) -> None:
    if earlier is not None:
        _publish(tmp_path, earlier, gcs_store)
    gcs.fail(
        ("object.insert", "object.compose")[number],
        "hook",
        hook=lambda: _publish(tmp_path / "other", OTHER, gcs_store),
    )
    with pytest.raises(PreconditionFailed, match="another run published eurusd meanwhile"):
        _publish(tmp_path, NEW, gcs_store)
    assert _whole(gcs_store) == OTHER
    manifest = Manifest.model_validate_json(gcs_store.read("training_eurusd.manifest.json"))
    assert manifest.file.crc32c == crc32c(OTHER)


def test_of_many_publications_at_once_at_least_one_wins_and_what_is_there_is_whole(
    gcs_store: GcsObjectStore, tmp_path: Path
) -> None:
    def run(number: int) -> Published | Exception:
        try:
            return _publish(tmp_path / f"{number}", b"run %d" % number * 1_000, gcs_store)
        except PreconditionFailed as error:
            return error

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(run, range(6)))
    won = [each for each in outcomes if isinstance(each, Published)]
    assert won
    data = _whole(gcs_store)
    # The last that took the name is there; who lost it between swap and manifest says so as well.
    assert data in {b"run %d" % number * 1_000 for number in range(6)}
    assert crc32c(data) == max(won, key=lambda each: int(each.generation)).crc32c or len(won) < len(outcomes)


@pytest.mark.parametrize("way", [_publish, _merged], ids=["file", "composed"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whichever_request_is_refused_the_published_file_is_whole_and_a_rerun_finishes(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, operation: str, way: Way
) -> None:
    failed = 0
    for skip in range(CALLS):
        gcs.reset()
        gcs.bucket(BUCKET)
        _publish(tmp_path, OLD, gcs_store)
        gcs.fail(operation, status=403, skip=skip)
        try:
            way(tmp_path, NEW, gcs_store)
        except StoreError:
            failed += 1
            assert _whole(gcs_store) in {OLD, NEW}
            way(tmp_path, NEW, gcs_store)
        else:
            break
        assert _whole(gcs_store) == NEW
    assert failed or operation == "object.delete"  # a staged copy that stays is a warning
    assert failed < CALLS - 1


def test_transient_faults_of_every_request_are_not_seen(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path
) -> None:
    _publish(tmp_path, OLD, gcs_store)
    for operation in OPERATIONS:
        for skip, after in ((0, False), (1, True), (2, False)):
            gcs.fail(operation, "status", skip=skip, after=after)
            gcs.fail(operation, "reset", skip=skip, after=after)
    assert _publish(tmp_path, NEW, gcs_store).crc32c == crc32c(NEW)
    assert _whole(gcs_store) == NEW


def test_the_sweep_removes_old_staged_objects_of_a_bucket_too(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path
) -> None:
    _publish(tmp_path, NEW, gcs_store)
    gcs_store.put_bytes("staging/footers/eurusd-00000000000000aa", b"1")
    gcs.buckets[BUCKET].age(8)
    gcs_store.put_bytes("staging/footers/eurusd-00000000000000bb", b"1")
    assert sweep(gcs_store, staging_days=7).names == ("staging/footers/eurusd-00000000000000aa",)
    assert _whole(gcs_store) == NEW


def test_a_pair_goes_from_the_warehouse_to_a_published_file_that_polars_reads_and_no_file_is_kept(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    warehouse = frame_warehouse()
    extract_pair(frame_job(Slabs(gcs_store, slabs_prefix(EURUSD)), warehouse))
    manifest = merge(
        plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD)), gcs_store, merged_name(EURUSD), progress=Silent()
    )
    verdicts = report(Path(NAME), rows=manifest.file.rows).model_copy(update={"columns": manifest.file.columns})
    gcs.log.clear()
    published = publish(StoredFile(gcs_store, merged_name(EURUSD)), manifest, verdicts, gcs_store, progress=Silent())
    assert not [name for name, _, _ in gcs.log.ranges if name.endswith(".parquet")]
    assert not list(tmp_path.iterdir())
    scan = scan_parquet(published.uri)
    table = warehouse.frames[FEATURES_DATASET, "mkt_vol"]
    name = table.columns[-1]
    read = scan.select(KEY, f"mkt_vol__{name}").collect()
    assert read.rename({f"mkt_vol__{name}": name}).equals(table.select(KEY, name))
    assert scan.collect().shape == (manifest.file.rows, manifest.file.columns)
