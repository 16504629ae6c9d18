"""Limits memory as for a container, where page cache and files in memory count."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psutil

_ROOT = Path("/sys/fs/cgroup/memory")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- a container's files are in its memory, so here they must be too


class MemoryCap(Protocol):
    """The limit of one container."""

    limit_bytes: int

    def wrapped(self, command: Sequence[str]) -> list[str]:
        """Return the command that starts ``command`` under the limit."""
        ...

    def exceeded(self, pid: int) -> bool:
        """Say whether the container of this main process has gone over its limit."""
        ...

    def peak_bytes(self) -> int:
        """Return the most that was in use at once."""
        ...

    def close(self) -> None:
        """Kill what is left and remove the limit."""
        ...


def memory_cap(limit_bytes: int, files: Path) -> MemoryCap:
    """Return a cap by the kernel where the machine allows one, else one that polls every few milliseconds."""
    group = _own_group() / f"cloud-run-{uuid.uuid4().hex[:12]}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError:
        return PolledCap(limit_bytes, files)
    return GroupCap(limit_bytes, group)


def folder_in_memory() -> Path | None:
    """Return a folder in memory for a container's files, None if there is none."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None


class GroupCap:
    """A cgroup v1 group, in which the kernel counts and kills."""

    def __init__(self, limit_bytes: int, group: Path) -> None:
        self.limit_bytes = limit_bytes
        self._group = group

    def wrapped(self, command: Sequence[str]) -> list[str]:
        script = 'echo $$ > "$0" && exec "$@"'  # in the group before the first instruction of the command
        return ["/bin/sh", "-c", script, str(self._group / "cgroup.procs"), *command]

    def exceeded(self, pid: int) -> bool:
        del pid
        facts = dict(line.split() for line in (self._group / "memory.oom_control").read_text().splitlines())
        return int(facts.get("oom_kill", 0)) > 0

    def peak_bytes(self) -> int:
        return int((self._group / "memory.max_usage_in_bytes").read_text())

    def close(self) -> None:
        for _ in range(100):
            for pid in (self._group / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                self._group.rmdir()
                return
            time.sleep(0.02)


class PolledCap:
    """A cap by polling the resident memory of the process and its children, and the size of their files."""

    def __init__(self, limit_bytes: int, files: Path) -> None:
        self.limit_bytes = limit_bytes
        self._files = files
        self._peak_bytes = 0

    def wrapped(self, command: Sequence[str]) -> list[str]:
        return list(command)

    def exceeded(self, pid: int) -> bool:
        used = sum(path.stat().st_size for path in self._files.rglob("*") if path.is_file())
        with contextlib.suppress(psutil.NoSuchProcess):
            main = psutil.Process(pid)
            for process in (main, *main.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    used += int(process.memory_info().rss)
        self._peak_bytes = max(self._peak_bytes, used)
        return used > self.limit_bytes

    def peak_bytes(self) -> int:
        return self._peak_bytes

    def close(self) -> None:
        """Do nothing, because nothing was made."""


def _own_group() -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _ROOT / path.lstrip("/")
    return _ROOT
