"""``bqx cost --actual`` sums the ledger, and says what is not in the sums."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.cli.bill import estimated_run
from bqx_assets.cli.main import app
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.sandbox.create import create_warehouse


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a run of two stages of one pair, and a stage of another that was killed."""
    ledger = Ledger(LocalObjectStore(tmp_path / "bqx-ml-output"))
    for pair, stage, usd in (("eurusd", "slabs", 1.25), ("eurusd", "merge", 0.25), ("gbpusd", "slabs", None)):
        began = Entry(run=pair, pair=pair, stage=stage, began_at=datetime.now(UTC), outcome="began")
        info = ledger.begin(began)
        if usd is not None:
            facts = {"outcome": "done", "bigquery_usd": usd, "read_bytes": 2 * 10**9, "seconds": 1800.0}
            ledger.end(began.model_copy(update=facts), info)
    return tmp_path


def asked(home: Path, *words: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["--home", str(home), "cost", "--actual", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_ledger_is_summed_along_each_axis(home: Path) -> None:
    now = datetime.now(UTC)
    for axis, names in (
        ("pair", ["eurusd", "gbpusd"]),
        ("stage", ["merge", "slabs"]),
        ("day", [f"{now:%Y-%m-%d}"]),
        ("month", [f"{now:%Y-%m}"]),
    ):
        found = asked(home, "--by", axis)
        groups: list[dict[str, object]] = found["groups"]  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
        assert [each["name"] for each in groups] == names
        assert found["all"]["usd"] == 1.5  # type: ignore[index] # pyright: ignore[reportIndexIssue]
        assert found["month_usd"] == 1.5


def test_people_see_sums_unreported_stages_and_the_estimate(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_MONTHLY_BUDGET_USD", "20")
    result = CliRunner().invoke(app, ["--home", str(home), "cost", "--actual", "--by", "pair"])
    assert "1.5000" in result.output
    assert "1 stage not ended, not priced: at work, or killed: gbpusd/slabs of 20" in result.output
    assert "about 1.5000 USD, which the budget counts" in result.output
    assert "estimated" in result.output
    assert "1.50 USD, of a budget of 20.00 USD" in result.output


def test_a_stage_that_was_killed_in_an_earlier_month_is_named_and_counts_against_no_later_budget(home: Path) -> None:
    ledger, before = Ledger(LocalObjectStore(home / "bqx-ml-output")), asked(home)
    killed = datetime.now(UTC).replace(day=1) - timedelta(days=1)
    ledger.begin(Entry(run="old", pair="eurusd", stage="slabs", began_at=killed, outcome="began"))
    found = asked(home)
    assert found["unended"] == [f"eurusd/slabs of {killed:%Y-%m-%d %H:%M}", *before["unended"]]  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
    assert found["unended_usd"] == before["unended_usd"] == 1.5


def test_what_a_published_file_took_is_shown_beside_the_estimate(home: Path) -> None:
    ledger = Ledger(LocalObjectStore(home / "bqx-ml-output"))
    for number in range(2):
        began = Entry(run=f"{number}", pair="eurusd", stage="publish", began_at=datetime.now(UTC), outcome="began")
        ledger.end(began.model_copy(update={"outcome": "done", "storage_usd": 0.5}), ledger.begin(began))
    result = CliRunner().invoke(app, ["--home", str(home), "cost", "--actual"])
    rows = [line.split() for line in result.output.splitlines()]
    (row,) = [row for row in rows if row[:1] == ["USD"] and len(row) == 3]
    assert row == ["USD", f"{(1.5 + 1.0) / 2:.4f}", f"{estimated_run().total_usd:.4f}"]
    assert asked(home)["all"]["published"] == 2  # type: ignore[index] # pyright: ignore[reportIndexIssue]


def test_an_empty_ledger_costs_nothing(tmp_path: Path) -> None:
    assert asked(tmp_path)["groups"] == []


def test_a_plan_says_what_the_months_budget_leaves(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_warehouse(
        home / "warehouse",
        pairs=[parse_pair("eurusd")],
        rows=3_600,
        tables=1,
        seed=1,
        rates=None,
        progress=Silent(),
    )
    monkeypatch.setenv("BQX_MONTHLY_BUDGET_USD", "7.25")
    planned = CliRunner().invoke(app, ["--home", str(home), "plan", "eurusd"])
    assert planned.exit_code == 0, planned.output
    assert "1.50 USD, of a budget of 7.25 USD" in planned.output
    monkeypatch.setenv("BQX_MONTHLY_BUDGET_USD", "1.5")
    refused = CliRunner().invoke(app, ["--home", str(home), "plan", "eurusd"])
    assert refused.exit_code == 1
    assert "to read:" in refused.stdout  # the plan is shown all the same
    assert "1.50 USD by the ledger" in refused.stderr
