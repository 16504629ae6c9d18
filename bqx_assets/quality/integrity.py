"""The file's bytes against its manifest: each slab's range by CRC32C, and the whole from the ranges.

Belongs here: which bytes are whose, and checking them in file order. Does not: anything inside a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.checksums import combine, crc32c

_PIECE_BYTES = 4 << 20
FOOTER = "footer"
"""Name of the bytes behind the last slab."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of the file, and its checksum where one is recorded."""

    name: str
    start: int
    size_bytes: int
    crc32c: int | None


def segments(manifest: Manifest, file_bytes: int) -> list[Segment]:
    """Return the file's ranges in order: a splice is its slabs and a footer, any other file one range.

    They end with the file: a file that is too short leaves later ranges short or empty.
    """
    slabs = manifest.extraction.slabs if manifest.engine == "splice" else ()
    found: list[Segment] = []
    start = 0
    for slab in slabs:
        size_bytes = min(slab.size_bytes, file_bytes - start)
        found.append(Segment(slab.table, start, size_bytes, slab.crc32c))
        start += size_bytes
    return [*found, Segment(FOOTER if slabs else "file", start, file_bytes - start, None)]


@dataclass(slots=True)
class FileChecksum:
    """Checks ranges one behind the other, each byte once. **Cost**: 4 MiB of memory."""

    path: Path
    segments: Sequence[Segment]
    crc32c: int = 0
    """Of all bytes checked so far."""
    damaged: list[Segment] = field(default_factory=list[Segment])
    """Ranges whose bytes are not those recorded."""
    done: int = 0

    def check_through(self, offset: int) -> None:
        """Check every range that starts before ``offset`` and has not been checked. Raises OSError."""
        if self.complete or self.segments[self.done].start >= offset:
            return
        with self.path.open("rb") as file:
            while not self.complete and self.segments[self.done].start < offset:
                segment = self.segments[self.done]
                file.seek(segment.start)
                found, left = 0, segment.size_bytes
                while left and (piece := file.read(min(_PIECE_BYTES, left))):
                    found = crc32c(piece, found)
                    left -= len(piece)
                if left or segment.crc32c not in (None, found):
                    self.damaged.append(segment)
                self.crc32c = combine(self.crc32c, found, segment.size_bytes)
                self.done += 1

    @property
    def complete(self) -> bool:
        """Whether the whole file was checked."""
        return self.done == len(self.segments)

    def is_damaged(self, start: int, end: int) -> bool:
        """Return whether a byte from ``start`` to ``end`` is in a damaged range, checking up to there first."""
        self.check_through(end)
        return any(each.start < end and start < each.start + each.size_bytes for each in self.damaged)


def end_crc32c(path: Path, parts: Sequence[Segment]) -> int:
    """Return the CRC32C of the whole file if all slabs are as recorded, reading the bytes behind the last one only."""
    *slabs, end = parts
    with path.open("rb") as file:
        file.seek(end.start)
        tail = crc32c(file.read(end.size_bytes))
    whole = 0
    for slab in slabs:
        whole = combine(whole, slab.crc32c or 0, slab.size_bytes)
    return combine(whole, tail, end.size_bytes)
