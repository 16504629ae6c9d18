"""Every command and program on a page runs as it stands, or says on the page why no test runs it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bqx_assets_tests.docs.page_commands import run_lines, run_python
from bqx_assets_tests.docs.snippets import ROOT, RUN, snippets

ELSEWHERE = {"docs/python.md": "test_init.py", "docs/training.md": "training/test_page.py"}
"""Pages whose programs a test of their own runs, which looks at the results too."""
PAGES = {
    page: list(found)
    for page, found in groupby((each for each in snippets() if each.runs), lambda each: each.page)
    if page not in ELSEWHERE
}
REASONS = {
    "makes or needs a whole checkout",
    "needs a project in Google Cloud",
    "needs a program that tests do not install",
    "takes minutes",
    "needs a receiver of messages",
    "an overview",
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which ``make run`` seems to have been called, with 20 of the 667 tables."""
    folder = tmp_path_factory.mktemp("market")
    run_lines("bqx warehouse create .bqx/warehouses/eurusd-6000 --pairs eurusd --rows 6000 --tables 20", folder)
    run_lines("bqx run eurusd", folder)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_one_after_another(page: str, market: Path, tmp_path: Path) -> None:
    shutil.copytree(market, tmp_path / "here", symlinks=True)
    if any("fx.parquet" in each.text for each in PAGES[page]):
        _hourly_rates().write_parquet(tmp_path / "here" / "fx.parquet")
    for language, found in groupby(PAGES[page], lambda each: each.language):
        run = run_python if language == "python" else run_lines
        run("\n".join(each.text for each in found), tmp_path / "here")


def _hourly_rates() -> pl.DataFrame:
    """Return bars in the form of the file that ``docs/start.md`` takes, of the pairs that its file has."""
    dollars = {"aud": 0.67, "eur": 1.1, "gbp": 1.27, "cad": 0.74, "chf": 1.11, "jpy": 0.0093, "usd": 1.0}
    random = np.random.default_rng(7)
    worth = {name: start * np.exp(random.normal(0, 1e-3, 6_500).cumsum()) for name, start in dollars.items()}
    times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(6_500)]
    frames: list[pl.DataFrame] = []
    for pair in ("audjpy", "audusd", "eurgbp", "eurjpy", "gbpjpy", "gbpusd", "usdcad", "usdchf", "usdjpy"):
        close = worth[pair[:3]] / worth[pair[3:]]
        first = np.concatenate([close[:1], close[:-1]])
        prices = {"open": first, "high": np.maximum(first, close), "low": np.minimum(first, close), "close": close}
        frames.append(
            pl.DataFrame({"interval_time": times, "pair": [pair] * 6_500, **prices, "tick_volume": [100] * 6_500})
        )
    return pl.concat(frames)


@pytest.mark.parametrize("page", ELSEWHERE)
def test_a_page_with_a_test_of_its_own_has_it(page: str) -> None:
    assert Path(page).name in (ROOT / "bqx_assets_tests" / ELSEWHERE[page]).read_text()


def test_every_block_names_its_language_and_every_one_that_is_not_run_its_reason() -> None:
    assert [f"{each.page}:{each.line}" for each in snippets() if each.language not in {*RUN, "text"}] == []
    assert {each.reason for each in snippets() if each.reason} <= REASONS
