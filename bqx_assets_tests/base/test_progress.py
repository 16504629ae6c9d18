"""A wait is reported again and again, and only as long as it lasts."""

from __future__ import annotations

import io
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
from rich.console import Console

from bqx_assets.base import progress as module
from bqx_assets.base.progress import Setbacks, Silent, at_work, waiting
from bqx_assets.cli.progress import ConsoleProgress


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


@pytest.mark.parametrize("line_at", [0.1, 0.9, 2.0, 3.9, 4.1, 6.9, 7.9, 9.0])
def test_another_line_in_between_makes_no_silence_of_more_than_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, line_at: float
) -> None:
    """A line 3.9 s before a report suppressed the report, and the next one was 8 s away."""
    now, said = 0.0, [0.0]

    class Kept(io.StringIO):
        def write(self, text: str, /) -> int:
            said.append(now)
            return len(text)

    class Jump(threading.Event):
        """An event whose waits take no time."""

        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now
            until = now + (timeout or 0.0)
            if now < line_at <= until:
                now = line_at
                progress.warn("extract", "something else")
            now = until
            return now > 60

    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=Jump, Thread=threading.Thread))
    progress = ConsoleProgress(Console(file=Kept()), clock=lambda: now)
    with waiting(progress, "extract", lambda: "reading"):
        pass
    assert max(b - a for a, b in pairwise(said)) < 10
    assert 60 - said[-1] < 10


def test_a_stage_at_work_tells_the_call_that_is_made_again_while_that_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    setbacks = Setbacks()
    monkeypatch.setattr(module, "SETBACKS", setbacks)
    now = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    words = at_work("writing gs://b/x")
    assert words() == "writing gs://b/x"
    setbacks.note("Cloud Storage cannot answer, asked again")
    assert words() == "writing gs://b/x; Cloud Storage cannot answer, asked again"
    now += 31
    assert words() == "writing gs://b/x"
