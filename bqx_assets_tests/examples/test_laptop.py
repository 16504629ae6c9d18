"""A quant's bars become a published file and a score, of which the one at random is far too good."""

from __future__ import annotations

import re
from pathlib import Path

from bqx_assets_tests.docs.page_commands import run_lines, run_script
from bqx_assets_tests.examples.conftest import EXAMPLES


def test_from_a_csv_of_bars_to_an_honest_score(tmp_path: Path) -> None:
    laptop = EXAMPLES / "laptop"
    assert run_script(laptop / "make_bars.py", tmp_path, "bars.csv", "4000") == "4,000 bars in bars.csv\n"
    market = "bqx warehouse create .bqx/warehouses/gbpusd --pairs gbpusd --rates bars.csv --tables 10"
    run_lines(f"{market}\nbqx run gbpusd", tmp_path)
    found = run_script(laptop / "score.py", tmp_path, "gbpusd")
    scores = {words: float(score) for score, words in re.findall(r"^ *(-?\d\.\d{3})  (.*)$", found, re.MULTILINE)}
    assert re.match(r"3,9\d\d rows, 54 features", found)
    assert list(scores) == [
        "shuffled rows",
        "in order",
        "in order, with an embargo of the horizon",
        "in order, with an embargo of 374 rows",
    ]
    # The bars are a random walk: 30 of the target's 45 bars are known already, and nothing else can be.
    shuffled, *ordered = scores.values()
    assert shuffled > max(ordered) + 0.2
