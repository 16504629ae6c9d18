"""Who a process is does not follow from the time of day."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from bqx_assets.base.process_identity import ProcessIdentity, started_seconds


def test_a_living_process_is_not_dead_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil reckons a start from the clock: it moved with it, and a living run's lease was taken over."""
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
