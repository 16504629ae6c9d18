"""One step of a run: its pair, its progress, what it cost, and its errors as Dagster shows them.

Belongs here: what every asset, check and the IO manager do around their work. Does not: the work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import Logger

import dagster as dg

from bqx_assets.base.errors import BqxError, TransientReadError
from bqx_assets.base.limits import PeakMemory
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.runtime.progress import StepProgress, listener
from bqx_assets.runtime.workspace import Workspace


@dataclass(slots=True)
class Step:
    """What a step works with, and what it has cost so far."""

    pair: Pair
    progress: StepProgress
    memory: PeakMemory
    started: float

    def cost(self) -> dict[str, dg.MetadataValue]:
        """Return seconds and peak resident memory up to now, as metadata."""
        return {
            "seconds": dg.MetadataValue.float(round(time.perf_counter() - self.started, 3)),
            "peak_memory_bytes": dg.MetadataValue.int(self.memory.peak_bytes),
        }


@contextmanager
def step(partition_key: str, log: Logger, workspace: Workspace) -> Iterator[Step]:
    """Measure a block and turn its errors into Dagster failures that read as the errors do.

    Raises:
        dagster.Failure: for each BqxError, with its four parts as metadata.
    """
    with errors_as_failures(), PeakMemory() as memory:
        yield Step(
            pair=parse_pair(partition_key),
            progress=StepProgress(log, listener(workspace.channel)),
            memory=memory,
            started=time.perf_counter(),
        )


@contextmanager
def errors_as_failures() -> Iterator[None]:
    """Raise each BqxError of the block as a Failure: its message is what the web server shows, not a traceback."""
    try:
        yield
    except BqxError as error:
        raise dg.Failure(
            description=str(error),
            metadata={
                "error": type(error).__name__,
                "exit_code": error.exit_code,
                "subject": error.subject,
                "got": error.got,
                "expected": error.expected,
                "cure": error.cure,
            },
            # Reads are retried inside extraction already; a defect of the data stays one.
            allow_retries=isinstance(error, TransientReadError),
        ) from error
