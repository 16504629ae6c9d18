"""Records a stage in the ledger: its time and memory, and what it read, wrote and called while it was at work.

A stage never fails because the ledger cannot be written; it warns instead.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, TypeVar

import psutil

from bqx_assets.base.costs import cloud_run_usd, prices, query_usd, storage_operations_usd, storage_read_usd
from bqx_assets.base.errors import BqxError, UsageError
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import first_line
from bqx_assets.base.process import PeakMemory, memory_limit_bytes, worker_count
from bqx_assets.base.usage import Usage, used
from bqx_assets.fleet.entry import COMMAND, Entry
from bqx_assets.fleet.ledger import Ledger, refuse_spent
from bqx_assets.pipeline import Pipeline

_CLOUD_RUN_ENV = "CLOUD_RUN_JOB"
"""Set by Cloud Run in each container of a job."""
_STOPPED = "cancelled by a person, or by a signal"
_Done = TypeVar("_Done")


@dataclass(slots=True)
class _Billed:
    """The moment, in seconds since 1970, up to which this process's container has been charged to some stage."""

    until: float | None = None

    def seconds(self) -> float:
        """Return the seconds since the last call, at first since the process began, and charge them."""
        now = time.time()
        since, self.until = self.until or psutil.Process().create_time(), now
        return max(0.0, now - since)


_BILLED = _Billed()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stage of a run of a pair, as the ledger names it."""

    run: str
    pair: str
    stage: str


@contextmanager
def recorded(
    pipeline: Pipeline, what: Recorded, peak_bytes: Callable[[], int], *, keep_refused: bool = True
) -> Generator[None]:
    """Keep an entry of the block in the ledger of the pipeline's store: when it begins, and when it ends or fails.

    ``peak_bytes`` tells the block's peak memory. In a container the time before the block, since the process began or
    its last stage ended, is charged to the block, because it is paid for as well. Without ``keep_refused`` a block that
    refuses what it was asked for, before it read anything that is billed, leaves no entry.
    """
    entry, before = _begun(what), used()
    began, cpu = time.perf_counter(), _cpu_seconds()
    begun = _written(pipeline, lambda ledger: ledger.begin(entry))
    error: BaseException | None = None
    try:
        yield
        if what.stage == "publish":
            _join(pipeline)
    except BaseException as failed:
        error = failed
        raise
    finally:
        facts: dict[str, Any] = {
            "outcome": "done" if error is None else "failed",
            "error": "" if error is None else _error_name(error),
            "message": "" if error is None else first_line(error) if isinstance(error, Exception) else _STOPPED,
            "seconds": round(time.perf_counter() - began, 3),
            "cpu_seconds": round(_cpu_seconds() - cpu, 3),
            "peak_bytes": peak_bytes(),
        }
        # What writes the entry itself is billed as well.
        last = Usage(class_a=1) if begun is not None and pipeline.in_bucket else Usage()
        ended = _priced(entry.model_copy(update=facts), used() - before + last)
        refused = isinstance(error, UsageError) and not keep_refused and ended.bigquery_usd == 0
        if begun is not None:
            _written(pipeline, lambda ledger: ledger.withdraw(begun) if refused else ledger.end(ended, begun))


def _join(pipeline: Pipeline) -> None:
    """Join old entries at the end of a run: without it a year has 70,000 objects, which each run would read."""
    with suppress(BqxError, OSError):  # the next run tries again
        Ledger(pipeline.store).join(datetime.now(UTC))


@contextmanager
def recorded_command(pipeline: Pipeline, pair: Pair, stage: str) -> Generator[None]:
    """Keep an entry of a command's work on a pair, which is a run of its own. A wrong word or setting leaves none.

    Raises:
        BudgetExceeded, CheckpointCorrupt: as ``refuse_spent``. Nothing was read or changed.
        StoreError: there is a budget, and the store does not answer.
    """
    refuse_over_budget(pipeline)
    what = Recorded(f"{COMMAND}{secrets.token_hex(8)}", pair.name, stage)
    with PeakMemory() as memory, recorded(pipeline, what, lambda: memory.peak_bytes, keep_refused=False):
        yield


def refuse_over_budget(pipeline: Pipeline, run: str = "") -> None:
    """Refuse as ``refuse_spent``, by the pipeline's settings; without a budget its store is not even opened.

    Raises:
        BudgetExceeded, CheckpointCorrupt, StoreError: as ``refuse_spent``.
    """
    if pipeline.settings.monthly_budget_usd is not None:
        refuse_spent(Ledger(pipeline.store), pipeline.settings.monthly_budget_usd, datetime.now(UTC), run)


def _begun(what: Recorded) -> Entry:
    in_container = _CLOUD_RUN_ENV in os.environ
    return Entry(
        run=what.run,
        pair=what.pair,
        stage=what.stage,
        began_at=datetime.now(UTC),
        outcome="began",
        place="Cloud Run" if in_container else "machine",
        vcpus=worker_count() if in_container else 0,
        gib=memory_limit_bytes() / (1 << 30) if in_container else 0,
        prices_as_of=prices().as_of,
        version=version("bqx-assets"),
    )


def _priced(entry: Entry, usage: Usage) -> Entry:
    """Return the entry with the counts of its stage, and what they cost by the price table."""
    paid_seconds = _BILLED.seconds() if entry.place == "Cloud Run" else 0.0
    return entry.model_copy(
        update={
            "read_bytes": usage.read_bytes,
            "queried_bytes": usage.queried_bytes,
            "written_bytes": usage.written_bytes,
            "class_a": usage.class_a,
            "class_b": usage.class_b,
            "compute_usd": cloud_run_usd(paid_seconds, vcpus=entry.vcpus, gib=entry.gib),
            "bigquery_usd": storage_read_usd(usage.read_bytes) + query_usd(usage.queried_bytes),
            "storage_usd": storage_operations_usd(usage.class_a, usage.class_b),
        }
    )


def _error_name(error: BaseException) -> str:
    """Return the class of an error; one name for Ctrl-C, SIGTERM and a run that was cancelled in Dagster."""
    return type(error).__name__ if isinstance(error, Exception) else "Interrupted"


def _cpu_seconds() -> float:
    used_times = os.times()
    return used_times.user + used_times.system


def _written(pipeline: Pipeline, write: Callable[[Ledger], _Done]) -> _Done | None:
    """Write to the ledger; return None after a warning if that is refused."""
    try:
        return write(Ledger(pipeline.store))
    except (BqxError, OSError) as refused:
        pipeline.progress.warn("ledger", f"this stage is not in the ledger: {first_line(refused)}")
        return None
