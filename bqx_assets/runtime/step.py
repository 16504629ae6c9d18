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
from typing import Protocol

import dagster as dg

from bqx_assets.base import errors
from bqx_assets.base.errors import BqxError, SystemRefused, TransientReadError
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.printable import cut, printable
from bqx_assets.base.process import PeakMemory
from bqx_assets.base.progress import QUIET_SECONDS, Progress, Silent
from bqx_assets.base.retry import RETRIES
from bqx_assets.fleet.recording import Recorded, recorded, refuse_over_budget
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime.launcher.tags import OUTCOME_TAG
from bqx_assets.runtime.workspace import Workspace

_LOGGED_SHARE = 10
"""Number of log lines for each stage: with one for each table, every run would add 667 rows to the event log."""

_listeners: dict[str, Progress] = {}
_errors: dict[str, BqxError | None] = {}
"""The error that stopped the last step of each channel. Dagster keeps only its message, and none of a retried step."""


@contextmanager
def listening(progress: Progress) -> Generator[str]:
    """Give the name of a channel to ``progress`` that is open during the block.

    Dagster rebuilds resources from their configuration, which contains only plain values such as this name.
    """
    channel = secrets.token_hex(8)
    _listeners[channel] = progress
    try:
        yield channel
    finally:
        del _listeners[channel]
        _errors.pop(channel, None)


def listener(channel: str | None) -> Progress:
    """Return the progress behind a channel; a silent one if nobody listens, as in a run of the web server."""
    return _listeners.get(channel or "", Silent())


def note_error(channel: str | None, error: BqxError | None) -> None:
    """Keep the error that stopped a step if somebody listens on the channel."""
    if channel in _listeners:
        _errors[channel] = error


def noted_error(channel: str) -> BqxError | None:
    """Return the error that stopped the last step; None if it succeeded, or something else stopped it."""
    return _errors.get(channel)


class StepProgress:
    """The progress of one step, forwarded to a listener and logged each tenth of a stage. Thread-safe."""

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
        """Log a wait and its reason, unless a line was logged just now."""
        with self._lock:
            quiet = time.monotonic() - self._said >= QUIET_SECONDS * 7 / 8
        if quiet:
            self._say("%s: %s", stage, printable(message))
        self._target.wait(stage, message)

    def _say(self, text: str, *values: object) -> None:
        self._said = time.monotonic()
        self._log.info(text, *values)


_OUTCOMES = {"ExtractionIncomplete": "tables_failed", "ValidationFailed": "checks_failed"}
MOST_BYTES = 4_000
"""Longest text in an event: a failure of all 667 tables must stay far below 64 KB."""


@dataclass(slots=True)
class Step:
    """The objects that a step works with, and its cost so far."""

    pair: Pair
    progress: StepProgress
    pipeline: Pipeline
    memory: PeakMemory
    started: float
    transient: bool = False
    """Set by a step whose error does not show that a retry may help, such as an extraction with failed tables."""

    def cost(self) -> dict[str, dg.MetadataValue]:
        """Return seconds and peak resident memory up to now, as metadata."""
        return {
            "seconds": dg.MetadataValue.float(round(time.perf_counter() - self.started, 3)),
            "peak_memory_bytes": dg.MetadataValue.int(self.memory.peak_bytes),
            "peak_memory": dg.MetadataValue.text(f"{self.memory.peak_bytes / 1e6:,.0f} MB"),
        }


class StepContext(Protocol):
    """The part of Dagster's contexts of assets, outputs and checks that a step uses."""

    @property
    def partition_key(self) -> str:
        """The pair's name."""
        ...

    @property
    def log(self) -> Logger:
        """The run's log."""
        ...


@contextmanager
def step(context: StepContext, workspace: Workspace, stage: str) -> Generator[Step]:
    """Measure a block, record it in the ledger, and turn its errors into Dagster failures that read as the errors do.

    The first step of a run does not begin in a month whose budget is spent.

    Raises:
        dagster.Failure: for each BqxError, with its four parts as metadata.
        dagster.RetryRequested: for an error that a retry may resolve.
    """
    note_error(workspace.channel, None)
    with errors_as_failures(), PeakMemory() as memory:
        progress = StepProgress(context.log, listener(workspace.channel))
        pipeline, started = workspace.pipeline(progress), time.perf_counter()
        run = Step(parse_pair(context.partition_key), progress, pipeline, memory, started)
        try:
            what = Recorded(_run_id(context), run.pair.name, stage)
            if stage != "verify":  # whether published files are whole is asked whatever the month has cost
                refuse_over_budget(pipeline, what.run)
            with recorded(pipeline, what, lambda: memory.peak_bytes):
                yield run
        except (BqxError, OSError) as refused:
            error = refused if isinstance(refused, BqxError) else SystemRefused.of(refused)
            note_error(workspace.channel, error)
            tag_outcome(context, _OUTCOMES.get(type(error).__name__, type(error).__name__))
            if not (run.transient or isinstance(error, TransientReadError)):
                raise failure(error) from refused
            # A retry reads only the tables that failed. It is requested here, because under Dagster's own RetryPolicy
            # Dagster also repeats a step that Ctrl-C or "Terminate" was to end.
            policy = RETRIES["step"]
            again, seconds = policy.attempts - 1, policy.first_wait_seconds
            raise dg.RetryRequested(max_retries=again, seconds_to_wait=seconds) from failure(error)


def _run_id(context: StepContext) -> str:
    """Return the id of a context's run: that of a check has it only as a part of the run."""
    run: dg.DagsterRun | None = getattr(context, "run", None)
    return run.run_id if run is not None else str(getattr(context, "run_id", ""))


def tag_outcome(context: object, outcome: str) -> None:
    """Give the context's run its outcome as a tag; nothing where there is no run, as in a test of one output."""
    place = context if hasattr(context, "instance") else getattr(context, "step_context", None)
    instance: dg.DagsterInstance | None = getattr(place, "instance", None)
    run: str = getattr(getattr(place, "run", None), "run_id", "") or str(getattr(place, "run_id", ""))
    if instance is not None and instance.has_run(run):
        instance.add_run_tags(run, {OUTCOME_TAG: outcome})


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
    """Return an error in Dagster's form: its message instead of a traceback, and its parts as metadata."""
    parts = {"error": type(error).__name__, "subject": error.subject, "got": error.got}
    parts |= {"expected": error.expected, "cure": error.cure}
    return dg.Failure(
        description=cut(str(error), MOST_BYTES),
        metadata={name: dg.MetadataValue.text(cut(text, MOST_BYTES)) for name, text in parts.items()},
    )


def failure_error(metadata: Mapping[str, dg.MetadataValue]) -> BqxError | None:
    """Return the error from which ``failure`` made this metadata; None for other metadata."""
    texts = {name: str(value.value) for name, value in metadata.items()}
    kind = getattr(errors, texts.get("error", ""), None)
    if not (isinstance(kind, type) and issubclass(kind, BqxError)):
        return None
    return kind(texts["subject"], got=texts["got"], expected=texts["expected"], cure=texts["cure"])
