"""Measures the memory, disk and processors that this process may use, by the container's limits and not the host's."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_CGROUP_V2 = Path("/sys/fs/cgroup/memory.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MOUNTS = Path("/proc/self/mounts")
_IN_MEMORY = {"tmpfs", "ramfs"}


def memory_limit_bytes() -> int:
    """Return the memory this process may use: the cgroup's limit where one is set, else the machine's memory."""
    machine = int(psutil.virtual_memory().total)
    for path in (_own_cgroup_v1(), _CGROUP_V2, _CGROUP_V1):
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():  # "max" means no limit
            return min(machine, int(text))
    return machine


def memory_free_bytes() -> int:
    """Return what this process may still allocate: machine-available, and its limit less its resident memory."""
    return min(int(psutil.virtual_memory().available), memory_limit_bytes() - resident_bytes())


def disk_free_bytes(folder: Path) -> int:
    """Return the free disk space where ``folder`` is or would be made."""
    while not folder.exists():
        folder = folder.parent
    return int(psutil.disk_usage(str(folder)).free)


def is_memory(folder: Path) -> bool:
    """Return whether files in ``folder`` are in memory: on a tmpfs, or on Cloud Run outside of what is mounted."""
    place = folder.absolute()
    mounts = [line.split()[1:3] for line in _read(_MOUNTS).splitlines()]
    # A later mount covers an earlier one at the same point, so the last of the deepest mounts counts.
    around = [(Path(point), kind) for point, kind in mounts if place.is_relative_to(point)]
    point, kind = max(reversed(around), key=lambda each: len(each[0].parts), default=(Path("/"), ""))
    return kind in _IN_MEMORY or (point == Path("/") and "CLOUD_RUN_JOB" in os.environ)


def resident_bytes() -> int:
    """Return this process's resident memory now."""
    return int(psutil.Process().memory_info().rss)


def worker_count() -> int:
    """Return how many processors this process may use."""
    return len(psutil.Process().cpu_affinity() or [0])


class PeakMemory:
    """Context manager that records the highest resident memory seen inside it, sampled every 20 ms.

    Linux's own high-water mark covers the process's whole life, so it cannot tell one stage from another.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self.peak_bytes = resident_bytes()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak_bytes = max(self.peak_bytes, resident_bytes())

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, int(process.memory_info().rss))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # no Linux


def _own_cgroup_v1() -> Path:
    """Return the limit file of the cgroup v1 group that this process is in, which is not the root group."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return _CGROUP_V1
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path(f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes")
    return _CGROUP_V1
