"""Runs calls in processes of their own, under a memory cap, with a cold or a warm page cache; keeps their figures."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.child import GROUP
from bqx_assets.cli.entry import ENVIRONMENT

_CGROUPS = Path("/sys/fs/cgroup/memory")
_PIECE_BYTES = 16 << 20
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``outcome`` is empty if it ended well, else "out of memory", "over 600 s" or "failed: ..."."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    result: Any = None
    outcome: str = ""


@dataclass(slots=True)
class Runs:
    """The runs of one kind of a contestant."""

    runs: list[Run] = field(default_factory=list[Run])

    @property
    def outcome(self) -> str:
        """Return the outcome of the first run that failed, if any did."""
        return next((run.outcome for run in self.runs if run.outcome), "")

    @property
    def seconds(self) -> float:
        """Return the median time."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """Return the median processor time."""
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        """Return the highest peak."""
        return max(run.peak_bytes for run in self.runs)

    @property
    def spread(self) -> str:
        """Return the fastest and the slowest time."""
        found = [run.seconds for run in self.runs]
        return f"{min(found):.2f}-{max(found):.2f}"


@dataclass(frozen=True, slots=True)
class Apart:
    """Runs calls in processes of their own, each within ``limit_seconds`` and in the control group, if there is one."""

    group: Path | None = None
    limit_seconds: float = 600.0
    python: str = sys.executable
    """The interpreter, for libraries that are not of this environment."""

    def run(
        self, function: Callable[..., object], *arguments: object, environment: dict[str, str] | None = None
    ) -> Run:
        """Run ``function`` with its arguments as texts; return its measures."""
        target = f"{function.__module__}:{function.__name__}"  # type: ignore[attr-defined]
        command = [self.python, "-m", "benchmarks.child", target, *(str(each) for each in arguments)]
        group = {GROUP: str(self.group)} if self.group else {}
        killed = self._kills()
        try:
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                timeout=self.limit_seconds,
                env=ENVIRONMENT | os.environ | group | (environment or {}),
            )
        except subprocess.TimeoutExpired:
            return Run(outcome=f"over {self.limit_seconds:,.0f} s")
        if done.returncode == 0:
            return Run(**json.loads(done.stdout.splitlines()[-1]))
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        last, end = lines[-1], " ".join(lines[-_LAST_LINES:]).lower()  # DuckDB's ends in a list of advice
        words = ("out of memory", "malloc", "memory allocation", "memoryerror")
        if self._kills() > killed or any(word in end for word in words):
            return Run(outcome="out of memory")
        return Run(outcome=f"failed: {last[:120]}")

    def _kills(self) -> int:
        if self.group is None:
            return 0
        lines = (self.group / "memory.oom_control").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


@contextmanager
def capped(cap_bytes: int, limit_seconds: float) -> Generator[Apart]:
    """Give an ``Apart`` with a memory cap that counts the page cache, or say why there is none and give one without."""
    group = _CGROUPS / f"benchmark-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(cap_bytes))
    except OSError as error:
        print(f"no memory cap: {error}", flush=True)
        yield Apart(None, limit_seconds)
        return
    try:
        yield Apart(group, limit_seconds)
    finally:
        (group / "memory.force_empty").write_text("0")
        group.rmdir()


def make_cold(files: Iterable[Path]) -> None:
    """Drop the files from the page cache, after writing what is dirty."""
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.fdatasync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def make_warm(files: Iterable[Path]) -> None:
    """Read the files, so that as much of them is cached as fits into memory."""
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(_PIECE_BYTES):
                pass


def alternating(names: Sequence[str], rounds: int) -> Iterable[str]:
    """Give all names ``rounds`` times; each round begins with another one, so that none is always first."""
    for number in range(rounds):
        yield from names[number % len(names) :]
        yield from names[: number % len(names)]
