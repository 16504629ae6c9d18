"""One step of a run: its pair, its progress, what it cost, and its errors as Dagster shows them.

Belongs here: what every asset, check and the IO manager do around their work. Does not: the work.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from logging import Logger

import dagster as dg

from bqx_assets.base import errors
from bqx_assets.base.errors import BqxError, SystemRefused, TransientReadError
from bqx_assets.base.limits import PeakMemory
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime.progress import StepProgress, listener, note_error
from bqx_assets.runtime.workspace import Workspace

MOST_CHARACTERS = 4_000
"""Of one text in an event: a failure of all 667 tables must stay far below 64 KB."""
_TRIES_AGAIN, _WAIT_SECONDS = 2, 2.0
"""Of a step. Not as a ``RetryPolicy``: under one, Dagster tries again what Ctrl-C or "Terminate" was to end."""


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
            # What extraction finished is not read again: only the tables that failed are.
            raise dg.RetryRequested(max_retries=_TRIES_AGAIN, seconds_to_wait=_WAIT_SECONDS) from failure(error)


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
