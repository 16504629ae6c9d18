"""CRC32C of a concatenation follows from its parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.checksums import combine, crc32c, crc32c_of_file


def test_the_checksum_is_castagnolis() -> None:
    # RFC 3720, appendix B.4.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


@given(st.binary(max_size=200), st.integers(0, 200), st.sampled_from([bytes, bytearray]))
def test_a_view_has_the_checksum_of_its_bytes(data: bytes, start: int, kind: type[bytes | bytearray]) -> None:
    assert crc32c(memoryview(kind(data))[start:], 7) == crc32c(data[start:], 7)


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_parts_combine_to_the_checksum_of_the_whole(parts: list[bytes]) -> None:
    total = 0
    for part in parts:
        total = combine(total, crc32c(part), len(part))
    assert total == crc32c(b"".join(parts))


@pytest.mark.parametrize("zeros", [1, 5 << 20, (5 << 20) + 3])
def test_a_long_second_part_combines_without_being_read(zeros: int) -> None:
    assert combine(crc32c(b"head"), crc32c(bytes(zeros)), zeros) == crc32c(b"head" + bytes(zeros))


def test_a_file_has_the_checksum_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    (tmp_path / "file").write_bytes(data)
    assert crc32c_of_file(tmp_path / "file") == crc32c(data)
