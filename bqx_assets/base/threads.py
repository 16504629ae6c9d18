"""Work spread over threads: the results in order, and a wait that Ctrl-C ends at once.

Belongs here: that. Does not: work that is begun and ended apart (``extract/pair``), or what the work is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")
LOOK_SECONDS = 0.2
"""Between two looks at a Ctrl-C. Polars sets its own handler of SIGINT when it is imported, with SA_RESTART: the system
then goes on with a wait without a time-out, and a Python user heard a Ctrl-C only after 147 s of an outage. ``bqx`` and
Dagster set handlers of their own later, which end every wait."""


def in_threads(
    work: Callable[[_In], _Out], items: Iterable[_In], threads: int, name: str, *, ahead: int | None = None
) -> Iterator[_Out]:
    """Yield ``work``'s results in the order of ``items``; ``ahead``: at most so many more are under way or kept.

    An error of ``work`` ends it: what has not begun is left out, what has is waited for. After Ctrl-C nothing is waited
    for: with a store that does not answer, ``bqx status`` did not end for two minutes.
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
