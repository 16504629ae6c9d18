"""The process that this code runs in: its identity, its memory, disk and processors, and its reuse of freed memory.

The limits are those of the container, where it has some, and not those of the host.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pydantic import BaseModel

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")
_CGROUP_V2 = Path("/sys/fs/cgroup/memory.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MOUNTS = Path("/proc/self/mounts")
_IN_MEMORY = {"tmpfs", "ramfs"}
_LARGEST_KEPT_BYTES = 32 << 20
"""Size from which glibc maps a block on its own, and returns it as soon as it is freed; it accepts no larger one."""


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
    """Return the memory this process may still allocate: the machine's free memory, or less by its own limit."""
    return min(int(psutil.virtual_memory().available), memory_limit_bytes() - resident_bytes())


def disk_free_bytes(folder: Path) -> int:
    """Return the free disk space where ``folder`` is or would be created."""
    while not folder.exists():
        folder = folder.parent
    return int(psutil.disk_usage(str(folder)).free)


def is_memory(folder: Path) -> bool:
    """Return whether files in ``folder`` take memory: on a tmpfs, and on Cloud Run outside of mounted volumes."""
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


def keep_freed_memory(kept_bytes: int) -> None:
    """Let glibc keep up to ``kept_bytes`` of freed memory in each arena for later allocations.

    gRPC allocates and frees several megabytes for each answer, and so does each strip of columns in a merge of raw
    checkpoints. By default glibc returns that memory to the kernel and requests it again, and the kernel clears each
    page: this takes about a fifth of the time of reading a table (``python -m benchmarks.extract``) and a twentieth of
    such a merge. It holds for the whole process; environment variables of the same settings take precedence. Nothing is
    done on systems without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for variable, number, value in (
        ("MALLOC_MMAP_THRESHOLD_", -3, _LARGEST_KEPT_BYTES),
        ("MALLOC_TRIM_THRESHOLD_", -1, kept_bytes),
    ):
        if variable not in os.environ:
            libc.mallopt(number, value)


def return_freed_memory() -> None:
    """Return the freed memory of all of glibc's arenas to the kernel; do nothing on other systems.

    An arena keeps the pages that lie below a block in use, and threads allocate in several arenas. Without a limit of
    arenas the resident memory of an extraction of 24 tables x 1,000,000 rows rose from 480 MB in the first quarter to
    1,000 MB in the eleventh; with one call after each quarter it stayed below 600 MB. A call takes about 0.03 seconds.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _machine() -> str | None:
    try:
        return f"{_BOOT.read_text().strip()} {_PROCESSES.readlink()}"
    except OSError:
        return None


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
