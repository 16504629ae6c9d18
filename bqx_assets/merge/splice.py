"""The splice: slabs' bytes one behind another, and one footer that finds every column. No value is decoded.

Belongs here: the order of copying, the checksum that follows from the parts'. Does not: footers' fields, or how a raw
checkpoint becomes a slab.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from bqx_assets.base.artifacts import SlabRecord
from bqx_assets.base.checksums import combine, crc32c
from bqx_assets.base.direct import Span
from bqx_assets.base.files import concatenate
from bqx_assets.base.progress import Progress
from bqx_assets.merge.footer import Footer, merge_footers
from bqx_assets.merge.parts import Slab
from bqx_assets.merge.plan import MergePlan
from bqx_assets.merge.preflight import footers_memory_bytes
from bqx_assets.merge.prepare import AHEAD, MEMORY_BYTES, prepared
from bqx_assets.merge.written import Written, own_metadata


class Splice:
    """The product's engine."""

    name = "splice"

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return what the merge takes: footers, and the widest tables to encode."""
        footer_bytes = footers_memory_bytes(plan.column_count, len(plan.extraction.spine.row_groups))
        largest_bytes = max(part.memory_bytes for part in plan.parts)
        return footer_bytes + min(AHEAD * largest_bytes, max(MEMORY_BYTES, largest_bytes))

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> Written:
        """Write the merge as ``target``. **Cost**: one sequential copy past the page cache, footers in memory.

        The CRC32C is combined from the slabs' recorded ones, each slab having been held against its SHA-256 while the
        one before it was copied.

        Raises:
            CheckpointMismatch, FooterError: a slab changed since the plan, or does not fit the others.
            TableDefect: a raw checkpoint cannot be aligned.
        """
        copy = _Copy()
        footer_parts: list[Footer] = []
        records: list[SlabRecord] = []
        end = b""

        def bytes_in_order() -> Generator[Span | bytes]:
            with prepared(plan, target.parent) as slabs:
                for slab in slabs:
                    with _removed_after(slab):
                        yield from (piece.span for piece in slab.pieces)
                    copy.add(slab.record.crc32c, slab.record.size_bytes)
                    footer_parts.extend(piece.footer for piece in slab.pieces)
                    records.append(slab.record)
                    progress.advance("merge", slab.record.table, slab.note)
            spine = plan.extraction.spine
            nonlocal end
            end = merge_footers(footer_parts, spine.row_groups, own_metadata(plan.extraction, "splice", records))
            copy.add(crc32c(end), len(end))
            yield end

        size_bytes = concatenate(bytes_in_order(), target)
        columns = sum(len(part.columns) for part in footer_parts)
        return Written(size_bytes, copy.crc32c, sha256(end).hexdigest(), columns, tuple(records))


class _Copy:
    """The running checksum of a concatenation."""

    def __init__(self) -> None:
        self.crc32c = 0

    def add(self, part_crc32c: int, part_bytes: int) -> None:
        self.crc32c = combine(self.crc32c, part_crc32c, part_bytes)


@contextmanager
def _removed_after(slab: Slab) -> Generator[None]:
    try:
        yield
    finally:
        slab.remove()
