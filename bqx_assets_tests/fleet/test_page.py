"""The fleet's page shows every pair, escapes what it shows, and needs nothing else: looked at in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.fleet.page import render
from bqx_assets.fleet.state import FleetState
from bqx_assets.fleet.trend import Point
from bqx_assets_tests.fleet.states import NOW, fleet, good, with_status

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="neither chromium nor google-chrome is installed")


def trend(days: int) -> list[Point]:
    point = Point.of(fleet())
    return [point.model_copy(update={"at": NOW - timedelta(days=days - day), "good": day}) for day in range(days)]


@pytest.fixture(scope="module")
def page() -> str:
    return render(fleet(), trend(30))


def test_equal_states_give_equal_pages_of_a_moderate_size(page: str) -> None:
    assert render(fleet(), trend(30)) == page
    assert len(page.encode()) < 400_000


def test_each_pair_has_a_row_with_a_mark_that_does_not_need_colours(page: str) -> None:
    stages = page.partition('id="stages"')[2].partition("</section>")[0]
    for pair in ALL_PAIRS:
        assert f'data-v="{pair.name}">{pair.name}</th>' in stages
    assert {"✓", "✗", "◐", "?", "·"} <= set(stages)


def test_it_says_what_needs_attention_first_with_its_command(page: str) -> None:
    matters = page.partition('class="matters"')[2].partition("</ol>")[0]
    assert matters.index("eurusd: the published file is not as its manifest states") < matters.index("usdjpy: no slab")
    assert "<code>bqx verify eurusd</code>" in matters


def test_nothing_of_the_data_becomes_markup(page: str) -> None:
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "3 columns &lt;b&gt;wrong&lt;/b&gt;" in page
    hostile = '"><img src=x onerror=alert(1)>'
    pair = with_status(good("eurusd", drift=(hostile,)), failed_tables=(hostile,), problem=hostile)
    shown = render(fleet(pairs=(pair,), output=hostile, origin=hostile), ())
    assert "<img" not in shown


def test_it_names_no_other_host(page: str) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in page


def test_a_trend_needs_two_points(page: str) -> None:
    assert page.count("<svg") == 5
    assert "from the second published report on" in render(fleet(), trend(1))


@pytest.mark.parametrize("state", [fleet(pairs=()), fleet(pairs=(good("eurusd"),), month_budget_usd=None)])
def test_any_fleet_has_a_page(state: FleetState) -> None:
    assert "Nothing: every pair is published" in render(state, ()) or state.month_budget_usd


def browse(folder: Path, page: str, script: str, *words: str) -> str:
    """Return the page as the browser has it after a script ran in it."""
    file = folder / "page.html"
    file.write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    return chromium(folder, "--dump-dom", *words, file.as_uri())


def chromium(folder: Path, *words: str) -> str:
    """Return what headless Chromium prints; its errors are in the test's folder."""
    command: Sequence[str] = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=2000", *words,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    (folder / "stderr").write_text(done.stderr)
    return done.stdout


@in_browser
def test_a_click_on_a_head_sorts_the_rows_and_a_second_one_turns_them_round(tmp_path: Path, page: str) -> None:
    script = """
      const table = document.querySelector('section[aria-labelledby=stages] table');
      const button = table.tHead.rows[0].cells[8].firstElementChild;
      const rows = () => [...table.tBodies[0].rows].map(row => row.cells[8].dataset.v).join();
      button.click(); const up = rows(); button.click();
      document.title = JSON.stringify([up, rows(), table.tHead.rows[0].cells[8].getAttribute('aria-sort'),
        document.documentElement.scrollWidth <= window.innerWidth, getComputedStyle(document.body).backgroundColor,
        performance.getEntriesByType('resource').length]);
    """
    seen: list[object] = []
    for words in (("--window-size=1400,900",), ("--window-size=500,900", "--blink-settings=preferredColorScheme=0")):
        dom = browse(tmp_path, page, script, *words)
        title = re.search(r"<title>(.*?)</title>", dom)
        assert title is not None
        up, down, order, fits, ground, requests = json.loads(title[1])
        numbers = [int(text) for text in up.split(",") if text]
        assert numbers == sorted(numbers)
        assert len(numbers) < len(up.split(",")), "a pair without rows comes last"
        assert [int(text) for text in down.split(",") if text] == sorted(numbers, reverse=True)
        assert (order, fits, requests) == ("descending", True, 0)
        assert "CONSOLE" not in (tmp_path / "stderr").read_text()
        seen.append(ground)
    assert seen == ["rgb(255, 255, 255)", "rgb(17, 22, 29)"]


@in_browser
def test_it_can_be_printed(tmp_path: Path, page: str) -> None:
    (tmp_path / "page.html").write_text(page)
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", (tmp_path / "page.html").as_uri())
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
