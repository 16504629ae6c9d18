"""Renews the screenshots of the pages: ``python -m bqx_assets_tests.docs.screenshots``, where Chromium is installed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bqx_assets.fleet.page import render
from bqx_assets_tests.docs.reference import DOCS
from bqx_assets_tests.fleet.states import fleet
from bqx_assets_tests.fleet.test_page import chromium, trend

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / "page.html", DOCS / "fleet-report.png"
        page.write_text(render(fleet(), trend(30)))
        size = ("--window-size=1120,1060", "--hide-scrollbars")
        chromium(Path(folder), *size, f"--screenshot={picture}", page.as_uri())
    sys.stdout.write(f"{picture}\n")
