"""Runs a container: a process group under a memory limit, with files of its own, until it ends or is ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bqx_assets_tests.servers.cloud_run.memory import MemoryCap, folder_in_memory, memory_cap

_DEADLINE_EXCEEDED, _UNKNOWN, _RESOURCE_EXHAUSTED = 4, 2, 8
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a container: its exit code, and the words for it."""

    exit_code: int = 0
    term_signal: int = 0
    code: int = 0
    message: str = ""
    cancelled: bool = False
    peak_bytes: int = 0
    reason: int = 0
    """A ``Condition.CommonReason`` if the container could not be started."""

    @property
    def succeeded(self) -> bool:
        return self.code == 0 and not self.cancelled


@dataclass(frozen=True, slots=True)
class Image:
    """The variables and limits that a container is started with, and the way it is ended."""

    command: Sequence[str]
    env: Mapping[str, str]
    memory_bytes: int
    timeout_seconds: float
    grace_seconds: float
    log: Path


def run_container(image: Image, cancelled: threading.Event, started: list[int]) -> Ended:
    """Start the container and wait for its end; the id of its main process is appended to ``started``."""
    files = Path(tempfile.mkdtemp(prefix="cloud-run-", dir=folder_in_memory()))
    cap = memory_cap(image.memory_bytes, files)
    env = {"HOME": str(files), "TMPDIR": str(files), **image.env}
    try:
        with image.log.open("ab") as log:
            process = subprocess.Popen(
                cap.wrapped(image.command), cwd=files, env=env, stdout=log, stderr=log, start_new_session=True
            )
            started.append(process.pid)
            try:
                return _watch(process, cap, image, cancelled)
            finally:
                _kill(process)
    finally:
        cap.close()
        shutil.rmtree(files, ignore_errors=True)


def _watch(process: subprocess.Popen[bytes], cap: MemoryCap, image: Image, cancelled: threading.Event) -> Ended:
    deadline = time.monotonic() + image.timeout_seconds
    while process.poll() is None:
        if cap.exceeded(process.pid):
            return _out_of_memory(cap)
        if cancelled.is_set():
            _end(process, image.grace_seconds)
            return Ended(cancelled=True, peak_bytes=cap.peak_bytes())
        if time.monotonic() > deadline:
            _end(process, image.grace_seconds)
            return Ended(
                code=_DEADLINE_EXCEEDED, message="The configured timeout was reached.", peak_bytes=cap.peak_bytes()
            )
        time.sleep(0.01)
    if cap.exceeded(process.pid):
        return _out_of_memory(cap)
    code, peak = process.returncode, cap.peak_bytes()
    if code == 0:
        return Ended(peak_bytes=peak)
    # A container's main process that was killed by a signal shows as 128 and the signal.
    return Ended(
        exit_code=code if code > 0 else 128 - code,
        code=_UNKNOWN,
        message="The container exited with an error.",
        peak_bytes=peak,
    )


def _out_of_memory(cap: MemoryCap) -> Ended:
    limit, used = cap.limit_bytes // _MIB, cap.peak_bytes() // _MIB
    return Ended(
        term_signal=signal.SIGKILL,
        code=_RESOURCE_EXHAUSTED,
        message=f"Memory limit of {limit} MiB exceeded with {used} MiB used. Consider increasing the memory limit, "
        "see https://cloud.google.com/run/docs/configuring/memory-limits",
        peak_bytes=cap.peak_bytes(),
    )


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill all processes of a container: it ends with its main process."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
