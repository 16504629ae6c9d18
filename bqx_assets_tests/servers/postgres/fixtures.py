"""Fixture: one server per session, on which each user makes a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bqx_assets_tests.servers.postgres.install import programs, why_not
from bqx_assets_tests.servers.postgres.server import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The running server. Where there is no PostgreSQL, the tests that need one are skipped and say so."""
    if programs() is None:
        pytest.skip(why_not())
    with postgres_server() as server:
        yield server
