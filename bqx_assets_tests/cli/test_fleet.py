"""``bqx fleet report`` writes the page where it is asked to, and says where; publishing it is a word of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from bqx_assets.cli.main import app


def report(home: Path, *words: str) -> Any:
    result = CliRunner().invoke(app, ["--home", str(home), "fleet", "report", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_page_lies_under_the_home_and_nothing_is_published(tmp_path: Path) -> None:
    said = report(tmp_path)
    page = tmp_path / "fleet" / "report.html"
    assert (said["report"], said["published_report"]) == (str(page), None)
    assert "28 pairs never run" in page.read_text()
    assert not (tmp_path / "bqx-ml-output" / "fleet").exists()


def test_another_file_may_be_named_and_a_published_page_adds_to_the_trend(tmp_path: Path) -> None:
    page = tmp_path / "mine" / "fleet.html"
    for points in (1, 2):
        said = report(tmp_path, "--publish", "--output", str(page))
        assert said["report"] == str(page)
        assert said["published_report"] == str(tmp_path / "bqx-ml-output" / "fleet" / "report.html")
        trend = json.loads((tmp_path / "bqx-ml-output" / "fleet" / "trend.json").read_text())
        assert len(trend["points"]) == points
    assert page.read_text().count("<svg") == 5
    assert "28 pairs never run" in (tmp_path / "bqx-ml-output" / "fleet" / "report.html").read_text()
