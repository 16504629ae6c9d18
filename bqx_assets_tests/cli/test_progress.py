"""Progress: a handful of lines off a terminal, bars on one, never a line a table."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from bqx_assets.cli.progress import ConsoleProgress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _plain() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=200), text


def test_667_tables_are_a_dozen_lines_off_a_terminal() -> None:
    console, text = _plain()
    with ConsoleProgress(console, clock=Clock()) as progress:
        progress.start("extract", 667)
        for number in range(667):
            progress.advance("extract", f"table_{number}")
    lines = text.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "extract   0/667"
    assert lines[-1].startswith("extract   667/667")


def test_a_slow_stage_says_something_every_five_seconds() -> None:
    console, text = _plain()
    clock = Clock()
    with ConsoleProgress(console, clock=clock) as progress:
        progress.start("extract", 10_000)
        for number in range(10):
            clock.now += 2.0
            progress.advance("extract", f"table_{number}")
    assert [line.split()[1] for line in text.getvalue().splitlines()[1:]] == ["3/10,000", "6/10,000", "9/10,000"]


def test_steps_from_many_threads_are_all_counted() -> None:
    console, text = _plain()
    with ConsoleProgress(console) as progress:
        progress.start("extract", 2_000)
        with ThreadPoolExecutor(8) as pool:
            for number in range(2_000):
                pool.submit(progress.advance, "extract", str(number))
    assert text.getvalue().splitlines()[-1].startswith("extract   2,000/2,000")


def test_warnings_are_shown_whole_with_what_looks_like_markup() -> None:
    console, text = _plain()
    message = "agg_bqx: list[str] [red]columns[/red] vanished " + "x" * 300
    with ConsoleProgress(console) as progress:
        progress.warn("extract", message)
    assert text.getvalue() == f"! extract: {message}\n"


def test_a_terminal_gets_bars_with_stage_count_and_table() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=140, color_system=None, legacy_windows=False)
    with ConsoleProgress(console) as progress:
        progress.start("extract", 3)
        for table in ("agg_eurusd", "mkt_vol", "tmp_eurusd"):
            progress.advance("extract", table)
        progress.warn("extract", "[odd] one")
    bars = [line for line in text.getvalue().splitlines() if "3/3" in line]
    assert bars
    assert all("extract" in bar for bar in bars)
    assert "tmp_eurusd" in bars[-1]
    assert "! extract: [odd] one" in text.getvalue()


def test_steps_before_a_stage_began_are_no_error() -> None:
    console, _ = _plain()
    with ConsoleProgress(console, clock=Clock()) as progress:
        progress.advance("merge", "early")
        progress.start("merge", 2)
        progress.start("merge", 2)


def test_what_is_waited_for_is_said_while_nothing_else_is() -> None:
    console, text = _plain()
    clock = Clock()
    with ConsoleProgress(console, clock=clock) as progress:
        progress.start("extract", 100)
        progress.wait("extract", "reading a")  # a line came just now
        clock.now += 8.0
        progress.wait("extract", "reading [b]\x1b")
        clock.now += 8.0
        progress.advance("extract", "c")
        progress.wait("extract", "reading d")
    assert text.getvalue().splitlines()[1:] == ["  extract: reading [b]\\x1b", text.getvalue().splitlines()[-1]]
    assert "c" in text.getvalue().splitlines()[-1]


def test_in_a_narrow_terminal_each_stage_keeps_its_one_line_and_its_numbers() -> None:
    text = io.StringIO()
    with ConsoleProgress(Console(file=text, width=60, force_terminal=True, color_system=None)) as progress:
        progress.start("extract", 667)
        progress.advance("extract", "cov_agg_idx_eurcad_eurusd", "0.4 MB")
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line) for line in text.getvalue().splitlines()]
    shown = [line for line in lines if line.strip()]
    assert all(line[2:9] == "extract" and len(line) <= 60 for line in shown)
    assert re.search(r"1/667 +[0-9.]+ s +[0-9,]+ MB cov_agg", shown[-1])
