"""The doctor says who is told of faults, without a secret, and what the month has cost of its budget."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import Case, Line
from bqx_assets.doctor.examine import examine
from bqx_assets.doctor.fleet_probes import fleet_probes
from bqx_assets.doctor.output import output_probes
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.pipeline import Pipeline
from bqx_assets_tests.frames import EURUSD

WEBHOOK = "https://hooks.slack.com/services/T0123/dZkq8vJx0LmNw2"
MACHINE = {"DAGSTER_HOME": "/dagster"}


def lines(home: Path, environment: dict[str, str], *, budget: float | None = None) -> tuple[Line, Line]:
    case = Case(Settings(home=home, monthly_budget_usd=budget), EURUSD, environment=environment)
    _, alerts, spent = examine(case, (*output_probes(case), *fleet_probes(case))).lines
    return alerts, spent


def test_nobody_who_is_told_is_a_note_of_a_deployment_and_not_of_a_laptop_or_a_container(tmp_path: Path) -> None:
    assert lines(tmp_path, {})[0].state == "skipped"
    assert lines(tmp_path, {**MACHINE, "CLOUD_RUN_JOB": "bqx-pair"})[0].state == "skipped"
    found = lines(tmp_path, MACHINE)[0]
    assert (found.state, found.found) == ("note", "no receiver is set, so nobody is told of faults")
    assert "BQX_ALERT_WEBHOOK" in found.cure


def test_receivers_are_named_without_their_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("WEBHOOK", WEBHOOK),
        ("SMTP", "mail.example.com:587"),
        ("FROM", "a@b.c"),
        ("TO", "d@e.f,g@h.i"),
    ):
        monkeypatch.setenv(f"BQX_ALERT_{name}", value)
    found = lines(tmp_path, MACHINE)[0]
    assert found.state == "note", "links to localhost help nobody"
    assert "a webhook of hooks.slack.com and e-mail by mail.example.com:587 to 2" in found.found
    monkeypatch.setenv("BQX_UI_URL", "https://dagster.example.com")
    found = lines(tmp_path, MACHINE)[0]
    assert (found.state, "T0123" in found.found) == ("passed", False)


def test_a_wrong_receiver_is_a_note_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_ALERT_WEBHOOK", WEBHOOK.replace("https", "http"))
    found = lines(tmp_path, {})[0]
    assert (found.state, "T0123" in found.found) == ("note", False)
    assert found.cure == "Copy it once more from the settings of the webhook."


@pytest.mark.parametrize(
    ("budget", "state", "words"),
    [
        (None, "passed", "4.50 USD in"),
        (50.0, "passed", "of 50.00"),
        (5.0, "note", "of 5.00"),
        (4.5, "missing", "4.50 USD by the ledger"),
    ],
)
def test_the_month_is_shown_against_its_budget(tmp_path: Path, budget: float | None, state: str, words: str) -> None:
    ledger, now = Ledger(Pipeline(Settings(home=tmp_path)).store), datetime.now(UTC)
    ledger.begin(Entry(run="r", pair="eurusd", stage="slabs", began_at=now, outcome="done", bigquery_usd=4.5))
    found = lines(tmp_path, {}, budget=budget)[1]
    assert (found.state, words in found.found) == (state, True), found


def test_an_unreadable_ledger_stops_runs_only_where_there_is_a_budget(tmp_path: Path) -> None:
    name = f"ledger/{datetime.now(UTC):%Y-%m}/01T000000-eurusd-slabs-0.parquet"
    Pipeline(Settings(home=tmp_path)).store.put_bytes(name, b"damaged")
    assert lines(tmp_path, {})[1].state == "note"
    assert lines(tmp_path, {}, budget=1.0)[1].state == "missing"
