"""What ``bqx alert`` says: who is told, and what each receiver answered to a test message."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from bqx_assets.cli.main import app
from bqx_assets_tests.servers.receivers import WebhookServer, mail_server

SECRET = "T0123-dZkq8vJx0LmNw2"  # noqa: S105 -- of no channel


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        monkeypatch.setenv("BQX_ALERT_WEBHOOK", f"{server.url}/{SECRET}")
        yield server


def test_it_shows_what_is_set_and_sends_nothing_unless_asked(hook: WebhookServer) -> None:
    result = CliRunner().invoke(app, ["alert"])
    assert (result.exit_code, hook.paths) == (0, [])
    assert "webhook: set" in result.stdout
    assert "bqx alert --test" in result.stdout


def test_a_test_message_shows_what_each_receiver_answered(hook: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as mail:
        monkeypatch.setenv("BQX_ALERT_SMTP", f"127.0.0.1:{mail.port}")
        monkeypatch.setenv("BQX_ALERT_FROM", "bqx@example.com")
        monkeypatch.setenv("BQX_ALERT_TO", "data@example.com")
        result = CliRunner().invoke(app, ["alert", "--test", "--json"])
    assert result.exit_code == 0, result.output
    assert [each["answer"] for each in json.loads(result.stdout)["receivers"]] == ["200 ok", "taken for 1"]
    assert hook.texts[0].startswith("*Test of the alerts of bqx*")
    assert mail.letters[0]["Subject"] == "[bqx] Test of the alerts of bqx"


def test_a_refusal_is_told_with_a_cure_and_without_the_secret(hook: WebhookServer) -> None:
    hook.answers = [(404, f"no_service {SECRET}", {})]
    result = CliRunner().invoke(app, ["--debug", "alert", "--test"])
    assert result.exit_code == 1
    assert "404 no_service" in result.output
    assert "Make a new webhook" in " ".join(result.output.split())
    assert SECRET not in f"{result.output}{result.exception!r}"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "not set, so nobody is told"),
        ({"BQX_ALERT_PER_HOUR": "0"}, "BQX_ALERT_PER_HOUR\n  got       another value"),
    ],
)
def test_without_receivers_or_with_wrong_settings_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["alert"])
    assert (result.exit_code, said in result.output) == (2, True), result.output
