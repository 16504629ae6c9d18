"""The fleet on a terminal of 80 characters: every table fits, and what is not known is not claimed."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bqx_assets.cli.fleet_view import fleet_facts, fleet_lines
from bqx_assets.fleet.state import FleetState
from bqx_assets_tests.fleet.states import NOW, fleet, good, stage

_WIDE = 1_000


def drawn(state: FleetState) -> list[str]:
    """Return the lines of the state as a terminal shows them that breaks none."""
    console = Console(width=_WIDE, color_system=None, markup=False, emoji=False)
    with console.capture() as captured:
        for line in fleet_lines(state):
            console.print(line)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_28_pairs_with_failures_of_each_kind_fit_80_characters() -> None:
    tables = [line for line in fleet_lines(fleet()) if isinstance(line, Table)]
    assert len(tables) == 3
    assert all(column.no_wrap for table in tables for column in table.columns)
    told = drawn(fleet())
    of_tables = told[: next(place for place, line in enumerate(told) if line.startswith("! "))]
    assert max(map(len, of_tables)) <= 80
    assert any(line.startswith("usdjpy") and "665/667 2 failed" in line for line in of_tables)
    assert any(line.split()[:4] == ["audusd", "12", "d", "stale"] and "changed" in line for line in of_tables)


def test_an_unreadable_pair_is_not_listed_among_those_of_which_nothing_exists() -> None:
    (line,) = [line for line in drawn(fleet()) if "nothing made yet" in line]
    assert "usdcad" not in line


def test_a_source_that_nobody_asked_is_not_called_unchanged() -> None:
    unasked = fleet(pairs=(good("eurusd", source="not asked"),))
    told = "\n".join(drawn(unasked))
    assert "unchanged" not in told
    assert "Whether sources changed since was not asked: bqx status --sources" in told
    assert "not asked" not in "\n".join(drawn(fleet()))


def test_data_from_the_future_have_no_age_and_are_told_as_a_matter_of_a_clock() -> None:
    soon = NOW + timedelta(minutes=4)
    state = fleet(pairs=(good("eurusd", snapshot_time=NOW + timedelta(hours=1)), good("gbpusd", snapshot_time=soon)))
    told = drawn(state)
    assert any(line.split()[:2] == ["eurusd", "ahead"] for line in told)
    assert "! eurusd: its data are of 27 Nov 13:00 UTC, which this machine's clock has not reached" in told
    assert "  → bqx doctor --only network" in told
    assert not any(line.startswith("! gbpusd") for line in told)
    assert any(line.split()[:4] == ["gbpusd", "0", "h", "fresh"] for line in told), "clocks differ by minutes"


def test_a_warehouse_that_did_not_answer_is_told_apart() -> None:
    state = fleet(pairs=(good("eurusd", source="not asked", source_error="the role was revoked"), good("gbpusd")))
    told = "\n".join(drawn(state))
    assert "no answer" in told
    assert "eurusd: whether its source changed is not known: the role was revoked" in told


def test_seconds_and_usd_are_those_of_the_last_run_and_its_failure_shows() -> None:
    pair = good("eurusd", stages=(stage("extract", 9), stage("merge", 3, outcome="failed")), seconds=62.0, usd=0.25)
    (line,) = [line for line in drawn(fleet(pairs=(pair,))) if "0.2500" in line]
    assert line.split()[-5:] == ["2026-11-27", "failed", "2", "62", "0.2500"]


def test_json_has_every_failure_by_name() -> None:
    facts = fleet_facts(fleet())
    pairs = {each["pair"]: each for each in facts["pairs"]}  # type: ignore[attr-defined]
    assert pairs["usdjpy"]["failed_tables"] == ["agg_usdjpy", "mkt_vol"]
    assert pairs["gbpusd"]["failed_checks"] == ["completeness"]
    assert len(pairs) == 28


def test_a_library_s_error_cannot_act_on_the_terminal() -> None:
    failed = good("eurusd", stages=(stage("slabs", 3, outcome="failed", error="OSError", message="\x1b[2J\u202eno"),))
    texts = [line.plain for line in fleet_lines(fleet(pairs=(failed,))) if isinstance(line, Text)]
    assert any(r"\x1b[2J\u202eno" in text for text in texts)
    assert all(text.isprintable() for text in texts)


def test_a_run_that_ended_with_a_failed_check_is_shown_as_failed() -> None:
    pair = good("eurusd", stages=(stage("validate", 9),), usd=0.25)
    judged = pair.model_copy(update={"status": pair.status.model_copy(update={"failed_checks": ("dimensions",)})})
    (line,) = [line for line in drawn(fleet(pairs=(judged,))) if "0.2500" in line]
    assert "failed" in line
    (line,) = [line for line in drawn(fleet(pairs=(pair,))) if "0.2500" in line]
    assert "failed" not in line
