"""Whoever waits is told so, again and again, and no longer than the wait."""

from __future__ import annotations

import time

import pytest

from bqx_assets.base.progress import Silent, waiting


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def wait(self, stage: str, message: str) -> None:
        self.lines.append(f"{stage}: {message}")


def test_a_wait_is_told_of_until_it_is_over_also_by_an_error() -> None:
    told = Told()

    def broken() -> None:
        deadline = time.monotonic() + 10
        with waiting(told, "catalogue", lambda: f"look {len(told.lines)}", seconds=0.01):
            while len(told.lines) < 3 and time.monotonic() < deadline:
                time.sleep(0.005)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert told.lines[:3] == ["catalogue: look 0", "catalogue: look 1", "catalogue: look 2"]
    count = len(told.lines)
    time.sleep(0.05)
    assert len(told.lines) == count
