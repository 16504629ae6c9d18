"""Before a merge starts: whether it can end.

Belongs here: disk and memory held against what the plan needs. Does not: whether the slabs are right (``plan``).
"""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.errors import NotEnoughDisk, NotEnoughMemory
from bqx_assets.base.limits import disk_free_bytes, memory_free_bytes

_DISK_MARGIN = 1.05
_DISK_MARGIN_BYTES = 64 << 20
"""For the footer and the manifest: 1.5 MB and 6 MB at 17,031 columns."""
_CHUNK_MEMORY_BYTES = 6_000
"""A column chunk's share of the footer as Python holds it, twice."""


def footers_memory_bytes(columns: int, row_groups: int) -> int:
    """Return what the footers of a merge take: the parts' and the merged one as Python holds them."""
    return (64 << 20) + columns * row_groups * _CHUNK_MEMORY_BYTES


def check_disk(folder: Path, output_bytes: int, subject: str) -> None:
    """Raise NotEnoughDisk unless the output and a margin of 5% and 64 MiB fit beside what is there."""
    needed_bytes = int(output_bytes * _DISK_MARGIN) + _DISK_MARGIN_BYTES
    free_bytes = disk_free_bytes(folder)
    if free_bytes < needed_bytes:
        raise NotEnoughDisk(
            subject,
            got=f"{free_bytes / 1e6:,.0f} MB free in {folder}",
            expected=f"{needed_bytes / 1e6:,.0f} MB",
            cure="Free disk space, or choose another place with --output.",
        )


def check_memory(needed_bytes: int, subject: str, *, also: str = "") -> None:
    """Raise NotEnoughMemory unless this process may still take that much, by its container's own limit.

    ``also``: what would help besides more memory.
    """
    free_bytes = memory_free_bytes()
    if free_bytes < needed_bytes:
        raise NotEnoughMemory(
            subject,
            got=f"{free_bytes / 1e6:,.0f} MB of memory free",
            expected=f"{needed_bytes / 1e6:,.0f} MB",
            cure=f"Give the container more memory{also}.",
        )
