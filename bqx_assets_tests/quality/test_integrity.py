"""Which bytes are whose, and that each is read once, in order, in pieces."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.checksums import crc32c
from bqx_assets.quality import integrity
from bqx_assets.quality.integrity import FOOTER, FileChecksum, Segment, end_crc32c, segments
from bqx_assets_tests.quality.training import PERIODS, Training, earlier


def test_a_splice_is_its_slabs_and_a_footer_to_the_last_byte(training: Training) -> None:
    assert training.manifest is not None
    parts = segments(training.manifest, training.file.stat().st_size)
    assert [part.name for part in parts] == [*(slab.table for slab in training.manifest.extraction.slabs), FOOTER]
    assert [part.start for part in parts[1:]] == [part.start + part.size_bytes for part in parts[:-1]]
    assert sum(part.size_bytes for part in parts) == training.file.stat().st_size
    end = crc32c(training.file.read_bytes()[parts[-1].start :])
    assert end_crc32c(parts, end) == training.manifest.file.crc32c


def test_a_splice_of_periods_is_its_pieces_period_by_period_and_a_footer_to_the_last_byte(grouped: Training) -> None:
    assert grouped.manifest is not None
    slabs = grouped.manifest.extraction.slabs
    parts = segments(grouped.manifest, grouped.file.stat().st_size)
    names = [f"{slab.table} {period}" for period in PERIODS for slab in slabs]
    assert [part.name for part in parts] == [*names, FOOTER]
    assert [part.start for part in parts[1:]] == [part.start + part.size_bytes for part in parts[:-1]]
    content = grouped.file.read_bytes()
    assert sum(part.size_bytes for part in parts) == len(content)
    for part in parts:
        assert _sha256(content[part.start : part.start + part.size_bytes]) == part.sha256
    assert end_crc32c(parts, crc32c(content[parts[-1].start :])) == grouped.manifest.file.crc32c


def test_the_ranges_of_a_manifest_of_an_earlier_version_are_its_slabs(tmp_path: Path) -> None:
    made = earlier(tmp_path)
    assert made.manifest is not None
    parts = segments(made.manifest, made.file.stat().st_size)
    assert [part.name for part in parts] == [*(slab.table for slab in made.manifest.extraction.slabs), FOOTER]
    content = made.file.read_bytes()
    assert all(_sha256(content[part.start : part.start + part.size_bytes]) == part.sha256 for part in parts)


def test_a_joined_file_is_one_range(training: Training) -> None:
    assert training.manifest is not None
    joined = training.manifest.model_copy(update={"engine": "join"})
    assert segments(joined, 77) == [Segment("file", 0, 77, None, joined.file.end_sha256)]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6), data=st.data())
def test_pieces_in_any_order_check_each_byte_once_and_name_the_damaged_range(
    sizes: list[int], data: st.DataObject
) -> None:
    content = bytes(range(256))[: sum(sizes)]
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    parts = [
        Segment(str(number), start, size, crc32c(content[start : start + size]), _sha256(content[start : start + size]))
        for number, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    place = data.draw(st.none() | st.integers(0, max(0, len(content) - 1)))
    changed = bytearray(content)
    if place is not None and content:
        changed[place] ^= 1
    cuts = sorted({0, len(content), *data.draw(st.lists(st.integers(0, len(content)), max_size=5))})
    checksum = FileChecksum(parts)
    for start, end in data.draw(st.permutations(list(pairwise(cuts)))):
        skip = data.draw(st.integers(0, start))  # bytes before the piece that an earlier one had
        checksum.add(start - skip, bytes(changed[start - skip : end]), skip)
    owners = [part.name for part in parts if place is not None and part.start <= place < part.start + part.size_bytes]
    assert [part.name for part in checksum.damaged] == owners
    assert checksum.is_damaged(0, len(content) + 1) == bool(owners)
    assert all(
        checksum.is_damaged(p.start, p.start + p.size_bytes) == (p.name in owners) for p in parts if p.size_bytes
    )
    checksum.finish()
    assert [part.name for part in checksum.damaged] == owners
    assert checksum.crc32c == crc32c(bytes(changed))


def test_what_never_came_is_damage() -> None:
    checksum = FileChecksum([Segment("a", 0, 3, crc32c(b"abc")), Segment("b", 3, 3, crc32c(b"def"))])
    checksum.add(0, b"abcd")
    assert not checksum.damaged
    checksum.finish()
    assert [part.name for part in checksum.damaged] == ["b"]


@pytest.mark.parametrize("held_bytes", [0, 5, 1 << 20])
@pytest.mark.parametrize("wrong", [None, 0, 1])
def test_sha256_is_that_of_the_range_whatever_the_order_and_however_little_may_wait(
    monkeypatch: pytest.MonkeyPatch, held_bytes: int, wrong: int | None
) -> None:
    monkeypatch.setattr(integrity, "_HELD_BYTES", held_bytes)
    content = b"abcdefghijklmnop"
    parts = [
        Segment(str(n), 8 * n, 8, None, _sha256(b"another" if n == wrong else content[8 * n : 8 * n + 8]))
        for n in range(2)
    ]
    checksum = FileChecksum(parts)
    for start in (12, 4, 14, 0, 2, 8, 6, 10):
        checksum.add(start, content[start : start + 2])

    def read(start: int, length: int) -> bytes:
        return content[start : start + length]

    checksum.read_again(read)
    checksum.finish()
    assert [part.name for part in checksum.damaged] == ([] if wrong is None else [str(wrong)])


def test_ranges_are_hashed_by_several_threads_at_once() -> None:
    content = bytes(range(256)) * 64
    whole = [Segment(str(n), 4_096 * n, 4_096, None, _sha256(content[4_096 * n : 4_096 * n + 4_096])) for n in range(4)]
    checksum = FileChecksum(whole)

    def add(start: int) -> None:
        checksum.add(start, content[start : start + 32])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(0, len(content), 32)))
    checksum.finish()
    assert not checksum.damaged
