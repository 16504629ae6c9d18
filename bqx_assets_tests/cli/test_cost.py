"""What ``bqx cost`` says: short on a terminal, whole as JSON and in ``docs/costs.md``, which is up to date."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.cost_document import PLACE, updated
from bqx_assets.cli.bill import GIB_BYTES, PLACES, WEEKLY, Usage, Way, month, total, ways
from bqx_assets.cli.cost import cost_facts, cost_lines, cost_markdown, month_table, run_table
from bqx_assets.cli.main import app


def _json(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["cost", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_it_is_two_tables_and_three_lines_that_fit_a_terminal() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(run_table(Usage()), month_table(Usage()))
    lines = console.export_text().splitlines()
    paid = [line for line in month(Usage()) if any(line.usd)]
    assert len(lines) == len(ways()) + len(paid) + 3
    assert len(cost_lines(Usage())) == 3


def test_keeping_a_file_is_not_in_a_ways_price() -> None:
    way = Way(name="w", kept_bytes=10 * GIB_BYTES, measured="", assumed="")
    assert (way.keeping_usd, way.total_usd) == (pytest.approx(0.2), 0)


def test_hours_are_told_as_well_as_dollars_the_users_own_beside() -> None:
    facts = cost_facts(Usage())
    found = {way["name"]: way for way in facts["ways"]}  # type: ignore[index,union-attr]
    assert [way["claimed_hours"] for way in found.values()][:3] == [45, 40, 33]
    assert found["bqx_assets, VM, 1 of 28"]["pairs_hours"] == pytest.approx(1.62)
    assert found["bqx_assets, Cloud Run, 1 of 28"]["pairs_hours"] == pytest.approx(4 * 208 / 3600, abs=0.01)


def test_options_change_the_month_and_not_a_runs_price() -> None:
    weekly, daily = _json(), _json("--runs-per-month", "30", "--regions-differ", "--pairs", "2")
    assert weekly["month"]["usd"] == dict(zip(PLACES, total(month(Usage())), strict=True))
    assert daily["month"]["usage"] == {"pairs": 2, "runs": 30.0, "regions_differ": True, "sql": "db-g1-small"}
    assert [way["pair_usd"] for way in daily["ways"]] == [way["pair_usd"] for way in weekly["ways"]]


def test_the_recipes_own_tier_of_cloud_sql_is_the_default_and_another_one_is_another_price() -> None:
    recipe = (PLACE.parent.parent / "deploy" / "bqx.env").read_text()
    assert f"BQX_SQL_TIER={Usage().sql}\n" in recipe
    small, large = (
        _json("--sql-tier", tier)["month"]["usd"]["Cloud Run"] for tier in ("db-f1-micro", "db-custom-1-3840")
    )
    assert small < total(month(Usage()))[0] < large


@pytest.mark.parametrize(
    "words",
    [("--sql-tier", "db_g1_small"), ("--pairs", "29"), ("--runs-per-month", "-1"), ("--runs-per-month", "often")],
)
def test_what_cannot_be_is_a_wrong_call(words: tuple[str, str]) -> None:
    assert CliRunner().invoke(app, ["cost", *words]).exit_code == 2


def test_the_documents_tables_are_todays() -> None:
    """Written anew by ``python -m benchmarks.cost_document``."""
    document = PLACE.read_text()
    assert updated(document) == document
    assert CliRunner().invoke(app, ["cost", "--markdown"]).stdout.strip() == cost_markdown(Usage())


def test_the_decisions_figures_are_those_of_the_costs() -> None:
    text = PLACE.with_name("decision.md").read_text()
    lines = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in lines}
    assert len(set(map(len, (rows["a pair, USD"], rows["28 pairs, USD"], rows["hours"])))) == 1
    names = ("C: VM, Polars joins (today)", "A: Cloud Run, BigQuery merge", "B: Cloud Run, Polars joins",
             "bqx_assets, Cloud Run, 1 of 28", "bqx_assets, VM, 1 of 28")  # fmt: skip
    found = {way.name: way for way in ways()}
    chosen = [found[name] for name in names]
    assert rows["a pair, USD"] == [f"{way.total_usd:.2f}" for way in chosen]
    assert rows["28 pairs, USD"] == [f"{way.total_usd * 28:.2f}" for way in chosen]
    for way, hours in zip(chosen, rows["hours"], strict=True):
        assert f"{way.claimed_hours:.0f}" in hours if way.cannot else hours.startswith(f"{way.hours(28):.1f}")
    cloud_run, always, runs_only = (f"{usd:.0f}" for usd in total(month(Usage())))
    weekly = rows["a month, weekly, USD"]
    assert weekly[0].endswith(f"{chosen[0].total_usd * 28 * WEEKLY:.0f} for runs alone")
    assert weekly[3:] == [cloud_run, f"{always} always on; {runs_only} started for the runs"]
    usd = {line.name: line.usd[0] for line in month(Usage(regions_differ=True))}
    assert f"({usd['soft delete, 7 days']:.0f} USD a month)" in text.replace("\n", " ")
    assert f"({usd['network between regions']:.0f} USD a month" in text.replace("\n", " ")
    assert f"{runs_only} USD a month, of which {total(month(Usage()), 'files')[0]:.0f} are for keeping files" in text


def test_each_way_says_in_the_document_what_is_measured_what_assumed_and_why_it_cannot() -> None:
    text = cost_markdown(Usage())
    for way in ways():
        assert f"| {way.name} | {way.measured} | {way.assumed} | {way.cannot} |" in text
