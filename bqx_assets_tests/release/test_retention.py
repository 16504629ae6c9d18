"""Removal: staging by age, slabs after a verified publication, and never a published or validated file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bqx_assets.base.artifacts import EXTRACTION_FILE
from bqx_assets.base.errors import CheckpointMismatch, ChecksumMismatch
from bqx_assets.base.objects.local import LocalObjectStore
from bqx_assets.base.objects.protocol import ObjectInfo
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.extract.slabs import SlabFolder
from bqx_assets.release.publish import publish
from bqx_assets.release.retention import clean_checkpoints, sweep
from bqx_assets_tests.release.training import extraction, slab, training

EURUSD = parse_pair("eurusd")
SLABS = {"targets_eurusd": b"spine", "mkt_vol": b"volatility", "agg_eurusd": b"aggregates"}


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


def _checkpoints(folder: Path) -> list[str]:
    records = [
        slab(table, data, "spine" if table.startswith("targets") else "feature") for table, data in SLABS.items()
    ]
    folder.mkdir()
    for record in records:
        (folder / record.object_name).write_bytes(SLABS[record.table])
        record.save(folder / f"{record.table}.slab.json")
    extraction(records).save(folder / EXTRACTION_FILE)
    return [record.object_name for record in records]


def _publish_of(tmp_path: Path, store: LocalObjectStore) -> Path:
    records = [slab(table, data) for table, data in SLABS.items()]
    file, manifest, report = training(tmp_path / "training", b"all of it", slabs=records)
    publish(file, manifest, report, store, progress=Silent())
    return file


def test_staged_objects_go_when_they_are_older_than_allowed_and_nothing_else_does(store: LocalObjectStore) -> None:
    for name in ("staging/eurusd/1/a", "training_eurusd.parquet", "stagings/b"):
        store.put_bytes(name, b"12345")
    assert sweep(store, staging_days=7).names == ()
    removed = sweep(store, staging_days=7, now=datetime.now(UTC) + timedelta(days=8))
    assert (removed.names, removed.size_bytes) == (("staging/eurusd/1/a",), 5)
    assert [info.name for info in store.list_objects()] == ["stagings/b", "training_eurusd.parquet"]


def test_a_staged_object_written_again_meanwhile_stays(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("staging/a", b"1")
    seen = list(store.list_objects("staging/"))
    store.put_bytes("staging/a", b"2")

    def listed_earlier(_prefix: str) -> Iterator[ObjectInfo]:
        return iter(seen)

    monkeypatch.setattr(store, "list_objects", listed_earlier)
    assert sweep(store, staging_days=7, now=datetime.now(UTC) + timedelta(days=8)).names == ()
    assert store.read("staging/a") == b"2"


def test_published_slabs_go_and_the_training_file_stays(tmp_path: Path, store: LocalObjectStore) -> None:
    folder = tmp_path / "eurusd"
    names = _checkpoints(folder)
    (folder / "mine.txt").write_text("not the pipeline's")
    file = _publish_of(tmp_path, store)
    removed = clean_checkpoints(EURUSD, SlabFolder(folder), store)
    assert removed.names == tuple(names)
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["mine.txt"]
    assert file.read_bytes() == store.read("training_eurusd.parquet") == b"all of it"


def test_without_a_published_file_no_slab_goes(tmp_path: Path, store: LocalObjectStore) -> None:
    names = _checkpoints(tmp_path / "eurusd")
    with pytest.raises(ChecksumMismatch, match="No checkpoint was deleted"):
        clean_checkpoints(EURUSD, SlabFolder(tmp_path / "eurusd"), store)
    assert all((tmp_path / "eurusd" / name).is_file() for name in names)


def test_with_a_damaged_published_file_no_slab_goes(tmp_path: Path, store: LocalObjectStore) -> None:
    names = _checkpoints(tmp_path / "eurusd")
    _publish_of(tmp_path, store)
    store.path("training_eurusd.parquet").write_bytes(b"all of iT")
    with pytest.raises(ChecksumMismatch, match="No checkpoint was deleted"):
        clean_checkpoints(EURUSD, SlabFolder(tmp_path / "eurusd"), store)
    assert all((tmp_path / "eurusd" / name).is_file() for name in names)


def test_with_a_slab_newer_than_the_published_file_no_slab_goes(tmp_path: Path, store: LocalObjectStore) -> None:
    names = _checkpoints(tmp_path / "eurusd")
    _publish_of(tmp_path, store)
    (tmp_path / "eurusd" / "agg_eurusd.parquet").write_bytes(b"AGGREGATES")
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd: another slab than the published one"):
        clean_checkpoints(EURUSD, SlabFolder(tmp_path / "eurusd"), store)
    assert all((tmp_path / "eurusd" / name).is_file() for name in names)


def test_the_store_keeps_as_many_earlier_versions_as_asked(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store", keep_versions=2)
    for number in range(5):
        publish(*training(tmp_path, b"version %d" % number), store, progress=Silent())
    kept = [path.read_bytes() for path in store.versions("training_eurusd.parquet")]
    assert kept == [b"version 2", b"version 3"]
    assert store.read("training_eurusd.parquet") == b"version 4"
