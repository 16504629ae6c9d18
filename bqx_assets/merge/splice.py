"""The splice: slabs' bytes one behind another, and one footer that finds every column. No value is decoded.

Belongs here: the order of copying, the checksum that follows from the parts'. Does not: footers' fields, or how a raw
checkpoint becomes a slab.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from bqx_assets.base.artifacts import SlabRecord
from bqx_assets.base.checksums import combine, crc32c
from bqx_assets.base.direct import Span
from bqx_assets.base.files import concatenate
from bqx_assets.base.progress import Progress
from bqx_assets.base.threads import awaited
from bqx_assets.merge.footer import Footer, merge_footers
from bqx_assets.merge.plan import MergePlan, Slab, footers_memory_bytes
from bqx_assets.merge.result import MergeResult, own_metadata

AHEAD = 2
"""Parts in work at once: Polars uses all processors for one already, the second fills its single-threaded stretches."""
MEMORY_BYTES = 400 << 20
"""What parts in work may take together; one that needs more is in work alone."""


@contextmanager
def prepared(plan: MergePlan, folder: Path) -> Generator[Iterator[Slab]]:
    """Give the plan's slabs in order; those to be made are made in ``folder``, the output's own.

    **Cost**: at most ``AHEAD`` parts in memory and on disk, within ``MEMORY_BYTES`` unless one alone passes it.
    """
    running: deque[Future[Slab]] = deque()
    pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="merge")
    patient = True
    try:
        yield _in_order(plan, folder, pool, running)
    except BaseException as error:
        # After Ctrl-C nothing is waited for: what a part under way leaves, the next merge removes.
        patient = isinstance(error, Exception)
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)
        for future in running:  # made and never asked for: the merge failed
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().remove()


def _in_order(plan: MergePlan, folder: Path, pool: ThreadPoolExecutor, running: deque[Future[Slab]]) -> Iterator[Slab]:
    sizes_bytes: deque[int] = deque()
    for part in plan.parts:
        size_bytes = part.memory_bytes
        while running and (len(running) == AHEAD or sum(sizes_bytes) + size_bytes > MEMORY_BYTES):
            yield awaited(running.popleft())
            sizes_bytes.popleft()
        running.append(pool.submit(part.prepare, folder))
        sizes_bytes.append(size_bytes)
    while running:
        yield awaited(running.popleft())


class Splice:
    """The product's engine."""

    name = "splice"

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return what the merge takes: footers, and the widest tables to encode."""
        footer_bytes = footers_memory_bytes(plan.column_count, len(plan.extraction.spine.row_groups))
        largest_bytes = max(part.memory_bytes for part in plan.parts)
        return footer_bytes + min(AHEAD * largest_bytes, max(MEMORY_BYTES, largest_bytes))

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> MergeResult:
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
        return MergeResult(size_bytes, copy.crc32c, sha256(end).hexdigest(), columns, tuple(records))


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
