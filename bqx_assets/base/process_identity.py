"""The identity of a process, written down so that another process can find out that it has ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")


class ProcessIdentity(BaseModel):
    """A process on a machine, or a container of a Cloud Run execution."""

    machine: str | None = None
    """Boot and process namespace, within which a process id is unique. None where the system does not tell it."""
    process: int = 0
    started: float = 0.0
    """The process's start, as :func:`started_seconds` returns it."""
    execution: str | None = None
    task: str = "0"
    attempt: int = 0
    """The attempt of the execution's task: Cloud Run starts the next one only after the last one has ended."""

    @classmethod
    def this(cls) -> Self:
        """Return the identity of this process."""
        return cls(
            machine=_machine(),
            process=os.getpid(),
            started=started_seconds(os.getpid()),
            execution=os.environ.get("CLOUD_RUN_EXECUTION"),
            task=os.environ.get("CLOUD_RUN_TASK_INDEX", "0"),
            attempt=int(os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "0")),
        )

    def is_dead(self) -> bool:
        """Return whether the process is known to have ended; False where this process cannot know it.

        Host names and process ids may be the same in all containers, so only the next attempt of the same task knows
        that a container has ended.
        """
        own = ProcessIdentity.this()
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

    A time of day would not do: it changes when the clock is set, and then a living process was taken for a dead one.
    Only where the system does not tell the time since the boot, a time of day is returned.

    Raises:
        psutil.NoSuchProcess: there is no such process.
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
