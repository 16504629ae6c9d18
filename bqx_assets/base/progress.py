"""The protocol by which a stage reports its progress; the command line and Dagster each implement it.

It also reports what a stage is waiting for, and why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

QUIET_SECONDS = 8.0
"""Time without a line after which a line says what is waited for: nobody should have to wonder for more than 10 s."""
_SETBACK_SECONDS = 30.0
"""Time for which a failure is reported: a silent call is given up after 25 s and repeated up to 8 s later."""


class Progress(Protocol):
    """Receives a stage's steps, from any thread."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage ("extract", "merge", "validate", "publish", ...) of ``total`` steps."""
        ...

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """Report that a step is done: ``item`` is its subject (a table), ``note`` a remark ("resumed")."""
        ...

    def warn(self, stage: str, message: str) -> None:
        """Report something that a user should see and that stops nothing."""
        ...

    def wait(self, stage: str, message: str) -> None:
        """Report what a stage is still waiting for. It is shown only if nothing else was shown for some seconds."""
        ...


class Silent:
    """A progress that reports nothing."""

    def start(self, stage: str, total: int) -> None:
        """Ignore."""

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """Ignore."""

    def warn(self, stage: str, message: str) -> None:
        """Ignore."""

    def wait(self, stage: str, message: str) -> None:
        """Ignore."""


class Setbacks:
    """The last failed call that is being repeated, for the line that says what a stage is waiting for.

    There is one for the whole process, because a store has no progress to report to. It is safe to use from threads.
    """

    def __init__(self) -> None:
        self._last = (-_SETBACK_SECONDS, "")

    def note(self, words: str) -> None:
        """Keep ``words`` about a call that failed."""
        self._last = (time.monotonic(), words)

    def words(self) -> str:
        """Return the words about a recent failure; empty if there was none."""
        noted, words = self._last
        return words if time.monotonic() - noted < _SETBACK_SECONDS else ""


SETBACKS = Setbacks()


def at_work(what: str) -> Callable[[], str]:
    """Return a function for :func:`waiting` that gives ``what`` and the call that is being repeated, if any."""
    return lambda: "; ".join(filter(None, (what, SETBACKS.words())))


@contextmanager
def waiting(
    progress: Progress, stage: str, what: Callable[[], str], *, seconds: float = QUIET_SECONDS
) -> Generator[None]:
    """Report every few ``seconds`` what is waited for, until the block ends. ``what`` is called in another thread."""
    over = threading.Event()

    def tell() -> None:
        pause = seconds
        while not over.wait(pause):
            progress.wait(stage, what())
            # Four times as often, because a progress that has just shown something drops the report: with whole pauses
            # the silence would last up to twelve seconds.
            pause = seconds / 4

    teller = threading.Thread(target=tell, name="waiting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
