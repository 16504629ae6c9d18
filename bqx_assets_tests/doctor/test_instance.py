"""Tests the probes of ``dagster.yaml`` and Postgres without a server; ``cloud/test_stranger.py`` has one."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from dagster._core.storage.sql import ALEMBIC_SCRIPTS_LOCATION

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import Case, Line
from bqx_assets.doctor.examine import examine
from bqx_assets.doctor.instance import instance_probes, schema_head
from bqx_assets_tests.frames import EURUSD

SECRET = secrets.token_urlsafe(12)
URL = f"postgresql://bqx:{SECRET}@127.0.0.1:1/dagster"


def _lines(home: Path | None, text: str | None = None, **environment: str) -> dict[str, Line]:
    if home is not None:
        environment["DAGSTER_HOME"] = str(home)
        if text is not None:
            (home / "dagster.yaml").write_text(text)
    case = Case(Settings(), EURUSD, environment=environment)
    return {line.name: line for line in examine(case, tuple(instance_probes(case))).lines}


def test_without_a_dagster_home_nothing_of_an_instance_is_looked_at() -> None:
    assert {line.state for line in _lines(None).values()} == {"skipped"}


def test_a_home_without_its_file_is_a_lack(tmp_path: Path) -> None:
    line = _lines(tmp_path)["dagster.yaml"]
    assert line.state == "missing"
    assert str(tmp_path / "dagster.yaml") in line.found


def test_a_file_that_is_no_yaml_is_a_lack(tmp_path: Path) -> None:
    assert _lines(tmp_path, "storage: [")["dagster.yaml"].state == "missing"


def test_each_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    text = "storage: {postgres: {postgres_url: {env: URL_OF_IT}}}\nx: [{env: SET}, {env: OTHER}]"
    line = _lines(tmp_path, text, SET="1")["dagster.yaml"]
    assert line.cure == "Set OTHER, URL_OF_IT."


def test_an_instance_in_sqlite_needs_no_postgres(tmp_path: Path) -> None:
    lines = _lines(tmp_path, "telemetry: {enabled: false}")
    assert lines["dagster.yaml"].state == "passed"
    assert {lines[name].state for name in ("driver", "postgres", "schema")} == {"skipped"}


@pytest.mark.parametrize(
    "storage",
    [
        f"postgres_url: '{URL}'",
        f"postgres_db: {{hostname: 127.0.0.1, port: 1, username: bqx, password: {SECRET}, db_name: dagster}}",
    ],
    ids=["url", "parts"],
)
def test_a_server_that_is_not_there_is_the_one_lack_and_no_password_is_shown(tmp_path: Path, storage: str) -> None:
    lines = _lines(tmp_path, f"storage: {{postgres: {{{storage}}}}}")
    assert {name: line.state for name, line in lines.items()} == {
        "dagster.yaml": "passed",
        "driver": "passed",
        "postgres": "missing",
        "schema": "skipped",
    }
    assert not any(SECRET in line.found + line.cure for line in lines.values())
    assert "127.0.0.1/dagster" in lines["postgres"].found


@pytest.mark.parametrize("url", ["postgresql+psycopg://bqx@h/d", "not a url", "postgresql://bqx@h:port/d"])
def test_a_url_that_no_driver_here_takes_is_a_lack_of_the_driver(tmp_path: Path, url: str) -> None:
    lines = _lines(tmp_path, f"storage: {{postgres: {{postgres_url: '{url}'}}}}")
    assert [name for name, line in lines.items() if line.state == "missing"] == ["driver"]
    assert "postgresql" in lines["driver"].cure


def test_the_schema_is_compared_with_the_scripts_that_dagster_itself_uses() -> None:
    assert ALEMBIC_SCRIPTS_LOCATION == "dagster:_core/storage/alembic"
    assert len(schema_head()) == 12
