"""What somebody does who wants a changed file to pass: columns exchanged, and the CRC32C made the old one again."""

from __future__ import annotations

import struct
from pathlib import Path

from bqx_assets.base.checksums import combine, crc32c
from bqx_assets.merge.footer import read_footer
from bqx_assets_tests.merge.footers import STRUCT, Fields, change_footer, chunk, groups, meta

_PATH = 3


def exchange(path: Path, first: str, second: str, free: int) -> None:
    """Let two columns' names find each other's values; four bytes from ``free`` on restore length and CRC32C."""
    before, columns = path.read_bytes(), read_footer(path).columns
    change_footer(path, lambda footer: _exchange(footer, columns.index(first), columns.index(second)))
    changed = bytearray(path.read_bytes())
    assert len(changed) == len(before)
    restore_crc32c(changed, free, crc32c(before))
    path.write_bytes(changed)


def _exchange(footer: Fields, first: int, second: int) -> None:
    for number in range(len(groups(footer))):
        one, other = meta(footer, first, number), meta(footer, second, number)
        mixed = {field: other[field] for field in other if field != _PATH} | {_PATH: one[_PATH]}
        kept = {field: one[field] for field in one if field != _PATH} | {_PATH: other[_PATH]}
        chunk(footer, first, number)[3] = (STRUCT, mixed)
        chunk(footer, second, number)[3] = (STRUCT, kept)


def restore_crc32c(data: bytearray, free: int, wanted: int) -> None:
    """Choose the four bytes from ``free`` on so that all of ``data`` has the CRC32C ``wanted``."""
    data[free : free + 4] = bytes(4)
    behind = len(data) - free - 4
    missing = crc32c(bytes(data)) ^ wanted
    # What each of the 32 bits adds to the CRC of the whole: the CRC is linear, so bits are chosen by elimination.
    rows = [(combine(crc32c(struct.pack("<I", 1 << n)) ^ crc32c(bytes(4)), 0, behind), 1 << n) for n in range(32)]
    bits = 0
    for place in range(32):
        pivot = next(row for row in rows if row[0] >> place & 1)
        rows = [(v ^ pivot[0], m ^ pivot[1]) if v >> place & 1 else (v, m) for v, m in rows if (v, m) != pivot]
        if missing >> place & 1:
            missing, bits = missing ^ pivot[0], bits ^ pivot[1]
    data[free : free + 4] = struct.pack("<I", bits)
    assert crc32c(bytes(data)) == wanted


def writer_name(path: Path) -> int:
    """Where a slab names the library that wrote it: bytes that no reader needs."""
    return path.read_bytes().rindex(b"parquet-cpp") + 4
