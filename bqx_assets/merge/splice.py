"""Splices parts: puts their bytes one behind another, with one footer that finds every column. Nothing is decoded.

``Splice`` copies local files while the next parts are prepared. ``compose`` lets a bucket put its own objects end to
end, so that no column data passes through this process.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import reduce
from hashlib import sha256
from pathlib import Path

from bqx_assets.base.artifacts import SlabRecord, pieces_in_order
from bqx_assets.base.checksums import Summing, Sums, combine, crc32c, size_and_crc
from bqx_assets.base.direct_io import Span
from bqx_assets.base.errors import ChecksumMismatch, StoreError
from bqx_assets.base.files import join
from bqx_assets.base.process import worker_count
from bqx_assets.base.progress import Progress
from bqx_assets.base.store.protocol import ABSENT, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.store.staging_names import FOOTERS
from bqx_assets.base.threads import awaited
from bqx_assets.merge.footer import Footer, merge_footers
from bqx_assets.merge.plan import Encoded, MergePlan, Prepared, footers_memory_bytes
from bqx_assets.merge.result import MergeResult, own_metadata
from bqx_assets.merge.slab_parts import SlabPart

COMPOSE = "compose"
"""The name of a splice inside a bucket, as manifests record it."""
_MOST_THREADS = 4
"""Each thread takes memory for a step."""
_MEMORY_BYTES = 400 << 20
"""Memory that steps in work may take together; a step that needs more is worked on alone."""


class Splice:
    """The engine that copies the bytes of local files. Implements ``Engine``."""

    name = "splice"

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return the memory that the merge takes: the footers, and the largest steps of encoding."""
        footer_bytes = footers_memory_bytes(plan.column_count, len(plan.extraction.spine.row_groups))
        largest_bytes = max(part.memory_bytes for part in plan.parts)
        return footer_bytes + min(_threads() * largest_bytes, max(_MEMORY_BYTES, largest_bytes))

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> MergeResult:
        """Write the merge as ``target``. **Cost**: one sequential copy past the page cache, footers in memory.

        The CRC32C of the file is combined from those of the parts. Each slab is compared with its SHA-256 while the one
        before it is copied.

        Raises:
            CheckpointMismatch, FooterError: a slab changed since the plan, or does not fit the others.
            MergeRefused: a slab lies in a bucket, and not all of them in the one that is written to.
            TableDefect: a raw checkpoint cannot be aligned.
        """
        crc, end = 0, b""
        periods: list[list[Footer]] = [[] for _ in range(plan.periods)]
        records: dict[str, SlabRecord] = {}

        def bytes_in_order() -> Generator[Span | bytes]:
            nonlocal crc, end
            with _prefetched(plan, target.parent) as steps:
                sums = Summing()
                for period, encoded, finish in steps:
                    for block in encoded.blocks if encoded else ():
                        sums.add(block)
                        yield block
                    periods[period].extend([encoded.footer] if encoded else [])
                    if finish is None:
                        continue
                    part, sums = finish(sums.total()), Summing()
                    try:
                        yield from (span for span, _ in part.files)
                    finally:
                        part.remove()
                    crc = combine(crc, part.piece.crc32c, part.piece.size_bytes)
                    periods[period].extend(footer for _, footer in part.files)
                    records[part.record.table] = part.record
                    progress.advance("merge", part.record.table, part.note)
            end = _merged_end(plan, periods, tuple(records.values()), self.name)
            crc = combine(crc, crc32c(end), len(end))
            yield end

        size_bytes = join(bytes_in_order(), target)
        columns = sum(len(footer.columns) for footer in periods[0])
        return MergeResult(size_bytes, crc, sha256(end).hexdigest(), columns, tuple(records.values()))


_Done = tuple[int, Encoded | None, Callable[[Sums], Prepared] | None]
"""The period of a step, what it returned, and after a part's last step the function that ends its work."""


@contextmanager
def _prefetched(plan: MergePlan, scratch: Path) -> Generator[Iterator[_Done]]:
    """Give the steps of the plan's parts in order, run ahead of time; temporary files are made in ``scratch``.

    **Cost**: at most two steps a thread, in work or encoded, which take ``_MEMORY_BYTES`` together unless a single one
    exceeds it.
    """
    pool = ThreadPoolExecutor(_threads(), thread_name_prefix="merge")
    patient = True
    try:
        yield _in_order(plan, scratch, pool)
    except BaseException as error:
        # After Ctrl-C nothing is waited for: the folder with the temporary files is removed with them.
        patient = isinstance(error, Exception)
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)


def _in_order(plan: MergePlan, scratch: Path, pool: ThreadPoolExecutor) -> Iterator[_Done]:
    running: deque[tuple[int, Future[Encoded | None], int, Callable[[Sums], Prepared] | None]] = deque()

    def first() -> _Done:
        period, future, _, finish = running.popleft()
        return period, awaited(future), finish

    def working_bytes() -> int:
        return sum(_size_bytes(future) if future.done() else size_bytes for _, future, size_bytes, _ in running)

    most = 2 * _threads()  # so that no thread waits for a step's turn to be copied
    earlier = {slab.table: slab for slab in plan.earlier}
    for period, part in ((period, part) for period in range(plan.periods) for part in plan.parts):
        work, step_bytes = part.begin(period, scratch, earlier.get(part.table)), part.memory_bytes
        for step in work.steps:
            while running and (len(running) == most or working_bytes() + step_bytes > _MEMORY_BYTES):
                yield first()
            finish = work.finish if step is work.steps[-1] else None
            running.append((period, pool.submit(step), step_bytes, finish))
    while running:
        yield first()


def _size_bytes(done: Future[Encoded | None]) -> int:
    """Return the bytes of what a step has encoded, which stay in memory until they are copied."""
    encoded = done.result() if done.exception() is None else None
    return sum(map(len, encoded.blocks)) if encoded else 0


def _threads() -> int:
    """Return one thread more than processors: while one waits for the disk or for Python's lock, the others work."""
    return min(worker_count() + 1, _MOST_THREADS)


def compose(plan: MergePlan, slabs: Sequence[SlabPart], store: ObjectStore, name: str) -> MergeResult:
    """Make object ``name`` of the plan's slabs, which are objects of the same store, and a merged footer.

    **Cost**: 22 compose calls for 669 slabs. The footer is sent (1.5 MB at 17,038 columns), no other byte is read or
    sent. The store's CRC32C of the whole object is compared with the one that follows from the slabs'.

    Raises:
        ChecksumMismatch: the composed bytes are not those of the slabs; the object is removed again.
        PreconditionFailed: another merge wrote the object meanwhile.
        FooterError: a slab does not fit the others.
    """
    before = version_of(store.head(name))
    records = tuple(slab.record for slab in slabs)
    end = _merged_end(plan, _by_period(plan, slabs), records, COMPOSE)
    expected = _expected(records, end)
    footer = store.put_bytes(f"{FOOTERS}{plan.pair}-{secrets.token_hex(8)}", end, only_if=ABSENT)
    made = store.compose(
        name,
        [*(slab.objects[period] for period in range(plan.periods) for slab in slabs), footer.name],
        metadata={"pair": plan.pair.name, "crc32c": f"{expected.crc32c:08x}"},
        only_if=before,
    )
    _verify(store, made, expected)
    with suppress(StoreError):  # the lifecycle rules remove what cannot be removed now
        store.delete(footer.name, only_if=footer.version)
    return expected


def _by_period(plan: MergePlan, slabs: Sequence[SlabPart]) -> list[list[Footer]]:
    return [[slab.footers[period] for slab in slabs] for period in range(plan.periods)]


def _merged_end(
    plan: MergePlan, periods: Sequence[Sequence[Footer]], records: Sequence[SlabRecord], engine: str
) -> bytes:
    metadata = own_metadata(plan.extraction, engine, records)
    return merge_footers(periods, plan.extraction.spine.row_groups, metadata)


def _expected(records: tuple[SlabRecord, ...], end: bytes) -> MergeResult:
    """Return the facts of the object that slabs and footer must give, by the pieces' recorded checksums."""
    parts = [(piece.crc32c, piece.size_bytes) for _, piece in pieces_in_order(records)] + [(crc32c(end), len(end))]
    crc = reduce(lambda sofar, part: combine(sofar, *part), parts, 0)
    columns = sum(len(record.provenance.columns) for record in records)
    return MergeResult(sum(size for _, size in parts), crc, sha256(end).hexdigest(), columns, records)


def _verify(store: ObjectStore, made: ObjectInfo, expected: MergeResult) -> None:
    if (made.size_bytes, made.crc32c) == (expected.size_bytes, expected.crc32c):
        return
    store.delete(made.name, only_if=made.version)
    raise ChecksumMismatch(
        store.uri(made.name),
        got=f"{size_and_crc(made.size_bytes, made.crc32c)}, removed again",
        expected=f"{size_and_crc(expected.size_bytes, expected.crc32c)} by its slabs",
        cure="A slab changed while it was composed: extract again, then merge.",
    )
