"""The instance's storage as it is deployed, on a real PostgreSQL, by every form of its URL that is documented."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
import yaml

from bqx_assets_tests.cloud.production import DEPLOY
from bqx_assets_tests.servers.postgres import install
from bqx_assets_tests.servers.postgres.server import PostgresServer

DRIVERS = ("postgresql", "postgresql+psycopg2")
WAYS: list[Callable[[PostgresServer], Callable[..., str]]] = [lambda each: each.url, lambda each: each.socket_url]


@pytest.fixture(scope="session")
def database(postgres: PostgresServer) -> str:
    """One for all forms: making Dagster's tables takes 2 s."""
    return postgres.create("forms")


@pytest.fixture
def instance(
    request: pytest.FixtureRequest,
    postgres: PostgresServer,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dg.DagsterInstance]:
    way, driver = request.param
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", way(postgres)(database, scheme=driver))
    shipped = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": shipped["storage"]}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def _forms() -> list[object]:
    names = ("tcp", "socket")
    return [
        pytest.param((way, driver), id=f"{driver}-{name}")
        for way, name in zip(WAYS, names, strict=True)
        for driver in DRIVERS
    ]


@pytest.mark.parametrize("instance", _forms(), indirect=True)
def test_a_run_and_its_events_are_kept_read_and_watched(instance: dg.DagsterInstance) -> None:
    """The URL's password has every character that must be encoded, and the server asks for it."""

    @dg.op
    def noop() -> None:
        pass

    @dg.job
    def quick() -> None:
        noop()

    run = instance.create_run_for_job(quick, status=dg.DagsterRunStatus.STARTED)
    seen = threading.Event()
    instance.watch_event_logs(run.run_id, None, lambda event, cursor: seen.set() if event and cursor else None)
    instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=100, max_overflow=2)
    instance.report_engine_event("written", run)
    assert [entry.message for entry in instance.all_logs(run.run_id)] == ["written"]
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.STARTED
    assert seen.wait(10)


def test_a_wrong_password_is_refused_so_that_the_right_one_proves_something(
    postgres: PostgresServer, database: str
) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(replace(postgres, password=f"{postgres.password}x").url(database))


def test_where_there_is_no_postgresql_its_tests_are_skipped_and_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.programs() is None
    assert install.install().startswith("no PostgreSQL: initdb and postgres are not in ")
    assert "apt-get install postgresql" in install.why_not()
