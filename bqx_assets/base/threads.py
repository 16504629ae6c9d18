"""Runs work in threads: the results come in order, and Ctrl-C ends the wait for them at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")
LOOK_SECONDS = 0.2
"""Time between two checks for Ctrl-C. Polars sets its own handler of SIGINT when it is imported, with SA_RESTART: the
system then resumes a wait without a time-out, and for a Python user Ctrl-C took effect only after 147 s of an outage.
``bqx`` and Dagster set their own handlers later, and these end every wait."""


def in_threads(
    work: Callable[[_In], _Out], items: Iterable[_In], threads: int, name: str, *, ahead: int | None = None
) -> Iterator[_Out]:
    """Yield the results of ``work`` in the order of ``items``; at most ``ahead`` further items are begun or kept.

    An error of ``work`` ends the iteration once the items that have begun are done; the others are left out. After
    Ctrl-C nothing is waited for: ``bqx status`` did not end for two minutes while a store did not answer.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    coming: deque[Future[_Out]] = deque()
    patient = True
    try:
        for item in items:
            coming.append(pool.submit(work, item))
            if ahead is not None and len(coming) > ahead:
                yield awaited(coming.popleft())
        while coming:
            yield awaited(coming.popleft())
    except BaseException as error:
        patient = isinstance(error, Exception)
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)


def awaited(future: Future[_Out]) -> _Out:
    """Return the result of work in a thread; Ctrl-C ends the wait."""
    while not future.done():
        wait([future], LOOK_SECONDS)
    return future.result()
