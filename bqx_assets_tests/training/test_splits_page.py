"""The page about splits: its examples run one after another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets_tests.training.published import Merged

PAGE = Path(__file__).resolve().parents[2] / "docs" / "splits.md"
EXAMPLE = "".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
CHECKED = """
assert len(folds) > 5 and all(fold.test.start - fold.train.stop == embargo for fold in folds)
"""


def test_the_examples_run_and_keep_the_embargo(eurusd: Merged, tmp_path: Path) -> None:
    eurusd.publish(LocalObjectStore(tmp_path / ".bqx" / "bqx-ml-output"))
    words = [sys.executable, "-W", "error", "-c", EXAMPLE + CHECKED]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("short embargo: training ends 0 rows before a test row")
