"""Every object store keeps the same contract: a folder, a working folder, memory and Cloud Storage.

A new backend is one new file and one more parameter here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import BadSetting, FolderBusy, ObjectMissing, PreconditionFailed
from bqx_assets.base.store.lease import exclusive
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ABSENT, Condition, ObjectInfo, ObjectStore, head_with_crc32c, version_of
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs
from bqx_assets_tests.frames import frame_job, frame_warehouse
from bqx_assets_tests.servers.memory_store import MemoryObjectStore

DATA = b"some bytes of a slab" * 50
WORKING = "working folder"


@pytest.fixture(params=["folder", WORKING, "memory", "bucket"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def any_store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if kind == "memory":
        return MemoryObjectStore()
    if kind == "bucket":
        return request.getfixturevalue("gcs_store")
    return LocalObjectStore(tmp_path / "store", sidecars=kind != WORKING)


def test_what_was_put_is_reported_listed_and_read(any_store: ObjectStore, kind: str) -> None:
    made = any_store.put_bytes("a/b.parquet", DATA, metadata={"pair": "eurusd"}, only_if=ABSENT)
    any_store.put_bytes("b", b"")
    assert (made.name, made.size_bytes) == ("a/b.parquet", len(DATA))
    assert made.metadata == ({} if kind == WORKING else {"pair": "eurusd"})
    assert made.crc32c == (None if kind == WORKING else crc32c(DATA))
    assert any_store.head("a/b.parquet") == made
    assert any_store.read("a/b.parquet") == DATA
    assert list(any_store.list_objects("a/")) == [made]
    assert [each.name for each in any_store.list_objects()] == ["a/b.parquet", "b"]


def test_a_verified_object_states_the_checksum_of_its_bytes(any_store: ObjectStore) -> None:
    any_store.put_bytes("x", DATA)
    for info in (any_store.verify("x"), head_with_crc32c(any_store, "x")):
        assert info is not None
        assert info.crc32c == crc32c(DATA)
        assert info.verified is not None


@pytest.mark.parametrize(
    ("start", "length"), [(0, 5), (7, 3), (990, 100), (5, None), (0, 0), (5_000, 3), (5_000, None)]
)
def test_a_range_is_what_a_file_would_give(any_store: ObjectStore, start: int, length: int | None) -> None:
    any_store.put_bytes("x", DATA)
    assert any_store.read("x", start, length) == DATA[start : None if length is None else start + length]


def test_what_is_not_there_is_none_or_an_error_of_that_name(any_store: ObjectStore) -> None:
    assert any_store.head("none") is None
    assert any_store.verify("none") is None
    assert list(any_store.list_objects("none/")) == []
    for call in (
        lambda: any_store.read("none"),
        lambda: any_store.delete("none"),
        lambda: any_store.compose("x", ["none"]),
    ):
        with pytest.raises(ObjectMissing):
            call()


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/../b", ".hidden", "a\nb", "a\0b", "x" * 1_000])
def test_hostile_names_are_refused(any_store: ObjectStore, name: str) -> None:
    for call in (any_store.head, any_store.read, any_store.uri, any_store.delete):
        with pytest.raises(BadSetting):
            call(name)
    with pytest.raises(BadSetting):
        any_store.put_bytes(name, b"")


@pytest.mark.parametrize("kind", ["folder", WORKING])
def test_a_file_that_others_put_there_under_a_name_of_no_object_is_not_listed(
    any_store: ObjectStore, tmp_path: Path
) -> None:
    any_store.put_bytes("below/x", DATA)
    (tmp_path / "store" / "below" / "two\nlines").write_bytes(b"theirs")
    assert [info.name for info in any_store.list_objects()] == ["below/x"]


@pytest.mark.parametrize("blocks", [[], [b""], [b"a", b"", b"bc"], [b"%07d" % number for number in range(3_000)]])
def test_blocks_are_stored_end_to_end_as_one_object(any_store: ObjectStore, blocks: list[bytes], kind: str) -> None:
    whole = b"".join(blocks)
    for crc in (None, crc32c(whole)):
        made = any_store.put_blocks(
            "x", blocks, metadata={"pair": "eurusd"}, only_if=version_of(any_store.head("x")), crc=crc
        )
        assert made == any_store.head("x")
        assert (made.size_bytes, any_store.read("x")) == (len(whole), whole)
        assert made.metadata == ({} if kind == WORKING else {"pair": "eurusd"})
        assert made.crc32c == (None if kind == WORKING else crc32c(whole))
    assert [each.name for each in any_store.list_objects()] == ["x"]


WRITES: dict[str, Callable[[ObjectStore, Condition | None], object]] = {
    "put": lambda store, version: store.put_bytes("x", DATA, only_if=version),
    "blocks": lambda store, version: store.put_blocks("x", [DATA, DATA], only_if=version),
    "compose": lambda store, version: store.compose("x", ["part"], only_if=version),
    "delete": lambda store, version: store.delete("x", only_if=version),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_whose_condition_fails_changes_nothing(
    any_store: ObjectStore, write: Callable[[ObjectStore, Condition | None], object]
) -> None:
    any_store.put_bytes("part", b"part")
    first = any_store.put_bytes("x", b"first", only_if=ABSENT)
    second = any_store.put_bytes("x", b"second", only_if=first.version)
    for condition in (first.version, ABSENT):
        with pytest.raises(PreconditionFailed):
            write(any_store, condition)
    assert any_store.head("x") == second
    assert any_store.read("x") == b"second"
    write(any_store, second.version)
    assert any_store.head("x") != second


def test_a_read_of_another_version_is_refused(any_store: ObjectStore) -> None:
    first = any_store.put_bytes("x", b"first")
    assert any_store.read("x", 0, 3, first.version) == b"fir"
    second = any_store.put_bytes("x", b"second")
    with pytest.raises(PreconditionFailed):
        any_store.read("x", 0, 3, first.version)
    assert any_store.read("x", 0, 3, second.version) == b"sec"


def test_every_write_gives_another_version_the_same_bytes_too(any_store: ObjectStore) -> None:
    versions = [any_store.put_bytes("x", DATA).version for _ in range(20)]
    assert len({*versions, ABSENT}) == 21
    assert version_of(any_store.head("x")) == versions[-1]


@pytest.mark.parametrize("created", [False, True], ids=["creating", "replacing"])
def test_of_racing_writers_on_one_condition_exactly_one_wins(any_store: ObjectStore, *, created: bool) -> None:
    condition = any_store.put_bytes("x", b"before").version if created else ABSENT
    start = Barrier(6)

    def write(number: int) -> ObjectInfo | None:
        start.wait()
        try:
            return any_store.put_bytes("x", b"%d" % number, only_if=condition)
        except PreconditionFailed:
            return None

    with ThreadPoolExecutor(6) as pool:
        won = [(number, info) for number, info in enumerate(pool.map(write, range(6))) if info is not None]
    assert len(won) == 1
    assert any_store.read("x") == b"%d" % won[0][0]


def test_parts_are_composed_in_their_order(any_store: ObjectStore) -> None:
    names = [f"staging/p{number:02}" for number in range(70)]
    for name in names:
        any_store.put_bytes(name, name.encode())
    info = any_store.compose("whole", names[::-1], only_if=ABSENT)
    assert any_store.read("whole") == "".join(names[::-1]).encode()
    assert info.size_bytes == 70 * len(names[0])
    assert [each.name for each in any_store.list_objects()] == [*names, "whole"]


@pytest.mark.parametrize("move", [False, True], ids=["copied", "moved"])
@pytest.mark.parametrize("where", ["scratch", "elsewhere"])
def test_a_file_is_copied_or_taken_over(any_store: ObjectStore, tmp_path: Path, where: str, *, move: bool) -> None:
    with any_store.scratch("a/") as folder:
        path = (folder if where == "scratch" else tmp_path) / "file"
        path.write_bytes(DATA)
        info = any_store.put_file("a/x", path, only_if=ABSENT, move=move)
        assert path.exists() is not move
        assert [each.name for each in any_store.list_objects()] == ["a/x"]
    assert not folder.exists()
    assert (info.size_bytes, any_store.read("a/x")) == (len(DATA), DATA)
    local = any_store.local_path("a/x")
    assert local is None or local.read_bytes() == DATA


@pytest.mark.parametrize("name", ["a/", "a/x"])
def test_one_holder_at_a_time(any_store: ObjectStore, name: str) -> None:
    with exclusive(any_store, name, seconds=0.4):
        any_store.put_bytes("a/x", DATA)
        with pytest.raises(FolderBusy), exclusive(any_store, name, seconds=0.4):
            pass
    with exclusive(any_store, name, seconds=0.4):
        pass
    assert [each.name for each in any_store.list_objects()] == ["a/x"]


def test_an_extraction_into_any_store_is_resumed_there(any_store: ObjectStore, tmp_path: Path) -> None:
    warehouse, folder = frame_warehouse(), tmp_path / "reference"
    expected = extract_pair(frame_job(folder, warehouse))
    slabs = Slabs(any_store, "slabs/")
    first = extract_pair(frame_job(slabs, warehouse))
    assert first == expected
    warehouse.reads.clear()
    again = extract_pair(frame_job(Slabs(any_store, "slabs/"), warehouse))
    resumed = tuple(sorted(slab.table for slab in first.features()))
    assert again == first.model_copy(update={"resumed": resumed, "made_pieces": 0})
    assert not warehouse.reads
