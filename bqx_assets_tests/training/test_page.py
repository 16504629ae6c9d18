"""The page for model builders: its examples run one after another, and give the same rows in every tool."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets_tests.training.published import Merged

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
EXAMPLE = "".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
CHECKED = """
assert frame.dtypes[1:] == [pl.Float32] * (frame.width - 1) and X.dtype == "float32"
assert X.shape == (frame.height, len(features)) and len(y) == len(table) == frame.height
same = load_training("eurusd", target, windows=45, start="2024-03-12", labelled=False).collect()
assert frame.height and same.height
assert pl.from_arrow(arrow).equals(same)
assert pl.from_arrow(duck).sort("interval_time").select(same.columns).cast(same.schema).equals(same)
assert panel.collect()["pair"].unique().to_list() == ["eurusd", "gbpusd"]
assert again.collect().height
print("all of it")
"""


def test_the_examples_run_and_every_tool_gives_the_same_rows(eurusd: Merged, gbpusd: Merged, tmp_path: Path) -> None:
    for each in (eurusd, gbpusd):
        each.publish(LocalObjectStore(tmp_path / ".bqx" / "bqx-ml-output"))
    words = [sys.executable, "-W", "error", "-c", EXAMPLE + CHECKED]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "all of it"
