"""Tests how the doctor's report looks, and that commands stop on a lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bqx_assets.cli.doctor import lack_lines, report_table, summary_line
from bqx_assets.cli.main import app
from bqx_assets.cli.session import Session
from bqx_assets.doctor.case import Line, Report
from bqx_assets_tests.runtime.homes import make_home

COMMAND = (
    "gcloud projects add-iam-policy-binding bqx-ml --member serviceAccount:a@b --role roles/bigquery.readSessionUser"
)
LINES = (
    Line(theme="network", name="reach: BigQuery", state="passed", found="BigQuery in 20 ms"),
    Line(theme="network", name="reach: Cloud Storage", state="passed", found="Cloud Storage in 30 ms"),
    Line(
        theme="bigquery",
        name="read sessions",
        state="missing",
        found=f"{'very ' * 30}long",
        cure=COMMAND,
        permission="bigquery.readsessions.create",
        resource="projects/bqx-ml",
    ),
    Line(theme="bigquery", name="row: targets", state="skipped", found="not looked at: fix 'read sessions' first"),
    Line(theme="bigquery", name="row: variance", state="skipped", found="not looked at: fix 'read sessions' first"),
    Line(theme="output", name="versioning", state="note", found="off \x1b[31m", cure="bqx store init"),
)
REPORT = Report(pair="eurusd", lines=LINES, seconds=1.5)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("console"))


@pytest.fixture(autouse=True)
def _nothing_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


def _table(width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(report_table(REPORT))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_lines_of_one_kind_stand_together_under_their_theme(width: int) -> None:
    lines = _table(width)
    assert all(len(line) <= width for line in lines)
    themes = ["network", "bigquery", "output"]
    assert [line.strip() for line in lines if line.strip() in themes] == themes
    assert sum("✓" in line for line in lines) == 1
    assert sum("not looked at" in line for line in lines) == 1
    assert any("row: targets, row:" in line for line in lines)
    assert any("→ bqx store init" in line for line in lines)


def test_a_theme_whose_lines_do_not_follow_each_other_has_one_heading(capsys: pytest.CaptureFixture[str]) -> None:
    Session().say(report_table(Report(pair="eurusd", lines=(*LINES, *LINES[:1]), seconds=0)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines].count("network") == 1
    assert [line for line in lines if line != line.rstrip()] == []  # nor do blanks fill a line, here in a pipe


def test_what_a_server_said_moves_no_cursor() -> None:
    assert not any("\x1b" in line for line in _table(100))


def test_a_lack_is_told_in_full_with_the_command_on_one_line() -> None:
    lines = [str(line) for line in lack_lines(REPORT)]
    assert lines[1].endswith("very long")
    assert lines[2] == "  missing  bigquery.readsessions.create on projects/bqx-ml"
    assert lines[3] == f"  cure     {COMMAND}"


def test_what_is_missing_is_named_once_where_its_theme_has_the_same_name() -> None:
    line = Line(theme="credentials", name="credentials", state="missing", found="There are none", cure="Sign in.")
    assert str(list(lack_lines(Report(pair="eurusd", lines=(line,), seconds=0)))[1]) == "✗ credentials: There are none"


def test_the_last_line_counts() -> None:
    assert str(summary_line(REPORT)) == "✗ 1 thing is missing for eurusd; 1 note, 2 not looked at, 1.5 s"


def test_the_last_line_says_which_themes_were_asked_for() -> None:
    report = REPORT.model_copy(update={"lines": (), "only": ("dagster", "cloud run")})
    assert str(summary_line(report)).startswith("✓ nothing is missing for eurusd in dagster, cloud run; ")


def test_an_unknown_theme_ends_with_2_and_names_the_themes(home: Path) -> None:
    result = CliRunner().invoke(app, ["--home", str(home), "doctor", "--only", "cloudrun", "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["error"]) == (2, "UsageError")
    assert "dagster, cloud run" in answer["expected"]


def test_the_document_of_json_has_every_line_and_the_verdict(home: Path) -> None:
    result = CliRunner().invoke(app, ["--home", str(home), "doctor", "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["passed"], answer["pair"]) == (0, True, "eurusd")
    assert {"theme", "name", "state", "found", "cure", "permission", "resource", "reason"} <= answer["lines"][0].keys()
    assert next(line for line in answer["lines"] if line["name"] == "BQX_HOME")["found"].endswith("(option --home)")


def test_plan_goes_on_where_nothing_is_missing(home: Path) -> None:
    result = CliRunner().invoke(app, ["--home", str(home), "plan", "eurusd", "--doctor"])
    assert result.exit_code == 0
    assert "nothing is missing for eurusd" in result.stdout
    assert "family" in result.stdout


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_command_stops_on_a_lack_before_its_work(tmp_path: Path, command: str) -> None:
    result = CliRunner().invoke(app, ["--home", str(tmp_path), command, "eurusd", "--doctor", "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["error"]) == (1, "NotReady")
    assert f"tables, warehouse: {tmp_path}" in answer["got"]  # and not "warehouse" a second time
    assert list(tmp_path.iterdir()) == []
