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
from bqx_assets_tests.fleet.states import NOW, fleet, good, stage, with_status

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
        assert re.search(f'data-v="{pair.name}">(<a href="#pair-{pair.name}">)?{pair.name}<', stages)
    assert {"✓", "✗", "◐", "?", "·"} <= set(stages)


def test_data_from_the_future_have_no_age_there() -> None:
    hours = {"eurusd": 1, "gbpusd": -24}
    pairs = tuple(good(name, snapshot_time=NOW + timedelta(hours=ahead)) for name, ahead in hours.items())
    stages = render(fleet(pairs=pairs), ()).partition('id="stages"')[2].partition("</section>")[0]
    assert re.findall(r">(ahead|[^<>]* -?[0-9.]+ d)</td>", stages) == ["ahead", "✓ 1.0 d"]


def test_it_says_what_needs_attention_first_with_its_command(page: str) -> None:
    matters = page.partition('class="matters"')[2].partition("</ol>")[0]
    assert matters.index("eurusd: the published file is not as its manifest states") < matters.index("usdjpy: no slab")
    assert "<code>bqx verify eurusd</code>" in matters


def test_nothing_of_the_data_becomes_markup(page: str) -> None:
    assert page.count("<script") == 1, "a script that is not the page's own"
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


def test_a_chart_says_its_last_values_in_words_and_its_lines_differ_without_colours(page: str) -> None:
    assert 'role="img" aria-label="Pairs: published 23, good 29, failed 4"' in page
    pairs = page.partition('aria-label="Pairs')[2].partition("</figure>")[0]
    assert len(set(re.findall(r"stroke-dasharray: ?([^;}]+)", pairs))) >= 3


def test_marks_have_words_for_those_who_hear_the_page(page: str) -> None:
    assert '<span class="sr">partly done </span>◐ 665/667</td>' in page
    assert '<span class="sr">warned </span>!</td>' in page


def test_the_stage_that_failed_last_stands_beside_the_files_that_are_there(page: str) -> None:
    row = page.partition('data-v="usdchf"')[2].partition("</tr>")[0]
    assert 'title="WarehouseError: the role was revoked"' in row
    assert "✗ slabs" in row


def test_a_last_run_that_its_checks_stopped_has_failed() -> None:
    pair = good("gbpusd", stages=(stage("merge", 31), stage("validate", 30)))
    stopped = with_status(pair, validated="failed", failed_checks=("completeness",), published="none")
    told = re.compile(r'title="completeness"[^>]*>.{0,80}validate', re.DOTALL)
    assert told.search(render(fleet(pairs=(stopped,)), ()))
    assert not told.search(render(fleet(pairs=(pair,)), ()))


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
      const button = table.tHead.rows[0].cells[9].firstElementChild;
      const rows = () => [...table.tBodies[0].rows].map(row => row.cells[9].dataset.v).join();
      button.click(); const up = rows(); button.click();
      document.title = JSON.stringify([up, rows(), table.tHead.rows[0].cells[9].getAttribute('aria-sort'),
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


# Finds the texts whose contrast to what is behind them is below WCAG's 4.5; blends grounds that are seen through.
CONTRAST = """
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = rgb => rgb.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92
    : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = node => {
    const [r, g, b, alpha = 1] = parse(getComputedStyle(node).backgroundColor);
    if (alpha === 1) return [r, g, b];
    const under = node.parentElement ? ground(node.parentElement) : [255, 255, 255];
    return [r, g, b].map((v, i) => v * alpha + under[i] * (1 - alpha));
  };
  const contrasts = [...document.body.querySelectorAll('*')].filter(node =>
    !node.closest('script, svg desc, svg title, svg style, .sr')
    && [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
    .map(node => {
      const style = getComputedStyle(node);
      const [a, b] = [luminance(parse(node.closest('svg') ? style.fill : style.color)), luminance(ground(node))];
      return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), node.tagName + " " + node.textContent.slice(0, 40)];
    });
  document.title = JSON.stringify([contrasts.length, contrasts.filter(each => !(each[0] >= 4.5)).slice(0, 9)]);
"""


@in_browser
@pytest.mark.parametrize("words", [(), ("--blink-settings=preferredColorScheme=0",)], ids=["light", "dark"])
def test_each_text_stands_out_from_its_ground(tmp_path: Path, page: str, words: tuple[str, ...]) -> None:
    title = re.search(r"<title>(.*?)</title>", browse(tmp_path, page, CONTRAST, *words))
    assert title is not None
    texts, faint = json.loads(title[1])
    assert texts > 1_000
    assert faint == []


@in_browser
def test_it_fits_a_phone_and_a_link_opens_the_details_of_its_pair(tmp_path: Path, page: str) -> None:
    script = """
      document.querySelector('#pair-eurgbp').open = false;
      document.querySelector('section[aria-labelledby=stages] a[href="#pair-eurgbp"]').click();
      setTimeout(() => parent.postMessage([innerWidth, document.documentElement.scrollWidth,
        document.querySelector('#pair-eurgbp').open], '*'), 200);
    """
    (tmp_path / "phone.html").write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    # A window of the browser is at least 500 pixels wide, a frame is not.
    frame = """<script>addEventListener("message", event => document.title = JSON.stringify(event.data))</script>
      <iframe src="phone.html" width="360" height="700" style="border: 0"></iframe>"""
    (tmp_path / "frame.html").write_text(frame)
    title = re.search(r"<title>(.*?)</title>", chromium(tmp_path, "--dump-dom", (tmp_path / "frame.html").as_uri()))
    assert title is not None
    assert json.loads(title[1]) == [360, 360, True]


@in_browser
def test_its_policy_refuses_each_request_and_the_browser_says_so(tmp_path: Path, page: str) -> None:
    script = "new Image().src = 'http://127.0.0.1:9/x.png'; fetch('http://127.0.0.1:9/x').catch(() => 0);"
    browse(tmp_path, page, script)
    refused = re.findall(r"CONSOLE.*'(\S+)' violates.*Content Security Policy", (tmp_path / "stderr").read_text())
    assert {*refused} == {"http://127.0.0.1:9/x.png", "http://127.0.0.1:9/x"}


@in_browser
def test_it_can_be_printed(tmp_path: Path, page: str) -> None:
    (tmp_path / "page.html").write_text(page)
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", (tmp_path / "page.html").as_uri())
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    # Paper is light, whatever the screen is.
    assert page.count("prefers-color-scheme") == page.count("@media screen and (prefers-color-scheme") == 1
