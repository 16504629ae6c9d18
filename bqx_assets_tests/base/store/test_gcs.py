"""Calls of Cloud Storage over the wire are checked, conditional, and retried only where that is safe."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import BadSetting, ChecksumMismatch, PreconditionFailed, StoreError
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.protocol import ABSENT, STAGING, Condition, ObjectInfo
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

DATA = b"some bytes of a slab" * 50
LARGE = random.Random(7).randbytes((20 << 20) + 12_345)
"""Three chunks of a resumable upload."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "slab.parquet"
    path.write_bytes(LARGE)
    return path


def test_what_was_put_is_reported_and_read_back(store: GcsObjectStore, gcs: GcsServer) -> None:
    made = store.put_bytes("a/b.parquet", DATA, metadata={"pair": "eurusd"}, only_if=ABSENT)
    assert (made.name, made.size_bytes, made.crc32c) == ("a/b.parquet", len(DATA), crc32c(DATA))
    assert made.metadata == {"pair": "eurusd"}
    assert store.head("a/b.parquet") == made
    assert store.read("a/b.parquet") == DATA
    assert list(store.list_objects("a/")) == [made]
    assert gcs.buckets[BUCKET].live["a/b.parquet"].data == DATA
    assert store.uri("a/b.parquet") == "gs://bqx-ml-output/a/b.parquet"
    assert not gcs.log.heard


Upload = Callable[[GcsObjectStore, bytes, int | None], ObjectInfo]


@pytest.fixture(params=["file", "blocks"])
def upload(request: pytest.FixtureRequest, tmp_path: Path) -> Upload:
    """Each way to upload bytes, with their checksum if it is known, as the new object ``x``."""

    def as_file(store: GcsObjectStore, data: bytes, crc: int | None) -> ObjectInfo:
        path = tmp_path / "uploaded"
        path.write_bytes(data)
        return store.put_file("x", path, only_if=ABSENT, crc=crc)

    def as_blocks(store: GcsObjectStore, data: bytes, crc: int | None) -> ObjectInfo:
        blocks = [data[start : start + 1_000_003] for start in range(0, len(data), 1_000_003)]
        return store.put_blocks("x", blocks, only_if=ABSENT, crc=crc)

    return as_file if request.param == "file" else as_blocks


def test_what_is_large_goes_in_chunks_and_is_checked(store: GcsObjectStore, gcs: GcsServer, upload: Upload) -> None:
    made = upload(store, LARGE, None)
    assert (made.size_bytes, made.crc32c) == (len(LARGE), crc32c(LARGE))
    assert gcs.log.count() == {"object.start": 1, "object.chunk": 3}
    assert gcs.log.uploaded_bytes == len(LARGE)


def test_a_prefix_is_part_of_every_name_and_seen_by_no_caller(gcs: GcsServer, store: GcsObjectStore) -> None:
    inner = GcsObjectStore(BUCKET, "team/x/", client=store.client)
    store.put_bytes("outside", DATA)
    inner.put_bytes("in", DATA)
    inner.compose("whole", ["in"])
    assert [each.name for each in inner.list_objects()] == ["in", "whole"]
    assert sorted(gcs.buckets[BUCKET].live) == ["outside", "team/x/in", "team/x/whole"]
    assert inner.uri("in") == "gs://bqx-ml-output/team/x/in"


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/../b", ".hidden", "a\nb", "a\0b", "x" * 1_000])
def test_hostile_names_reach_no_url(store: GcsObjectStore, gcs: GcsServer, name: str) -> None:
    for call in (store.head, store.read, store.uri, store.delete):
        with pytest.raises(BadSetting):
            call(name)
    with pytest.raises(BadSetting):
        store.put_bytes(name, b"")
    assert not gcs.log.calls


WRITES: dict[str, Callable[[GcsObjectStore, Condition | None], object]] = {
    "put": lambda store, version: store.put_bytes("x", DATA, only_if=version),
    "blocks": lambda store, version: store.put_blocks("x", [DATA[:99], DATA[99:]], only_if=version),
    "compose": lambda store, version: store.compose("x", ["part"], only_if=version),
    "delete": lambda store, version: store.delete("x", only_if=version),
}


def test_a_large_upload_obeys_its_condition_even_when_overtaken_under_way(
    store: GcsObjectStore, gcs: GcsServer, large: Path
) -> None:
    gcs.fail("object.chunk", "hook", skip=1, hook=lambda: store.put_bytes("x", b"the other run's"))
    with pytest.raises(PreconditionFailed):
        store.put_file("x", large, only_if=ABSENT)
    assert store.read("x") == b"the other run's"


@pytest.mark.parametrize("kind", ["status", "reset"])
@pytest.mark.parametrize(
    ("operation", "write"),
    [("object.insert", "put"), ("object.insert", "blocks"), ("object.compose", "compose"), ("object.delete", "delete")],
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_conditional_write_is_retried_and_its_own_effect_is_no_conflict(
    store: GcsObjectStore, gcs: GcsServer, kind: str, operation: str, write: str, *, after: bool
) -> None:
    store.put_bytes("part", DATA)
    before = store.put_bytes("x", b"before")
    gcs.fail(operation, kind, after=after, times=2 if not after else 1)
    WRITES[write](store, before.version)
    found = store.head("x")
    assert found is None if write == "delete" else (found and found.crc32c == crc32c(DATA))


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_without_a_condition_is_not_repeated(
    store: GcsObjectStore, gcs: GcsServer, write: Callable[[GcsObjectStore, Condition | None], object]
) -> None:
    store.put_bytes("part", DATA)
    store.put_bytes("x", b"before")
    for operation in ("object.insert", "object.compose", "object.delete"):
        gcs.fail(operation)
    gcs.log.clear()
    with pytest.raises(StoreError, match="HTTP 503 Service Unavailable"):
        write(store, None)
    assert len(gcs.log.calls) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
@pytest.mark.parametrize("operation", ["object.get", "object.media", "object.list"])
def test_reads_outlast_transient_answers(store: GcsObjectStore, gcs: GcsServer, operation: str, status: int) -> None:
    store.put_bytes("x", DATA)
    gcs.fail(operation, status=status, times=2)
    assert (store.head("x"), store.read("x"), len(list(store.list_objects())))[1:] == (DATA, 1)
    assert gcs.log.count()[operation] == 3


@pytest.mark.parametrize("kind", ["truncate", "reset"])
@pytest.mark.parametrize("ranged", [False, True])
def test_a_download_cut_short_is_gone_on_with(
    store: GcsObjectStore, gcs: GcsServer, kind: str, *, ranged: bool
) -> None:
    store.put_bytes("x", DATA)
    gcs.fail("object.media", kind, times=2)
    assert (store.read("x", 10, 700) if ranged else store.read("x")) == (DATA[10:710] if ranged else DATA)


def test_a_download_with_a_flipped_bit_is_refused(store: GcsObjectStore, gcs: GcsServer) -> None:
    store.put_bytes("x", DATA)
    gcs.fail("object.media", "corrupt")
    with pytest.raises(ChecksumMismatch):
        store.read("x")


@pytest.mark.parametrize(
    ("kind", "facts"),
    [("reset", {}), ("status", {}), ("status", {"status": 429}), ("half", {}), ("reset", {"after": True}),
     ("status", {"after": True}), ("status", {"status": 410})],
)  # fmt: skip
@pytest.mark.parametrize("skip", [0, 1, 2], ids=["first chunk", "middle", "last"])
def test_a_large_upload_outlasts_a_fault_of_any_chunk(
    store: GcsObjectStore, gcs: GcsServer, upload: Upload, kind: str, facts: dict[str, int], skip: int
) -> None:
    gcs.fail("object.chunk", kind, skip=skip, **facts)
    made = upload(store, LARGE, None)
    assert made.crc32c == crc32c(LARGE)
    assert gcs.buckets[BUCKET].live["x"].data == LARGE


@pytest.mark.parametrize("size", ["small", "large"])
def test_an_object_with_another_checksum_than_the_files_is_removed_and_refused(
    store: GcsObjectStore, gcs: GcsServer, upload: Upload, size: str
) -> None:
    gcs.fail("object.insert" if size == "small" else "object.chunk", "wrong_crc", skip=0 if size == "small" else 2)
    with pytest.raises(ChecksumMismatch, match="removed again"):
        upload(store, LARGE if size == "large" else DATA, None)
    assert store.head("x") is None


@pytest.mark.parametrize("size", ["large", "small"])
def test_a_checksum_that_is_not_the_uploads_is_refused(store: GcsObjectStore, upload: Upload, size: str) -> None:
    data = LARGE if size == "large" else DATA
    with pytest.raises(StoreError):
        upload(store, data, crc32c(b"other"))
    assert store.head("x") is None
    assert upload(store, data, crc32c(data)).size_bytes == len(data)


def test_a_file_that_changes_while_it_is_uploaded_is_never_stored(
    store: GcsObjectStore, gcs: GcsServer, tmp_path: Path
) -> None:
    path = tmp_path / "changing"
    path.write_bytes(LARGE)
    gcs.fail("object.chunk", "hook", skip=1, hook=lambda: path.write_bytes(LARGE[:-5] + b"other"))
    with pytest.raises(StoreError, match="checksum was refused"):
        store.put_file("x", path, only_if=ABSENT)
    assert store.head("x") is None


@pytest.mark.parametrize(("status", "cure"), [(401, "Sign in"), (403, r"roles/storage\.objectUser"), (400, "defect")])
def test_refusals_are_not_retried_and_name_their_cure(
    store: GcsObjectStore, gcs: GcsServer, status: int, cure: str
) -> None:
    gcs.fail("object.get", status=status)
    with pytest.raises(StoreError, match=cure):
        store.head("x")
    assert len(gcs.log.calls) == 1


def test_no_error_quotes_the_server_or_a_url_that_is_a_permission(
    store: GcsObjectStore, gcs: GcsServer, large: Path
) -> None:
    secret = "ya29.planted-token upload_id=planted"  # noqa: S105 -- planted to be looked for
    store._retry = store._retry.with_timeout(0.2)
    for operation, act in {
        "object.get": lambda: store.head("x"),
        "object.chunk": lambda: store.put_file("x", large, only_if=ABSENT),
        "object.insert": lambda: store.put_bytes("x", DATA, only_if=ABSENT),
        "object.media": lambda: store.read("x"),
        "object.list": lambda: list(store.list_objects()),
        "object.compose": lambda: store.compose("x", ["x"], only_if=ABSENT),
    }.items():
        for status in (403, 503):
            gcs.fail(operation, status=status, message=secret, times=30)
            with pytest.raises(StoreError) as raised:
                act()
            gcs.faults.__init__()
            text = "".join(traceback.format_exception(raised.value))
            assert "planted" not in text
            assert "upload_id" not in text
            assert gcs.url not in text


def test_no_log_names_the_id_of_an_upload(
    store: GcsObjectStore, gcs: GcsServer, large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gcs.fail("object.chunk", skip=1)
    store.put_file("x", large, only_if=ABSENT)
    assert "upload_id=..." in caplog.text
    assert "Retrying due to" in caplog.text
    assert not any(token in caplog.text for token in gcs.service.sessions)


def test_patience_ends(store: GcsObjectStore, gcs: GcsServer) -> None:
    store._retry = store._retry.with_timeout(0.3)
    gcs.fail("object.get", times=1_000)
    with pytest.raises(StoreError, match="HTTP 503 Service Unavailable after retries"):
        store.head("x")


def test_patience_with_downloads_that_are_always_cut_short_ends_too(store: GcsObjectStore, gcs: GcsServer) -> None:
    store.put_bytes("x", DATA)
    store._retry = store._retry.with_timeout(0.3)
    gcs.fail("object.media", "truncate", times=1_000)
    with pytest.raises(StoreError, match="after retries"):
        store.read("x", 10, 700)


def test_a_server_that_is_not_there_is_one_plain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    store = GcsObjectStore(
        BUCKET, policy=replace(RETRIES["cloud_storage"], patience_seconds=0.3, first_wait_seconds=0.01)
    )
    with pytest.raises(StoreError, match="ConnectionError after retries"):
        store.head("x")
    store.client.close()


@pytest.mark.parametrize(
    ("parts", "calls"), [(1, 1), (2, 1), (32, 1), (33, 2), (63, 2), (64, 3), (669, 22), (670, 22), (1_025, 34)]
)
def test_any_number_of_parts_is_composed_in_the_fewest_calls_and_no_byte_moves(
    store: GcsObjectStore, gcs: GcsServer, parts: int, calls: int
) -> None:
    names = [f"staging/p{number:04}" for number in range(parts)]
    for name in names:
        gcs.buckets[BUCKET].put(name, f"<{name}>".encode(), {})
    gcs.buckets[BUCKET].patch({"versioning": {"enabled": True}}, {})
    info = store.compose("whole", names, only_if=ABSENT)
    assert gcs.log.count()["object.compose"] == calls
    assert (gcs.log.uploaded_bytes, gcs.log.downloaded_bytes) == (0, 0)
    whole = "".join(f"<{name}>" for name in names).encode()
    assert (info.crc32c, info.size_bytes) == (crc32c(whole), len(whole))
    assert sorted(gcs.buckets[BUCKET].live) == [*names, "whole"]
    assert not gcs.buckets[BUCKET].noncurrent


def test_components_of_a_failed_compose_are_left_to_the_lifecycle_under_staging(
    store: GcsObjectStore, gcs: GcsServer
) -> None:
    names = [f"p{number:04}" for number in range(70)]
    for name in names:
        gcs.buckets[BUCKET].put(name, b"x", {})
    gcs.fail("object.compose", name="whole", status=403)
    with pytest.raises(StoreError):
        store.compose("whole", names, only_if=ABSENT)
    left = sorted(gcs.buckets[BUCKET].live.keys() - set(names))
    assert left
    assert all(name.startswith(f"{STAGING}compose/") for name in left)


def test_a_component_that_cannot_be_deleted_does_not_undo_the_whole(store: GcsObjectStore, gcs: GcsServer) -> None:
    names = [f"p{number:04}" for number in range(33)]
    for name in names:
        gcs.buckets[BUCKET].put(name, b"x", {})
    gcs.fail("object.delete", status=403)
    assert store.compose("whole", names, only_if=ABSENT).size_bytes == 33
