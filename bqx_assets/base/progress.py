"""How a stage tells that it is moving: a protocol the command line and Dagster each implement.

Belongs here: the protocol, the silent default, and telling what is waited for and why. Does not: drawing or logging.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

QUIET_SECONDS = 8.0
"""Without a line, until one says what is waited for: somebody who watches should not wonder for more than ten."""
_SETBACK_SECONDS = 30.0
"""How long a failure is worth telling: a call that is silent is given up after 25 s, and made again 8 s later."""


class Progress(Protocol):
    """Receives a stage's steps, from any thread."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage ("extract", "merge", "validate", "publish", ...) of ``total`` steps."""
        ...

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """One step is done: ``item`` is its subject (a table), ``note`` what is worth saying ("resumed")."""
        ...

    def warn(self, stage: str, message: str) -> None:
        """Something a user should see, that stops nothing."""
        ...

    def wait(self, stage: str, message: str) -> None:
        """A stage is still waiting, for what ``message`` says. Shown only if nothing else was for some seconds."""
        ...


class Silent:
    """Progress that goes nowhere."""

    def start(self, stage: str, total: int) -> None:
        """Ignore."""

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """Ignore."""

    def warn(self, stage: str, message: str) -> None:
        """Ignore."""

    def wait(self, stage: str, message: str) -> None:
        """Ignore."""


class Setbacks:
    """The last call of a store that failed and is made again, for the line that says what a wait is for.

    One for the process, as calls are: a store knows of no progress. Safe from several threads.
    """

    def __init__(self) -> None:
        self._last = (-_SETBACK_SECONDS, "")

    def note(self, words: str) -> None:
        """Keep ``words``: what failed."""
        self._last = (time.monotonic(), words)

    def words(self) -> str:
        """Return what failed lately, empty for nothing."""
        noted, words = self._last
        return words if time.monotonic() - noted < _SETBACK_SECONDS else ""


SETBACKS = Setbacks()


def at_work(what: str) -> Callable[[], str]:
    """Return what :func:`waiting` tells of a stage that is at work: ``what``, and the call that is made again."""
    return lambda: "; ".join(filter(None, (what, SETBACKS.words())))


@contextmanager
def waiting(
    progress: Progress, stage: str, what: Callable[[], str], *, seconds: float = QUIET_SECONDS
) -> Generator[None]:
    """Tell every few ``seconds`` what is waited for, until the block ends. ``what`` is asked on another thread."""
    over = threading.Event()

    def tell() -> None:
        pause = seconds
        while not over.wait(pause):
            progress.wait(stage, what())
            # Looked at more often than it is said: a progress that has just said something leaves one out, and whole
            # pauses would make a silence of twelve seconds of that.
            pause = seconds / 4

    teller = threading.Thread(target=tell, name="waiting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
