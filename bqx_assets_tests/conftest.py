"""Marks tests that drive Google's own clients over the wire (``-m cloud``), and hides the user's settings."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hypothesis
import pytest

from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process

__all__ = ["gcs", "gcs_process"]
_HERE = Path(__file__).parent
_CLOUD_FOLDERS = ("extract/bigquery/", "runtime/launcher/", "cloud/")
_SERVERS = frozenset({"gcs_process", "bigquery_server"})
"""The fixtures that start a local server."""
_LONG = (("cloud/",), ("runtime/", "test_flow.py", "cli/", "extract/bigquery/", "merge/"))
"""Folders of the tests that start servers or run whole pairs, in two groups that different workers begin with."""
_BUCKET = "bucket"
"""The parameter by which a test of several stores asks for one on a server."""

# No example claims a time: on a busy machine the first one, which loads libraries, took 266 ms of the 200 allowed.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as ``cloud`` each test that uses a local server of a Google service, by its fixtures or its folder."""
    for item in items:
        if _place(item).startswith(_CLOUD_FOLDERS) or (isinstance(item, pytest.Function) and _uses_a_server(item)):
            item.add_marker(pytest.mark.cloud)
    if hasattr(config, "workerinput"):
        items[:] = _long_ones_first(items)


def pytest_collection_finish() -> None:
    """Leave what is loaded by now, above all Dagster, out of all later garbage collections: a tenth of the CPU time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the end of the process collect everything: some libraries complain of what is left."""
    gc.unfreeze()


def _place(item: pytest.Item) -> str:
    return item.path.relative_to(_HERE).as_posix()


def _long_ones_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests in two halves, each of which begins with its long tests, since workers get them in this order.

    So most servers are started by one worker, and what one takes from another at the end are short tests.
    """
    one, other = ([item for item in items if _place(item).startswith(long)] for long in _LONG)
    short = [item for item in items if not _place(item).startswith(_LONG[0] + _LONG[1])]
    filled = max(0, len(items) // 2 - len(one))
    return one + short[:filled] + other + short[filled:]


def _uses_a_server(item: pytest.Function) -> bool:
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return not _SERVERS.isdisjoint(item.fixturenames) or _BUCKET in [each for each in chosen if isinstance(each, str)]


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BQX_")]:
        monkeypatch.delenv(name)
