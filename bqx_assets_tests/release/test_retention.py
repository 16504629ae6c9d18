"""Staged objects are removed by age, slabs after a verified publication, and published or validated files never."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest

from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord, SlabRecord
from bqx_assets.base.errors import CheckpointMismatch, ChecksumMismatch
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.store import staging_names
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectInfo
from bqx_assets.extract.slab_records import TableRecord
from bqx_assets.extract.slabs import Slabs
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release import retention
from bqx_assets.release.publish import publish
from bqx_assets.release.retention import clean_checkpoints, sweep
from bqx_assets_tests.release.training import extraction, slab, stored, training
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

EURUSD = parse_pair("eurusd")
STAGED = "staging/releases/eurusd/0f0f0f0f-1234abcd/training_eurusd.parquet"
SLABS = {
    "targets_eurusd": (b"spine", b"of February"),
    "mkt_vol": (b"volatility", b"later"),
    "agg_eurusd": (b"aggregates", b"of another period"),
}
"""The bytes of each slab's pieces."""
NEWER = "agg_eurusd/2026-02.parquet"


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


def _checkpoints(folder: Path) -> list[str]:
    records = [
        slab(table, *data, role="spine" if table.startswith("targets") else "feature") for table, data in SLABS.items()
    ]
    for record in records:
        for piece, data in zip(record.pieces, SLABS[record.table], strict=True):
            path = folder / piece.object_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        TableRecord(table=record.table, encoding="", pieces=(), slab=record).save(folder / f"{record.table}.slab.json")
    extraction(records).save(folder / EXTRACTION_FILE)
    return [piece.object_name for record in records for piece in record.pieces]


def _earlier_checkpoints(folder: Path) -> list[str]:
    """Checkpoints of format version 1, with a file and a record for each slab."""
    folder.mkdir()
    for table, (data, _) in SLABS.items():
        (folder / f"{table}.parquet").write_bytes(data)
        (folder / f"{table}.slab.json").write_text(json.dumps(_as_earlier(slab(table, data))))
    record = json.loads(extraction().as_json()) | {"format_version": 1}
    record["slabs"] = [_as_earlier(slab(table, data)) for table, (data, _) in SLABS.items()]
    (folder / EXTRACTION_FILE).write_text(json.dumps(record))
    return [f"{table}.parquet" for table in SLABS]


def _as_earlier(record: SlabRecord) -> dict[str, Any]:
    facts = json.loads(record.as_json())
    (piece,) = facts.pop("pieces")
    facts["provenance"]["format_version"] = 1
    own = {name: piece[name] for name in ("size_bytes", "crc32c")}
    return facts | own | {"object_name": f"{record.table}.parquet", "sha256": None}


def _left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file())


def _publish_of(tmp_path: Path, store: LocalObjectStore, records: Sequence[SlabRecord] = ()) -> Path:
    made = records or [slab(table, *data) for table, data in SLABS.items()]
    file, manifest, report = training(tmp_path / "training", b"all of it", slabs=made)
    publish(StoredFile.at(file), manifest, report, store, progress=Silent())
    return file


def test_staged_objects_go_when_they_are_older_than_allowed_and_nothing_else_does(store: LocalObjectStore) -> None:
    for name in (STAGED, "training_eurusd.parquet", "stagings/b"):
        store.put_bytes(name, b"12345")
    assert sweep(store, staging_days=7).names == ()
    removed = sweep(store, staging_days=7, now=datetime.now(UTC) + timedelta(days=8))
    assert (removed.names, removed.size_bytes) == ((STAGED,), 5)
    assert [info.name for info in store.list_objects()] == ["stagings/b", "training_eurusd.parquet"]


def test_what_bigquery_exported_goes_by_its_name_since_it_states_no_maker(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    exported, others = (f"{staging_names.JOINS}eurusd/{name}.parquet" for name in ("0-rows-000000000000", "mine"))
    for name in (exported, others):
        gcs.buckets[BUCKET].put(name, b"PAR1", {})
    assert sweep(gcs_store, staging_days=7, now=datetime.now(UTC) + timedelta(days=8)).names == (exported,)
    assert list(gcs.buckets[BUCKET].live) == [others]


@pytest.mark.parametrize("put", ["by hand", "through the store"])
@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "mymodel/weights.bin",
        "eurusd/mine.csv",
        "releases/eurusd/mine.parquet",
        "slabs/eurusd/old copy.parquet",
        "slabs/eurusd/a.csv",
        "training/eurusd/mine.parquet",
        "compose/notes",
    ],
)
def test_what_others_keep_under_staging_stays_whatever_its_age(store: LocalObjectStore, name: str, put: str) -> None:
    path = store.local_path(f"staging/{name}")
    if put == "by hand":
        path.parent.mkdir(parents=True)
        path.write_bytes(b"six months of work")
    else:  # another product on the same kind of store
        store.put_bytes(f"staging/{name}", b"six months of work")
    store.put_bytes(STAGED, b"ours")
    removed = sweep(store, staging_days=7, now=datetime.now(UTC) + timedelta(days=400))
    assert removed.names == (STAGED,)
    assert path.read_bytes() == b"six months of work"


def test_slabs_stay_whatever_their_age_since_a_refresh_needs_the_oldest_pieces(store: LocalObjectStore) -> None:
    kept = [f"staging/slabs/eurusd/agg_eurusd{end}" for end in ("/2024-Q1.parquet", ".slab.json", ".parquet")]
    for name in kept:
        store.put_bytes(name, b"1")
    assert sweep(store, staging_days=7, now=datetime.now(UTC) + timedelta(days=400)).names == ()
    assert {info.name for info in store.list_objects()} == set(kept)


def test_a_name_of_ours_that_somebody_else_wrote_stays(store: LocalObjectStore) -> None:
    path = store.local_path("staging/training/eurusd/training_eurusd.parquet")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a copy made by hand")
    assert sweep(store, staging_days=7, now=datetime.now(UTC) + timedelta(days=400)).names == ()
    assert path.is_file()


def test_age_is_by_the_stores_clock(gcs_store: GcsObjectStore, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    gcs_store.put_bytes(STAGED, b"ours")
    gcs_store.put_bytes("staging/notes.txt", b"written by a tool of this bucket's owner")
    gcs_store.bucket.blob("staging/slabs/eurusd/mine.parquet").upload_from_string(b"uploaded by hand")
    ahead = datetime.now(UTC) + timedelta(days=400)

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(ahead.timestamp(), tz)

    for module in (retention, staging_names):
        monkeypatch.setattr(module, "datetime", WrongClock)
    assert sweep(gcs_store, staging_days=7).names == ()
    assert sorted(gcs.buckets[BUCKET].live) == ["staging/notes.txt", STAGED, "staging/slabs/eurusd/mine.parquet"]
    assert sweep(gcs_store, staging_days=7, now=ahead).names == (STAGED,)
    assert sorted(gcs.buckets[BUCKET].live) == ["staging/notes.txt", "staging/slabs/eurusd/mine.parquet"]


def test_what_an_interrupted_publication_left_goes_and_its_neighbours_stay(
    tmp_path: Path, store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, manifest, report = training(tmp_path / "training", b"all of it")

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "compose", dies)
    with pytest.raises(KeyboardInterrupt):
        publish(StoredFile.at(file), manifest, report, store, progress=Silent())
    [left] = [path for path in (store.root / "staging").rglob("*") if path.is_file()]
    mine = left.with_name("mine.parquet")
    mine.write_bytes(b"mine")
    old = (datetime.now(UTC) - timedelta(days=30)).timestamp()
    for path in (left, mine):
        os.utime(path, (old, old))
    sweep(store, staging_days=7)
    assert not left.exists()
    assert mine.is_file()


def test_a_staged_object_written_again_meanwhile_stays(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes(STAGED, b"1")
    seen = list(store.list_objects("staging/"))
    store.put_bytes(STAGED, b"2")

    def listed_earlier(_prefix: str) -> Iterator[ObjectInfo]:
        return iter(seen)

    monkeypatch.setattr(store, "list_objects", listed_earlier)
    assert sweep(store, staging_days=7, now=datetime.now(UTC) + timedelta(days=8)).names == ()
    assert store.read(STAGED) == b"2"


def test_published_slabs_go_and_the_training_file_stays(tmp_path: Path, store: LocalObjectStore) -> None:
    folder = tmp_path / "eurusd"
    names = _checkpoints(folder)
    (folder / "mine.txt").write_text("not the pipeline's")
    file = _publish_of(tmp_path, store)
    removed = clean_checkpoints(EURUSD, Slabs.in_folder(folder), store)
    assert removed.names == tuple(names)
    assert removed.size_bytes == sum(len(piece) for pieces in SLABS.values() for piece in pieces)
    assert _left(folder) == ["mine.txt"]
    assert file.read_bytes() == store.read("training_eurusd.parquet") == b"all of it"


def test_published_slabs_of_an_earlier_version_go_too(tmp_path: Path, store: LocalObjectStore) -> None:
    folder = tmp_path / "eurusd"
    names = _earlier_checkpoints(folder)
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    _publish_of(tmp_path, store, record.slabs)
    assert clean_checkpoints(EURUSD, Slabs.in_folder(folder), store).names == tuple(names)
    assert _left(folder) == []


def test_a_deletion_that_was_killed_amid_a_slab_is_finished_by_the_next(
    tmp_path: Path, store: LocalObjectStore
) -> None:
    folder = tmp_path / "eurusd"
    names = _checkpoints(folder)
    _publish_of(tmp_path, store)
    (folder / NEWER).unlink()
    names.remove(NEWER)
    assert clean_checkpoints(EURUSD, Slabs.in_folder(folder), store).names == tuple(names)
    assert _left(folder) == []
    assert clean_checkpoints(EURUSD, Slabs.in_folder(folder), store).names == ()


def test_without_a_published_file_no_slab_goes(tmp_path: Path, store: LocalObjectStore) -> None:
    names = _checkpoints(tmp_path / "eurusd")
    with pytest.raises(ChecksumMismatch, match="No checkpoint was deleted"):
        clean_checkpoints(EURUSD, Slabs.in_folder(tmp_path / "eurusd"), store)
    assert all((tmp_path / "eurusd" / name).is_file() for name in names)


def test_with_a_damaged_published_file_no_slab_goes(tmp_path: Path, store: LocalObjectStore) -> None:
    names = _checkpoints(tmp_path / "eurusd")
    _publish_of(tmp_path, store)
    store.local_path("training_eurusd.parquet").write_bytes(b"all of iT")
    with pytest.raises(ChecksumMismatch, match="No checkpoint was deleted"):
        clean_checkpoints(EURUSD, Slabs.in_folder(tmp_path / "eurusd"), store)
    assert all((tmp_path / "eurusd" / name).is_file() for name in names)


@pytest.mark.parametrize("newer", [NEWER, "agg_eurusd/2026-03.parquet"], ids=["changed", "another period"])
def test_with_a_piece_newer_than_the_published_file_no_slab_goes(
    tmp_path: Path, store: LocalObjectStore, newer: str
) -> None:
    names = _checkpoints(tmp_path / "eurusd")
    _publish_of(tmp_path, store)
    (tmp_path / "eurusd" / newer).write_bytes(b"AGGREGATES")
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd: another slab than the published one"):
        clean_checkpoints(EURUSD, Slabs.in_folder(tmp_path / "eurusd"), store)
    assert all((tmp_path / "eurusd" / name).is_file() for name in names)


def test_the_store_keeps_as_many_earlier_versions_as_asked(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store", keep_versions=2)
    others = [tmp_path / "store/.versions/training_eurusd.parquet" / name for name in ("notes.txt", "1", "20240101")]
    others[0].parent.mkdir(parents=True)
    for other in others:
        other.write_text("not the store's")
    for number in range(5):
        publish(*stored(tmp_path, b"version %d" % number), store, progress=Silent())
    kept = [path.read_bytes() for path in store.versions("training_eurusd.parquet")]
    assert kept == [b"version 2", b"version 3"]
    assert store.read("training_eurusd.parquet") == b"version 4"
    assert all(other.read_text() == "not the store's" for other in others)
