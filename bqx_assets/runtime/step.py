"""Surrounds the work of one step of a run: its pair, its progress, its cost, and its errors as Dagster shows them."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from logging import Logger

import dagster as dg

from bqx_assets.base import errors
from bqx_assets.base.errors import BqxError, SystemRefused, TransientReadError
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.printable import printable
from bqx_assets.base.process import PeakMemory
from bqx_assets.base.progress import QUIET_SECONDS, Progress, Silent
from bqx_assets.base.retry import RETRIES
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime.workspace import Workspace

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
        self._said = time.monotonic()

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
            done, total = self._done[stage], self._total.get(stage, 0)
        tenths = [count * _LOGGED_SHARE // max(total, 1) for count in (done - 1, done)]
        if done in (1, total) or tenths[0] < tenths[1]:
            self._say("%s: %s of %s, %s%s", stage, done, total, item, f" ({note})" if note else "")
        self._target.advance(stage, item, note)

    def warn(self, stage: str, message: str) -> None:
        """Log a warning."""
        message = printable(message)
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


MOST_CHARACTERS = 4_000
"""Of one text in an event: a failure of all 667 tables must stay far below 64 KB."""


@dataclass(slots=True)
class Step:
    """What a step works with, and what it has cost so far."""

    pair: Pair
    progress: StepProgress
    pipeline: Pipeline
    memory: PeakMemory
    started: float
    transient: bool = False
    """Set by a step whose error hides that it may pass by itself, as a failed extraction's table errors do."""

    def cost(self) -> dict[str, dg.MetadataValue]:
        """Return seconds and peak resident memory up to now, as metadata."""
        return {
            "seconds": dg.MetadataValue.float(round(time.perf_counter() - self.started, 3)),
            "peak_memory_bytes": dg.MetadataValue.int(self.memory.peak_bytes),
        }


@contextmanager
def step(partition_key: str, log: Logger, workspace: Workspace) -> Generator[Step]:
    """Measure a block and turn its errors into Dagster failures that read as the errors do.

    Raises:
        dagster.Failure: for each BqxError, with its four parts as metadata.
        dagster.RetryRequested: for one that may pass by itself.
    """
    note_error(workspace.channel, None)
    with errors_as_failures(), PeakMemory() as memory:
        progress = StepProgress(log, listener(workspace.channel))
        pipeline, started = workspace.pipeline(progress), time.perf_counter()
        run = Step(parse_pair(partition_key), progress, pipeline, memory, started)
        try:
            yield run
        except (BqxError, OSError) as refused:
            error = refused if isinstance(refused, BqxError) else SystemRefused.of(refused)
            note_error(workspace.channel, error)
            if not (run.transient or isinstance(error, TransientReadError)):
                raise failure(error) from refused
            # What extraction finished is not read again: only the tables that failed are. Requested here and not as
            # Dagster's own RetryPolicy, under which Dagster repeats what Ctrl-C or "Terminate" was to end.
            policy = RETRIES["step"]
            again, seconds = policy.attempts - 1, policy.first_wait_seconds
            raise dg.RetryRequested(max_retries=again, seconds_to_wait=seconds) from failure(error)


@contextmanager
def errors_as_failures() -> Generator[None]:
    """Raise each BqxError of the block as a Failure, and each refusal of the operating system likewise."""
    try:
        yield
    except BqxError as error:
        raise failure(error) from error
    except OSError as error:
        raise failure(SystemRefused.of(error)) from error


def failure(error: BqxError) -> dg.Failure:
    """Return an error as Dagster shows it: its message instead of a traceback, its parts as metadata."""
    parts = {"error": type(error).__name__, "subject": error.subject, "got": error.got}
    parts |= {"expected": error.expected, "cure": error.cure}
    return dg.Failure(
        description=str(error)[:MOST_CHARACTERS],
        metadata={name: dg.MetadataValue.text(text[:MOST_CHARACTERS]) for name, text in parts.items()},
    )


def failure_error(metadata: Mapping[str, dg.MetadataValue]) -> BqxError | None:
    """Return the error that ``failure`` made this metadata of; None for any other's."""
    texts = {name: str(value.value) for name, value in metadata.items()}
    kind = getattr(errors, texts.get("error", ""), None)
    if not (isinstance(kind, type) and issubclass(kind, BqxError)):
        return None
    return kind(texts["subject"], got=texts["got"], expected=texts["expected"], cure=texts["cure"])
