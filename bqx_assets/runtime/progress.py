"""A step's progress, told to Dagster's log and to whoever started the run in this process.

Belongs here: rate-limited logging, and the channel by which a command line listens. Does not: drawing bars.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from logging import Logger

from bqx_assets.base.errors import BqxError
from bqx_assets.base.printable import printable
from bqx_assets.base.progress import QUIET_SECONDS, Progress, Silent

RESUMED = "resumed"
"""The note extraction gives to a table whose slab was fresh."""
_LOGGED_SHARE = 10
"""One log line for each tenth of a stage: 667 would be 667 rows in the event log a pair and run."""

_listeners: dict[str, Progress] = {}
_errors: dict[str, BqxError | None] = {}
"""What stopped the last step of each channel. Dagster's events keep its message, of a retried step not even that."""


@contextmanager
def listening(progress: Progress) -> Generator[str]:
    """Give the name of a channel that leads to ``progress`` while the block lasts.

    Dagster rebuilds resources from their configuration, which holds plain values only: the name is one.
    """
    channel = secrets.token_hex(8)
    _listeners[channel] = progress
    try:
        yield channel
    finally:
        del _listeners[channel]
        _errors.pop(channel, None)


def listener(channel: str | None) -> Progress:
    """Return the progress behind a channel; a silent one where nobody listens, as in a run of the web server."""
    return _listeners.get(channel or "", Silent())


def note_error(channel: str | None, error: BqxError | None) -> None:
    """Keep what stopped a step, for whoever listens."""
    if channel in _listeners:
        _errors[channel] = error


def noted_error(channel: str) -> BqxError | None:
    """Return what stopped the last step; None where it ended well, or by something else."""
    return _errors.get(channel)


class StepProgress:
    """Progress of one step: forwarded to a listener, and logged each tenth of a stage. Safe from several threads."""

    def __init__(self, log: Logger, target: Progress) -> None:
        self._log = log
        self._target = target
        self._lock = threading.Lock()
        self._total: dict[str, int] = {}
        self._done: Counter[str] = Counter()
        self._resumed = 0
        self._said = time.monotonic()
        self.warnings: list[str] = []
        """Every warning so far, without its stage."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage."""
        with self._lock:
            self._total[stage] = total
            self._done[stage] = 0
        self._say("%s: %s steps", stage, f"{total:,}")
        self._target.start(stage, total)

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """Count one step; log the first, the last and each tenth of them."""
        item, note = printable(item), printable(note)
        with self._lock:
            self._done[stage] += 1
            self._resumed += note == RESUMED
            done, total = self._done[stage], self._total.get(stage, 0)
        tenths = [count * _LOGGED_SHARE // max(total, 1) for count in (done - 1, done)]
        if done in (1, total) or tenths[0] < tenths[1]:
            self._say("%s: %s of %s, %s%s", stage, done, total, item, f" ({note})" if note else "")
        self._target.advance(stage, item, note)

    def warn(self, stage: str, message: str) -> None:
        """Log a warning."""
        message = printable(message)
        self.warnings.append(message)
        self._said = time.monotonic()
        self._log.warning("%s: %s", stage, message)
        self._target.warn(stage, message)

    def wait(self, stage: str, message: str) -> None:
        """Log what is waited for, unless a line was logged just now."""
        with self._lock:
            quiet = time.monotonic() - self._said >= QUIET_SECONDS * 7 / 8
        if quiet:
            self._say("%s: %s", stage, printable(message))
        self._target.wait(stage, message)

    def _say(self, text: str, *values: object) -> None:
        self._said = time.monotonic()
        self._log.info(text, *values)

    def count_resumed(self) -> int:
        """Return how many tables were not read again."""
        with self._lock:
            return self._resumed
