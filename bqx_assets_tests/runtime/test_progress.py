"""Progress of a step: a handful of log lines, and every step to whoever listens."""

from __future__ import annotations

import logging

import pytest

from bqx_assets.base.progress import Silent
from bqx_assets.runtime.progress import StepProgress, listener, listening


class Heard(Silent):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.warnings: list[str] = []

    def advance(self, stage: str, item: str, note: str = "") -> None:
        self.items.append(f"{stage} {item} {note}")

    def warn(self, stage: str, message: str) -> None:
        self.warnings.append(f"{stage} {message}")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    caplog.set_level(logging.INFO)
    return logging.getLogger("step")


@pytest.mark.parametrize("total", [1, 7, 667])
def test_a_stage_of_any_size_is_a_dozen_log_lines(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, total: int
) -> None:
    progress = StepProgress(log, Silent())
    progress.start("extract", total)
    for number in range(total):
        progress.advance("extract", f"table_{number}")
    lines = [record.message for record in caplog.records]
    assert len(lines) <= 13
    assert lines[-1] == f"extract: {total} of {total}, table_{total - 1}"


def test_a_listener_hears_every_step_and_warning(log: logging.Logger) -> None:
    heard = Heard()
    progress = StepProgress(log, heard)
    progress.start("extract", 3)
    for table in ("a", "b", "c"):
        progress.advance("extract", table, "resumed")
    progress.warn("extract", "quarantined")
    assert heard.items == ["extract a resumed", "extract b resumed", "extract c resumed"]
    assert heard.warnings == ["extract quarantined"]
    assert progress.warnings == ["quarantined"]
    assert progress.count_resumed() == 3


def test_a_channel_leads_to_its_listener_while_it_listens_and_to_silence_after() -> None:
    heard = Heard()
    with listening(heard) as channel:
        assert listener(channel) is heard
    assert isinstance(listener(channel), Silent)
    assert not isinstance(listener(channel), Heard)


def test_nobody_listens_to_a_run_of_the_web_server() -> None:
    assert type(listener(None)) is Silent


def test_what_is_waited_for_is_logged_while_nothing_else_is(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("bqx_assets.runtime.progress.time.monotonic", lambda: now)
    progress = StepProgress(log, Silent())
    progress.wait("catalogue", "too soon")
    now += 8
    progress.wait("catalogue", "bqx-ml is asked for its tables")
    progress.wait("catalogue", "too soon")
    assert [record.message for record in caplog.records] == ["catalogue: bqx-ml is asked for its tables"]
    assert progress.warnings == []
