"""Who a process is, written down so that another process can tell that it is dead.

Belongs here: this process's identity, and the one sure question about another's. Does not: waiting for the living
(``objects/lease``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")


class Holder(BaseModel):
    """A process on a machine, or a container of a Cloud Run execution."""

    machine: str | None = None
    """Boot and process namespace: within one, a process id means the same. None where the system does not say."""
    process: int = 0
    started: float = 0.0
    """As :func:`started_seconds` says."""
    execution: str | None = None
    task: str = "0"
    attempt: int = 0
    """Of the execution's task: Cloud Run starts the next one after the last one ended."""

    @classmethod
    def this(cls) -> Self:
        """Return this process."""
        return cls(
            machine=_machine(),
            process=os.getpid(),
            started=started_seconds(os.getpid()),
            execution=os.environ.get("CLOUD_RUN_EXECUTION"),
            task=os.environ.get("CLOUD_RUN_TASK_INDEX", "0"),
            attempt=int(os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "0")),
        )

    def is_dead(self) -> bool:
        """Return whether the process is known to have ended; False where that cannot be known from here.

        All containers may call their host and process alike, so of a container only its successor knows.
        """
        own = Holder.this()
        if self.execution is not None or own.execution is not None:
            return (self.execution, self.task) == (own.execution, own.task) and self.attempt < own.attempt
        if self.machine is None or self.machine != own.machine:
            return False
        try:
            return abs(started_seconds(self.process) - self.started) > 1
        except psutil.NoSuchProcess:
            return True


def started_seconds(process: int) -> float:
    """Return when a process of this machine started, in seconds since the machine's boot.

    Not a time of day: that of a living process changes when the clock is set, and its lease was taken for a dead one's.
    Where the system does not tell it, a time of day all the same.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    try:
        # The second field, the program's name in brackets, may hold anything; the start is the 22nd.
        ticks = Path("/proc", str(process), "stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return psutil.Process(process).create_time()
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def _machine() -> str | None:
    try:
        return f"{_BOOT.read_text().strip()} {_PROCESSES.readlink()}"
    except OSError:
        return None
