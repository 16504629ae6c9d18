"""Every call that a run, the doctor, the sensor, the launcher and ``bqx store init`` make is in the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import grpc
import pytest
from dagster_gcp.gcs.compute_log_manager import GCSComputeLogManager
from typer.testing import CliRunner

from bqx_assets.cli.main import app
from bqx_assets.runtime.alerts import fleet_alerts
from bqx_assets.runtime.automation import sources_changed, verify_weekly
from bqx_assets.runtime.launcher.client import CloudRun, Endpoint
from bqx_assets.runtime.workspace import Workspace
from bqx_assets_tests.cloud.production import LOG_BUCKET
from bqx_assets_tests.deploy.permissions import calls
from bqx_assets_tests.runtime.launcher.deployment import shell
from bqx_assets_tests.servers.bigquery.gate import ReadGate
from bqx_assets_tests.servers.bigquery.local_bigquery import LocalBigQuery
from bqx_assets_tests.servers.cloud_run.faults import Fault
from bqx_assets_tests.servers.cloud_run.server import CloudRunServer
from bqx_assets_tests.servers.gcs.server import GcsServer

_SATURDAY = datetime(2026, 1, 3, 12, tzinfo=UTC)
_NOBODY = "http://127.0.0.1:9/hook"
"""An address at which nobody listens: a message is kept for later."""
_WITHOUT_CREDENTIALS = {"HEAD /", "output xml.head"}
"""The doctor's look whether a server answers at all."""
_REST = {
    r"POST \S+/queries": "jobs.query",
    r"GET \S+/queries/[^/]+": "jobs.getQueryResults",
    r"POST \S+/jobs": "jobs.insert",
    r"GET \S+/jobs/[^/]+": "jobs.get",
    r"GET \S+/datasets/[^/]+": "datasets.get",
    r"GET \S+/datasets/[^/]+/tables/[^/]+": "tables.get",
}


class Heard:
    """What the servers' logs have, in the table's words, since the last look."""

    def __init__(self, gcs: GcsServer, bigquery: LocalBigQuery, gate: ReadGate) -> None:
        self._gcs, self._bigquery, self._gate = gcs, bigquery, gate
        self.since()

    def since(self) -> set[str]:
        """Return the calls and forget them."""
        text = self._bigquery.log.read_text()
        lines = re.findall(r'"(\w+ [^\s?]+)\S* HTTP', text[getattr(self, "_read", len(text)) :])
        self._read = len(text)
        heard = {_rest_name(line) for line in lines}
        if self._gate.tables:
            heard |= {"CreateReadSession", "ReadRows"}
        for operation, name in self._gcs.log.calls:
            logs = name == LOG_BUCKET or name.startswith("compute-logs/")
            heard.add(f"{'logs' if logs else 'output'} {operation}")
        self._gcs.log.clear()
        self._gate.tables.clear()
        return heard


def _rest_name(line: str) -> str:
    found = [name for pattern, name in _REST.items() if re.fullmatch(pattern, line)]
    return found[0] if found else line


def _expected(by: str, *services: str, resource: str = "") -> tuple[set[str], set[str]]:
    """Names of the table: all, and those that every scenario must show."""
    mine = [call for call in calls() if call.by == by and call.service in services and call.name.startswith(resource)]
    return {call.name for call in mine}, {call.name for call in mine if not call.rare}


def _bqx(*words: str) -> None:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output


@pytest.fixture
def heard(cloud: GcsServer, bigquery: LocalBigQuery, gate: ReadGate) -> Heard:
    return Heard(cloud, bigquery, gate)


def test_a_run_makes_the_calls_of_the_table_and_no_other_and_so_do_the_sensors_and_the_operator(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bqx("run", "eurusd")
    allowed, always = _expected("run", "bigquery", "storage_read", "storage")
    logs = {name for name in allowed if name.startswith("logs ")}  # Dagster's own; below
    found = heard.since()
    assert always - logs <= found <= allowed - logs

    _bqx("doctor", "eurusd")
    found = heard.since()
    assert "output bucket.get" in found
    assert found - _WITHOUT_CREDENTIALS <= allowed - logs

    _bqx("store", "init")
    assert heard.since() == _expected("operator", "storage", "bigquery")[0]

    with dg.DagsterInstance.ephemeral() as instance:
        looked = sources_changed(dg.build_sensor_context(instance=instance), workspace=Workspace())
        assert isinstance(looked, dg.SensorResult | dg.SkipReason)
    assert heard.since() == _expected("dagster", "bigquery")[0]

    asked = verify_weekly(dg.build_schedule_context(scheduled_execution_time=_SATURDAY), workspace=Workspace())
    assert isinstance(asked, Iterator)
    assert list(asked)
    found = heard.since()
    assert found == {"output object.get"}

    monkeypatch.setenv("BQX_ALERT_WEBHOOK", _NOBODY)
    monkeypatch.setenv("BQX_ALERT_ON", "stale,budget")
    monkeypatch.setenv("BQX_MONTHLY_BUDGET_USD", "200")
    with dg.DagsterInstance.ephemeral() as instance:
        told = fleet_alerts(dg.build_sensor_context(instance=instance), workspace=Workspace())
        assert isinstance(told, dg.SensorResult)
    # After "not found" Google's client asks for the bucket in a thread of its own, and does without an answer.
    found |= heard.since() - {"output bucket.get"}
    assert found == _expected("dagster", "storage", resource="output ")[0]


def test_step_logs_make_the_calls_of_the_table_whichever_side_writes_or_reads_them(heard: Heard) -> None:
    manager = GCSComputeLogManager(bucket=LOG_BUCKET, prefix="compute-logs", show_url_only=True)
    key = ["run", "compute_logs", "step"]
    with manager.capture_logs(key):
        pass
    written = heard.since()
    assert written == _expected("run", "storage", resource="logs ")[0]
    manager.get_log_data(key)
    assert written | heard.since() == _expected("dagster", "storage", resource="logs ")[0]


def test_the_launcher_makes_the_calls_of_the_table_and_no_other() -> None:
    with CloudRunServer(grace_seconds=0.2) as server:
        job = server.deploy(shell("exit 1"), "bqx-pair")
        client = CloudRun(Endpoint(emulator_host=server.endpoint, retry_wait_seconds=0.02))
        server.inject("RunJob", Fault(grpc.StatusCode.UNAVAILABLE, after_effect=True))  # looked for, then found
        name = client.start(job, env={"BQX_PAIR": "eurusd", "BQX_RUN_ID": "r"}, args=[], timeout_seconds=60)
        assert server.executions[name].join(10)
        client.outcome(name)
        client.cancel(name)
        client.close()
        made = {call.method for call in server.calls}
    assert made == _expected("dagster", "run")[0]
