"""A process is identified by more than its number, its limits are the container's, and it reuses freed memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from bqx_assets.base import process
from bqx_assets.base.process import (
    PeakMemory,
    ProcessIdentity,
    disk_free_bytes,
    is_memory,
    memory_free_bytes,
    memory_limit_bytes,
    started_seconds,
    worker_count,
)


def test_a_containers_limit_goes_before_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lesson 10: nothing knew that the container had less than the host."""
    limit = tmp_path / "memory.max"
    limit.write_text("2147483648\n")
    monkeypatch.setattr(process, "_own_cgroup_v1", lambda: tmp_path / "none")
    monkeypatch.setattr(process, "_CGROUP_V2", limit)
    assert memory_limit_bytes() == 2 << 30
    assert memory_free_bytes() < 2 << 30


def test_no_limit_means_the_machines_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(process, "_own_cgroup_v1", lambda: tmp_path / "none")
    monkeypatch.setattr(process, "_CGROUP_V2", tmp_path / "memory.max")
    monkeypatch.setattr(process, "_CGROUP_V1", tmp_path / "none")
    assert memory_limit_bytes() == psutil.virtual_memory().total


def test_a_peak_counts_what_was_given_back_before_the_end() -> None:
    """Lesson 11: virtual memory is not resident; what counts is the peak, not the present."""
    with PeakMemory() as quiet:
        pass
    with PeakMemory() as busy:
        block = np.ones(25_000_000)  # 200 MB, touched
        del block
    assert busy.peak_bytes > quiet.peak_bytes + 100_000_000


def test_free_disk_is_asked_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert disk_free_bytes(tmp_path / "not" / "yet") > 0


def test_workers_are_the_processors_this_process_may_use() -> None:
    assert 1 <= worker_count() <= (psutil.cpu_count() or 1)


_MOUNTED = """\
overlay / overlay rw 0 0
proc /proc proc rw 0 0
/dev/vda /srv ext4 rw 0 0
tmpfs /srv/cache tmpfs rw 0 0
tmpfs /data tmpfs rw 0 0
bucket /data fuse.gcsfuse rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "here", "on_cloud_run"),
    [
        ("/", False, True),
        ("/tmp/bqx", False, True),  # noqa: S108 -- a name
        ("/srv", False, False),
        ("/srv/cachet", False, False),
        ("/srv/cache", True, True),
        ("/srv/cache/deep/not/yet/there", True, True),
        ("/data/pair", False, False),
    ],
)
def test_files_are_memory_on_a_tmpfs_and_on_cloud_run_outside_of_what_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, *, here: bool, on_cloud_run: bool
) -> None:
    (tmp_path / "mounts").write_text(_MOUNTED)
    monkeypatch.setattr(process, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.delenv("CLOUD_RUN_JOB", raising=False)
    assert is_memory(Path(folder)) == here
    monkeypatch.setenv("CLOUD_RUN_JOB", "bqx-pair")
    assert is_memory(Path(folder)) == on_cloud_run


def test_where_no_mounts_are_listed_files_are_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_MOUNTS", tmp_path / "none")
    assert not is_memory(tmp_path)


def test_a_living_process_is_not_dead_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil computes the start from the clock: when the clock was set, a living run's lease was taken over."""
    before = ProcessIdentity.this()
    real = psutil.Process.create_time

    def earlier(process: psutil.Process) -> float:
        return real(process) - 7_200

    monkeypatch.setattr(psutil.Process, "create_time", earlier)
    assert not before.is_dead()
    assert ProcessIdentity.this() == before


def test_a_start_is_within_the_time_since_boot_and_later_for_a_child() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert 0 < started_seconds(os.getpid()) <= started_seconds(child.pid)
        child.kill()
    with pytest.raises(psutil.NoSuchProcess):
        started_seconds(child.pid)


FRESH = """
import resource, sys
if sys.argv[1] == "kept":
    from bqx_assets.base.process import keep_freed_memory
    keep_freed_memory(64 << 20)
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [bytes(b"x" * (6 << 20)) for _ in range(4)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 4 * (6 << 20) // 4096
"""Of one round's pieces."""


def _faults(how: str, **environment: str) -> int:
    command = [sys.executable, "-c", FRESH, how]
    asked = os.environ | environment
    return int(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60, env=asked).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pieces_freed_and_wanted_again_are_not_fetched_anew() -> None:
    assert _faults("kept") < PAGES < _faults("as it starts out")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_what_the_environment_says_goes_first() -> None:
    assert _faults("kept", MALLOC_MMAP_THRESHOLD_="131072") > PAGES


BELOW_ONE_IN_USE = """
import threading
import psutil
from bqx_assets.base.process import return_freed_memory

def fill():
    blocks = [bytes(60_000) for _ in range(2_000)]
    in_use.append(bytes(60_000))

in_use, process = [], psutil.Process()
for _ in range(3):
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
before = process.memory_info().rss
return_freed_memory()
print(before - process.memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_memory_that_lies_below_a_block_in_use_is_returned() -> None:
    """An extraction's resident memory rose with each period, although nothing of the earlier ones was in use."""
    told = subprocess.run([sys.executable, "-c", BELOW_ONE_IN_USE], capture_output=True, check=True, timeout=60)
    assert int(told.stdout) > 60_000_000
