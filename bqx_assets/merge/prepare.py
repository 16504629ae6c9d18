"""Slabs in column order, the next ones made ready while one is being copied.

Belongs here: how many parts are in work at once. Does not: what making one ready means (``parts``, ``raw``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bqx_assets.base.threads import awaited
from bqx_assets.merge.parts import Slab
from bqx_assets.merge.plan import MergePlan

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
