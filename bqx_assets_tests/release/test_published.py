"""Interleaved publications leave one whole publication, and bytes count as verified only after they were read."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bqx_assets.base import files
from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.errors import BadSetting, ChecksumMismatch, PreconditionFailed, StoreError
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.extract.slabs import Slabs
from bqx_assets.release import published
from bqx_assets.release.lifecycle import init_store
from bqx_assets.release.publish import Published, publish
from bqx_assets.release.published import COMPANIONS, look, verify, verify_pairs
from bqx_assets.release.retention import clean_checkpoints, sweep
from bqx_assets_tests.release.interleaving import interleave
from bqx_assets_tests.release.training import FaultyStore, stored, training
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

EURUSD = parse_pair("eurusd")
NAME, MANIFEST = "training_eurusd.parquet", "training_eurusd.manifest.json"
OLD, NEW, OTHER = b"old bytes", b"new and longer bytes", b"the other run's bytes"
LATER = datetime.now(UTC) + timedelta(days=8)
SCHEDULES = st.lists(st.integers(0, 1), max_size=50)
CALLS = 25
"""More calls than a publication makes."""


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "bucket":
        made: GcsObjectStore = request.getfixturevalue("gcs_store")
        init_store(made, staging_days=7, keep_versions=3)
        return made
    return LocalObjectStore(tmp_path / "store", keep_versions=3)


@pytest.fixture
def folder(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store", keep_versions=3)


def _publish(place: Path, data: bytes, store: ObjectStore) -> Published:
    return publish(*stored(place, data), store, progress=Silent())


def _metadata(store: ObjectStore) -> Mapping[str, str]:
    info = store.head(NAME)
    return info.metadata if info else {}


def _rot(path: Path) -> None:
    """Change a byte, but neither size nor modification time."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _all_of_one(store: ObjectStore) -> bytes:
    """Assert that file, manifest, report and plain-named copies are of one publication; return the bytes."""
    found = look(store, EURUSD)
    assert found.state == "done", (found.got, found.expected)
    data = store.read(NAME)
    assert found.manifest is not None
    assert found.manifest.file.size_bytes == len(data)
    assert Manifest.model_validate_json(store.read(MANIFEST)) == found.manifest
    return data


def _one_publication_is_there(store: ObjectStore, outcomes: list[Published | StoreError]) -> None:
    winner = (NEW, OTHER).index(_all_of_one(store))
    won, other = outcomes[winner], outcomes[1 - winner]
    assert isinstance(won, Published), outcomes
    assert isinstance(other, Published | PreconditionFailed)
    assert isinstance(other, PreconditionFailed) or int(other.generation) < int(won.generation)


@given(schedule=SCHEDULES)
@example(schedule=[0] * 9 + [1] * 12 + [0] * 3)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_two_publications_interleave_in_a_folder_all_is_of_one_and_that_one_says_so(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, schedule: list[int]
) -> None:
    monkeypatch.setattr(files, "sync_file", str)  # 40 a race, and no power fails here
    root = tmp_path_factory.mktemp("race")
    store = LocalObjectStore(root / "store", keep_versions=3)
    _publish(root, OLD, store)
    _one_publication_is_there(store, interleave(root, store, (NEW, OTHER), schedule))


@pytest.mark.parametrize("steps", range(1, CALLS, 2))
def test_whenever_a_whole_publication_comes_between_all_is_of_one_in_a_bucket_too(
    gcs_store: GcsObjectStore, tmp_path: Path, steps: int
) -> None:
    outcomes = interleave(tmp_path, gcs_store, (NEW, OTHER), [0] * steps + [1] * CALLS)
    _one_publication_is_there(gcs_store, outcomes)


@pytest.mark.parametrize("turns", [(1, 2), (7, 11), (11, 7), (12, 13)])
def test_two_publications_that_stop_half_way_leave_all_of_one_in_a_bucket_too(
    gcs_store: GcsObjectStore, tmp_path: Path, turns: tuple[int, int]
) -> None:
    _publish(tmp_path, OLD, gcs_store)
    schedule = ([0] * turns[0] + [1] * turns[1]) * 2
    _one_publication_is_there(gcs_store, interleave(tmp_path, gcs_store, (NEW, OTHER), schedule))


def test_a_publication_that_died_after_its_swap_is_told_and_the_next_finishes_it(
    tmp_path: Path, store: ObjectStore
) -> None:
    _publish(tmp_path, OLD, store)
    dying = FaultyStore(store)

    def die(call: str) -> None:
        if call.startswith("put training_eurusd."):
            raise KeyboardInterrupt

    dying.listener = die
    with pytest.raises(KeyboardInterrupt):
        _publish(tmp_path, NEW, dying)
    found = look(store, EURUSD)
    assert found.state == "partial"
    assert MANIFEST in found.got
    assert found.cure.startswith("Publish again")
    finished = _publish(tmp_path, NEW, store)
    assert not finished.already_there
    assert finished.replaced_generation is None
    assert _all_of_one(store) == NEW
    assert _publish(tmp_path, NEW, store).already_there


def test_companions_nobody_names_go_by_age_those_of_kept_versions_and_of_others_stay(
    tmp_path: Path, store: ObjectStore, request: pytest.FixtureRequest
) -> None:
    for data in (OLD, NEW):
        _publish(tmp_path, data, store)
    kept = {info.name for info in store.list_objects(COMPANIONS)}
    racing = FaultyStore(store)

    def other_run(call: str) -> None:
        if call == f"compose {NAME}":
            racing.listener = lambda _: None
            _publish(tmp_path / "other", OTHER, store)

    racing.listener = other_run
    with pytest.raises(PreconditionFailed):
        _publish(tmp_path / "loser", b"what loses", racing)
    kept |= {name for name in _metadata(store).values() if name.startswith(COMPANIONS)}
    for name in ("companions/notes.txt", f"companions/eurusd/{'0' * 64}.manifest.json"):
        store.put_bytes(name, b"somebody else's")
        kept.add(name)
    assert sweep(store, staging_days=7).names == ()
    if isinstance(store, GcsObjectStore):
        gcs: GcsServer = request.getfixturevalue("gcs")
        gcs.buckets[BUCKET].age(8)
    removed = sweep(store, staging_days=7, now=LATER).names
    assert len([name for name in removed if name.startswith(COMPANIONS)]) == 2  # manifest and report
    assert {info.name for info in store.list_objects(COMPANIONS)} == kept
    assert _all_of_one(store) == OTHER


def test_a_name_in_metadata_that_is_no_companion_is_not_followed(folder: LocalObjectStore) -> None:
    folder.put_bytes(MANIFEST, b"{}")
    folder.put_bytes(NAME, OLD, metadata={"manifest": MANIFEST, "report": "../../secret"})
    found = look(folder, EURUSD)
    assert (found.state, found.got) == ("failed", f"no manifest: the object names '{MANIFEST}'")


def test_a_companion_with_other_bytes_is_found_and_mended_by_publishing_again(
    tmp_path: Path, folder: LocalObjectStore
) -> None:
    _publish(tmp_path, NEW, folder)
    name = next(info.name for info in folder.list_objects(COMPANIONS) if "manifest" in info.name)
    folder.local_path(name).write_bytes(b"{}")
    assert "holds other bytes than its name says" in look(folder, EURUSD).got
    assert not _publish(tmp_path, NEW, folder).already_there
    assert _all_of_one(folder) == NEW


def test_what_was_published_before_objects_named_anything_is_found_by_the_plain_names(
    tmp_path: Path, store: ObjectStore
) -> None:
    _, manifest, report = training(tmp_path, OLD)
    store.put_bytes(NAME, OLD)
    store.put_bytes(MANIFEST, manifest.model_dump_json().encode())
    store.put_bytes("training_eurusd.report.json", report.model_dump_json().encode())
    assert look(store, EURUSD).state == "done"
    assert _publish(tmp_path, OLD, store).already_there
    _publish(tmp_path, NEW, store)
    assert _all_of_one(store) == NEW


@pytest.mark.parametrize("keeps_time", [True, False])
def test_a_rotten_published_file_is_never_called_done_or_already_there(
    tmp_path: Path, folder: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, *, keeps_time: bool
) -> None:
    _publish(tmp_path, NEW, folder)
    assert look(folder, EURUSD).verified_by == "reading"
    _rot(folder.local_path(NAME))
    if not keeps_time:
        os.utime(folder.local_path(NAME))
    with monkeypatch.context() as large:
        large.setattr(published, "_LOOK_BYTES", 0)  # a file too large for a look
        assert look(folder, EURUSD).state in ({"unverified"} if keeps_time else {"failed"})
    assert look(folder, EURUSD).state == "failed"
    assert verify(folder, EURUSD).cure.startswith("Publish it again")
    with pytest.raises(ChecksumMismatch, match="No checkpoint was deleted"):
        clean_checkpoints(EURUSD, Slabs.in_folder(tmp_path / "slabs"), folder)
    healed = _publish(tmp_path, NEW, folder)
    assert not healed.already_there
    assert _all_of_one(folder) == NEW
    assert [path.read_bytes() for path in folder.versions(NAME) if keeps_time] == []  # rot displaces no whole version


def test_a_damaged_file_that_nothing_is_known_of_is_replaced_as_the_cure_says(
    tmp_path: Path, folder: LocalObjectStore
) -> None:
    _publish(tmp_path, NEW, folder)
    assert "--replace-source" not in verify(folder, EURUSD).cure
    folder.local_path(NAME).write_bytes(NEW[:-5])
    assert "bqx publish eurusd --replace-source;" in verify(folder, EURUSD).cure


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_is_set_back_or_on_neither_waits_nor_loses_a_publication(
    tmp_path: Path, folder: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    _publish(tmp_path, OLD, folder)
    now = time.time_ns
    with monkeypatch.context() as clock:
        clock.setattr(time, "time_ns", lambda: now() + days * 86_400 * 10**9)
        _publish(tmp_path, NEW, folder)
        assert look(folder, EURUSD).state == "done"
    assert _all_of_one(folder) == NEW
    _publish(tmp_path, OLD, folder)
    assert _all_of_one(folder) == OLD
    assert max(waited) < 1


def test_the_same_bytes_again_push_no_earlier_version_out(tmp_path: Path) -> None:
    folder = LocalObjectStore(tmp_path / "kept", keep_versions=1)
    _publish(tmp_path, OLD, folder)
    _publish(tmp_path, NEW, folder)
    shutil.rmtree(folder.root / COMPANIONS)
    assert not _publish(tmp_path, NEW, folder).already_there
    assert [path.read_bytes() for path in folder.versions(NAME)] == [OLD]


def test_what_a_killed_writer_left_goes_once_nobody_can_be_writing_it(tmp_path: Path, folder: LocalObjectStore) -> None:
    _publish(tmp_path, OLD, folder)
    left = [folder.root / f".objects/.incoming.partial-4194305-{number:08x}" for number in range(2)]
    for path in left:
        path.write_bytes(OLD)  # no process has so high a number
    past = time.time() - 7_200
    os.utime(left[0], (past, past))
    _publish(tmp_path, NEW, folder)
    assert [path.exists() for path in left] == [False, True]  # the second may be of another machine's process


def test_a_copied_store_is_not_verified_before_somebody_reads_it(
    tmp_path: Path, folder: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(tmp_path, NEW, folder)
    copied = LocalObjectStore(Path(shutil.copytree(folder.root, tmp_path / "copy")))
    monkeypatch.setattr(published, "_LOOK_BYTES", 0)
    found = look(copied, EURUSD)
    assert (found.state, found.verified_at, found.cure) == ("unverified", None, "Read it: bqx verify eurusd")
    assert verify(copied, EURUSD).state == "done"
    assert look(copied, EURUSD).state == "done"


def test_a_second_publication_reads_the_published_bytes_though_a_reading_is_recorded(
    tmp_path: Path, folder: LocalObjectStore
) -> None:
    first = _publish(tmp_path, NEW, folder)
    again = _publish(tmp_path, NEW, folder)
    assert again.already_there
    assert first.verified_at is not None
    assert again.verified_at is not None
    assert again.verified_at > first.verified_at


def test_verify_of_all_says_where_nothing_is_published(
    folder: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Silent, "warn", lambda _self, _stage, message: told.append(message))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    assert verify_pairs(folder, (), Silent(), every=True) == []
    assert told == [f"nothing is published: there is no {folder.uri('training_PAIR.parquet')} of any pair"]


def test_verify_takes_pairs_or_all_and_reads_each_once(tmp_path: Path, folder: LocalObjectStore) -> None:
    _publish(tmp_path, NEW, folder)
    assert [each.pair for each in verify_pairs(folder, (), Silent(), every=True)] == ["eurusd"]
    assert verify_pairs(folder, (parse_pair("gbpusd"),), Silent(), every=False)[0].state == "none"
    for pairs, every in (((), False), ((EURUSD,), True)):
        with pytest.raises(BadSetting):
            verify_pairs(folder, pairs, Silent(), every=every)


def test_a_buckets_own_checksum_is_what_verifies_an_object_of_it(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    published_file = _publish(tmp_path, NEW, gcs_store)
    assert published_file.verified_by == "store checksum"
    assert verify(gcs_store, EURUSD).verified_by == "store checksum"
