"""What ``bqx fleet run`` shows while it runs and at its end. The runs themselves: ``runtime/test_fleet_runs.py``."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NoReturn

import pytest
from rich.console import Console

from bqx_assets.cli import fleet_run
from bqx_assets.cli.fleet_run import _progress, _signals_as_interrupts, outcome_table
from bqx_assets.cli.main import app
from bqx_assets.runtime import fleet_runs
from bqx_assets.runtime.fleet_runs import MemberRun
from bqx_assets_tests.runtime.homes import make_home


def member(pair: str, state: str, **facts: object) -> MemberRun:
    return MemberRun.model_validate({"pair": pair, "run_id": "abcdefgh-1", "state": state, "followed": False, **facts})


RUNS = [
    member("eurusd", "done", seconds=61.25, usd=0.5),
    member("gbpusd", "failed", seconds=2.0, usd=0.25, error="x" * 300, cure="bqx extract gbpusd"),
    member("usdjpy", "running", seconds=1.0),
    member("usdchf", "queued"),
]


def test_the_table_has_seconds_usd_the_error_cut_and_the_cure_as_it_is_to_be_typed() -> None:
    out = Console(file=io.StringIO(), width=400)
    out.print(outcome_table(RUNS, "bqx --home here"))
    assert isinstance(out.file, io.StringIO)
    lines = [line.rstrip() for line in out.file.getvalue().splitlines()]
    assert lines[1].split() == ["✓", "eurusd", "abcdefgh", "61.2", "0.5000"]
    assert lines[2].endswith(f" {'x' * 199}…")
    assert lines[3].strip() == "→ bqx --home here extract gbpusd"
    assert lines[4].split() == ["…", "usdjpy", "abcdefgh", "1.0"]


def test_a_line_of_progress_counts_what_is_done_running_failed_and_left() -> None:
    assert _progress(RUNS, 90.0) == "1 done, 1 running, 1 failed, 1 left, 0.7500 USD so far, about 0:01:30 left"
    assert _progress(RUNS, None).endswith("USD so far")


def test_a_named_pair_without_tables_is_refused_before_anything_is_queued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_home(tmp_path / "home", tables=1)
    with pytest.raises(SystemExit) as ended:
        app(["--home", str(home), "fleet", "run", "--json", "--pairs", "eurusd,usdjpy"])
    assert ended.value.code == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"] == "BadSetting"
    assert answer["got"].endswith("Launch only pairs that have some: eurusd")
    assert not (home / "dagster").exists()


@pytest.mark.parametrize("left", ["no warehouse", "no targets"])
def test_where_no_pair_has_tables_one_error_says_so_and_no_run_is_launched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    home = make_home(tmp_path / "home", tables=1)
    if left == "no warehouse":
        shutil.rmtree(home / "warehouse")
    else:
        next((home / "warehouse").rglob("targets_eurusd.parquet")).unlink()
    with pytest.raises(SystemExit) as ended:
        app(["--home", str(home), "fleet", "run", "--json"])
    assert ended.value.code == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["error"], answer["got"]) == (
        "TableMissing",
        "no such folder" if left == "no warehouse" else "no such table",
    )
    assert not (home / "dagster").exists()


def test_a_second_signal_does_not_end_the_cancelling_that_the_first_has_begun() -> None:
    before = signal.getsignal(signal.SIGTERM)
    told: list[str] = []
    with _signals_as_interrupts():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            told.append("cancelled")
    assert told == ["cancelled"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_later_signal_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_run, "_ONE_EVENT_SECONDS", 0.0)
    with _signals_as_interrupts():
        for number in (signal.SIGTERM, signal.SIGTERM):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)


class _Queue:
    """A fleet that is interrupted at once."""

    id = "f"

    def __init__(self) -> None:
        self.cancelled = 0

    def launch(self, _: object) -> NoReturn:
        raise KeyboardInterrupt

    def cancel(self) -> list[MemberRun]:
        self.cancelled += 1
        return RUNS


def test_runs_are_cancelled_also_when_the_terminal_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> NoReturn:
        raise OSError(5, "Input/output error")

    queue, home = _Queue(), make_home(tmp_path / "home", tables=1)

    def opened(*_: object, **__: object) -> AbstractContextManager[_Queue]:
        return nullcontext(queue)

    monkeypatch.setattr(fleet_runs, "fleet_of", opened)
    monkeypatch.setattr(Console, "print", gone)
    with pytest.raises(OSError, match="Input/output error"):  # of the last line, which nobody reads
        app(["--home", str(home), "fleet", "run"])
    assert queue.cancelled == 1
