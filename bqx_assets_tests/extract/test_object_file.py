"""The blocks of a staged object are checked one by one, whatever pieces it was written in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import ChecksumMismatch
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import Condition
from bqx_assets.extract import object_file
from bqx_assets.extract.object_file import CheckedFile, block_checksums

BLOCK = 16


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Blocks of a few bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_file, "BLOCK_BYTES", BLOCK)
        yield


@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60)))
def test_a_file_in_any_pieces_has_the_checksums_of_the_whole(data: bytes, cuts: list[int]) -> None:
    pieces = [data[start:end] for start, end in pairwise([0, *sorted(cuts), len(data)])]
    assert block_checksums(pieces) == " ".join(
        f"{crc32c(data[at : at + BLOCK]):x}" for at in range(0, len(data), BLOCK)
    )


def test_a_damaged_block_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    store, data = LocalObjectStore(tmp_path), bytes(range(40))
    info = store.put_bytes("object", data[:20] + b"?" + data[21:])
    file = CheckedFile(store, info, block_checksums([data]))
    assert file.read(BLOCK) == data[:BLOCK]
    file.seek(30)
    with pytest.raises(ChecksumMismatch):
        file.read(4)
    file.seek(32)
    assert file.read() == data[32:]


def test_each_block_is_fetched_once_by_a_reader_that_begins_at_the_end(tmp_path: Path) -> None:
    data = bytes(range(60))
    info = LocalObjectStore(tmp_path).put_bytes("object", data)
    reads: list[int] = []

    class Store(LocalObjectStore):
        def read(self, name: str, start: int = 0, length: int | None = None, only_if: Condition | None = None) -> bytes:
            reads.append(start)
            return super().read(name, start, length, only_if)

    file = CheckedFile(Store(tmp_path), info, block_checksums([data]))
    file.seek(50)
    assert file.read(8) == data[50:58]
    file.seek(0)
    assert b"".join(iter(lambda: file.read(7), b"")) == data
    assert reads == [48, 0, 16, 32]
