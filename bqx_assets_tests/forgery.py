"""What somebody does who wants a changed file to pass: columns exchanged, and the CRC32C made the old one again."""

from __future__ import annotations

import struct
from pathlib import Path

from bqx_assets.base.checksums import combine, crc32c
from bqx_assets.merge.footer import Footer, read_footer
from bqx_assets.merge.thrift import render

_GROUPS, _CREATOR, _CHUNKS, _META, _PATH = 4, 6, 1, 3, 3


def exchange(path: Path, first: str, second: str, free: int) -> None:
    """Let two columns' names find each other's values; four bytes from ``free`` on restore length and CRC32C."""
    data, footer = path.read_bytes(), read_footer(path)
    _exchange(footer, first, second)
    end = _rendered(footer)
    changed = bytearray(data[: -8 - len(end)] + end + struct.pack("<I", len(end)) + b"PAR1")
    restore_crc32c(changed, free, crc32c(data))
    path.write_bytes(changed)


def _rendered(footer: Footer) -> bytes:
    """The footer's bytes, as many as it had: what cencoding leaves out is made up for in the writer's name."""
    name = footer.content[_CREATOR]
    for spaces in range(footer.footer_bytes):
        padded = footer.content | {_CREATOR: name + b" " * spaces}
        end = render(padded, source_bytes=2 * footer.footer_bytes, chunks=len(footer.columns))
        if len(end) == footer.footer_bytes:
            return end
    raise AssertionError


def _exchange(footer: Footer, first: str, second: str) -> None:
    a, b = footer.columns.index(first), footer.columns.index(second)
    for group in footer.content[_GROUPS]:
        one, other = group[_CHUNKS][a], group[_CHUNKS][b]
        group[_CHUNKS][a] = other | {_META: other[_META] | {_PATH: [first]}}
        group[_CHUNKS][b] = one | {_META: one[_META] | {_PATH: [second]}}


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
