"""A fetched file is whole and verified or not there at all, and is what models are trained on from then on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from bqx_assets.base.errors import (
    CheckpointCorrupt,
    ChecksumMismatch,
    NotEnoughDisk,
    OtherData,
    StoreError,
    SystemRefused,
)
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.training import cache
from bqx_assets.training.cache import Fetched, fetch
from bqx_assets.training.load import load_training, training_columns, training_manifest
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.training.published import Merged, merged_pair

EURUSD = parse_pair("eurusd")
NAME = "training_eurusd.parquet"


def _fetch(home: Path, source: Path | str, pin: str | None = None) -> Fetched:
    return fetch(EURUSD, Settings(home=home), Silent(), source=source, pin=pin)


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_a_copy_has_manifest_and_dictionary_beside_it_and_a_second_call_copies_nothing(
    folder: Path, eurusd: Merged, tmp_path: Path
) -> None:
    done = _fetch(tmp_path, folder)
    assert done.path == tmp_path / "cache" / (eurusd.manifest.file.content_digest or "") / NAME
    assert done.path.read_bytes() == (folder / NAME).read_bytes()
    assert _files(tmp_path) == ["training_eurusd.columns.parquet", "training_eurusd.manifest.json", NAME]
    done.path.unlink()  # to make room
    assert not _fetch(tmp_path, folder).was_there
    before = done.path.stat().st_ino
    again = _fetch(tmp_path, folder)
    assert again.was_there
    assert again.path.stat().st_ino == before
    assert _fetch(tmp_path, tmp_path / "gone", done.digest).was_there
    assert load_training("eurusd", source=done.path).collect().equals(load_training("eurusd", source=folder).collect())


def test_what_is_in_the_cache_is_read_there_even_if_the_bucket_has_moved_on(
    gcs: GcsServer, gcs_store: GcsObjectStore, eurusd: Merged, tmp_path: Path
) -> None:
    eurusd.publish(gcs_store)
    place, settings = f"gs://{BUCKET}", Settings(home=tmp_path)
    digest = _fetch(tmp_path, place).digest
    rows = load_training("eurusd", (45, 15), source=place, settings=settings)
    gcs.log.clear()
    first = rows.collect()
    assert not gcs.log.ranges
    merged_pair(tmp_path, EURUSD, shift=1).publish(gcs_store)
    assert training_manifest("eurusd", source=place, settings=settings).file.content_digest != digest
    kept = load_training("eurusd", (45, 15), source=place, settings=settings, pin=digest)
    assert kept.collect().equals(first)
    with pytest.raises(OtherData):
        load_training("eurusd", source=place, settings=Settings(home=tmp_path / "other"), pin=digest)


def test_of_calls_at_once_one_copies_and_all_find_the_same_file(folder: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = [each.result() for each in [pool.submit(_fetch, tmp_path, folder) for _ in range(4)]]
    assert len({each.path for each in done}) == 1
    assert sorted(each.was_there for each in done) == [False, True, True, True]


def test_a_byte_that_arrives_changed_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "out")
    data = bytearray((tmp_path / "out" / NAME).read_bytes())
    data[1000] ^= 1
    (tmp_path / "out" / NAME).write_bytes(data)
    for path in (tmp_path / "out").glob(".objects"):
        shutil.rmtree(path)
    with pytest.raises(ChecksumMismatch, match="Nothing was kept"):
        _fetch(tmp_path / "home", tmp_path / "out")
    assert _files(tmp_path / "home") == []


def test_a_full_disk_is_said_before_or_while_it_fills_and_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(_: object) -> SimpleNamespace:
        return SimpleNamespace(free=1000)

    with monkeypatch.context() as patched:
        patched.setattr(cache.shutil, "disk_usage", nearly_full)
        with pytest.raises(NotEnoughDisk, match="--to"):
            _fetch(tmp_path, folder)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.os, "pwrite", full)
    with pytest.raises(SystemRefused, match="room on the disk"):
        _fetch(tmp_path, folder)
    assert _files(tmp_path) == []
    monkeypatch.undo()
    assert not _fetch(tmp_path, folder).was_there


def test_a_copy_that_was_cut_short_later_is_refused(folder: Path, tmp_path: Path) -> None:
    done = _fetch(tmp_path, folder)
    os.truncate(done.path, done.size_bytes - 1)
    with pytest.raises(ChecksumMismatch):
        load_training("eurusd", settings=Settings(home=tmp_path), pin=done.digest)


def test_a_bucket_that_fails_midway_leaves_nothing_behind(
    gcs: GcsServer, gcs_store: GcsObjectStore, eurusd: Merged, tmp_path: Path
) -> None:
    eurusd.publish(gcs_store)
    gcs.fail("object.media", status=403, reason="forbidden", name=NAME, times=100, skip=1)
    with pytest.raises(StoreError):
        _fetch(tmp_path, f"gs://{BUCKET}")
    assert _files(tmp_path) == []


def test_a_copy_of_an_old_publication_is_kept_without_a_dictionary(eurusd: Merged, tmp_path: Path) -> None:
    eurusd.publish(LocalObjectStore(tmp_path / "out"), dictionary=False)
    done = _fetch(tmp_path, tmp_path / "out")
    assert _files(done.path.parent) == ["training_eurusd.manifest.json", NAME]


@pytest.mark.parametrize("pinned", [True, False])
def test_a_copy_that_was_damaged_later_is_copied_again(folder: Path, tmp_path: Path, *, pinned: bool) -> None:
    done = _fetch(tmp_path, folder)
    whole = done.path.read_bytes()
    other = folder / "training_gbpusd.columns.parquet"
    for harm in (
        lambda: done.path.write_bytes(whole[:5_000] + bytes([whole[5_000] ^ 1]) + whole[5_001:]),
        lambda: done.path.write_bytes(whole[:-9]),
        lambda: shutil.copy(other, done.path.with_name("training_eurusd.columns.parquet")),
        lambda: done.path.with_name("training_eurusd.manifest.json").unlink(),
    ):
        harm()
        assert not _fetch(tmp_path, folder, done.digest if pinned else None).was_there
        assert done.path.read_bytes() == whole
        assert load_training("eurusd", pin=done.digest, settings=Settings(home=tmp_path)).collect().height
        assert _fetch(tmp_path, folder, done.digest if pinned else None).was_there


def test_a_file_with_the_dictionary_of_another_is_not_kept(folder: Path, tmp_path: Path) -> None:
    copies = shutil.copytree(folder, tmp_path / "copies", copy_function=shutil.copyfile)
    shutil.copy(copies / "training_gbpusd.columns.parquet", copies / "training_eurusd.columns.parquet")
    with pytest.raises(CheckpointCorrupt, match="the dictionary of"):
        _fetch(tmp_path / "home", copies)
    assert _files(tmp_path / "home") == []


_SLOW = """
import sys, time
from pathlib import Path
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.training import cache
write = cache.os.pwrite
def slowly(handle, data, start):
    write(handle, data[:10], start)
    time.sleep(600)
cache.os.pwrite = slowly
cache.fetch(parse_pair("eurusd"), Settings(home=Path(sys.argv[1])), Silent(), source=sys.argv[2])
"""
"""A process that copies for ten minutes."""


def test_a_part_belongs_to_who_copies_until_that_process_is_dead(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    other = parse_pair("gbpusd")
    with subprocess.Popen([sys.executable, "-c", _SLOW, str(tmp_path), str(folder)]) as slow:
        try:
            while not (parts := [path for path in root.glob(".*partial*/*.parquet") if path.stat().st_size]):
                time.sleep(0.05)
                assert slow.poll() is None
            # As a process of another machine is seen: its number is not one of this machine.
            assert not fetch(other, Settings(home=tmp_path), Silent(), source=folder).was_there
            assert parts[0].exists()
        finally:
            slow.kill()
    shutil.rmtree(next(root.glob("[0-9a-f]*")))
    assert not fetch(other, Settings(home=tmp_path), Silent(), source=folder).was_there
    assert not parts[0].parent.exists()
    assert not _fetch(tmp_path, folder).was_there
    assert (
        load_training("eurusd", source=folder)
        .collect()
        .equals(load_training("eurusd", settings=Settings(home=tmp_path), pin=_digest(folder)).collect())
    )


def _digest(source: Path | str) -> str:
    return training_manifest("eurusd", source=source).file.content_digest or ""


def test_an_earlier_version_is_refused_by_its_pin_until_it_is_restored(
    gcs: GcsServer, gcs_store: GcsObjectStore, eurusd: Merged, tmp_path: Path
) -> None:
    """In a bucket that keeps versions; the object's own metadata lead to its manifest and dictionary."""
    place, settings = f"gs://{BUCKET}", Settings(home=tmp_path)
    gcs.buckets[BUCKET].settings["versioning"] = {"enabled": True}
    eurusd.publish(gcs_store)
    first = gcs_store.head(NAME)
    assert first is not None
    digest, rows = _digest(place), load_training("eurusd", source=place).collect()
    merged_pair(tmp_path / "other", EURUSD, shift=1).publish(gcs_store)
    for pin in (digest, int(first.version)):
        with pytest.raises(OtherData, match="copy the earlier version back"):
            load_training("eurusd", source=place, pin=pin)
        with pytest.raises(OtherData):
            fetch(EURUSD, settings, Silent(), source=place, pin=pin)
    assert _files(tmp_path / "cache") == []
    now = gcs_store.head(NAME)
    (earlier,) = [each for each in gcs_store.earlier(NAME) if each.version == first.version]
    assert now is not None
    data = gcs.buckets[BUCKET].find(NAME, int(first.version)).data
    gcs_store.put_bytes(NAME, data, metadata=earlier.metadata, only_if=now.version)
    assert load_training("eurusd", source=place, pin=digest).collect().equals(rows)
    done = fetch(EURUSD, settings, Silent(), source=place, pin=digest)
    assert training_columns("eurusd", settings=settings, pin=digest).equals(training_columns("eurusd", source=place))
    assert done.digest == digest
