"""A backfill of all 28 pairs on what is deployed: PostgreSQL, the queue, containers of 2 GiB, of which some are killed.

It takes minutes, so ``make test`` leaves it out: ``make test-fleet``.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.execution.backfill import BulkActionStatus

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.runtime.instance import WORKSPACE
from bqx_assets.runtime.launcher.tags import PAIR_TAG
from bqx_assets_tests.cloud.production import DEPLOY, EXPECTATIONS, LOG_BUCKET, Production, production, tables_of
from bqx_assets_tests.runtime.fleet_command import ended_at_work, fleet_run
from bqx_assets_tests.runtime.homes import STAGES, make_home
from bqx_assets_tests.servers.bigquery.local_bigquery import local_bigquery
from bqx_assets_tests.servers.cloud_run.execution import Execution
from bqx_assets_tests.servers.cloud_run.server import CloudRunServer
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.servers.postgres.server import PostgresServer

pytestmark = pytest.mark.fleet

NAMES = [pair.name for pair in ALL_PAIRS]
KILLED = 3
_MINUTES = 45
"""A bound, not a measurement: beside other work two processors took 22 minutes."""
_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) { __typename
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The targets of all pairs and three more tables of each."""
    return make_home(tmp_path_factory.mktemp("fleet"), pairs=NAMES, tables=3) / "warehouse"


@pytest.fixture
def fleet(
    warehouse: Path,
    gcs: GcsServer,
    gcs_store: GcsObjectStore,
    postgres: PostgresServer,
    tmp_path: Path,
) -> Iterator[Production]:
    """Dagster's servers and Cloud Run as they are deployed, over the tables of all pairs."""
    gcs.bucket(LOG_BUCKET)
    gcs_store.put_bytes(EXPECTATIONS, (warehouse / "expectations.toml").read_bytes())
    (tmp_path / "bigquery").mkdir()
    with local_bigquery(tmp_path / "bigquery", gcs.url) as bigquery:
        bigquery.load(tables_of(warehouse))
        endpoints = {
            "STORAGE_EMULATOR_HOST": gcs.url,
            "BIGQUERY_EMULATOR_HOST": bigquery.rest_url,
            "BQX_BIGQUERY_STORAGE_ENDPOINT": bigquery.grpc_url,
        }
        with (
            CloudRunServer(grace_seconds=2) as cloud_run,
            production(tmp_path, cloud_run, postgres, endpoints) as made,
        ):
            yield made


def test_a_backfill_of_28_pairs_keeps_its_limits_and_ends_whole_though_containers_are_killed(
    fleet: Production, gcs: GcsServer
) -> None:
    backfill = _launch(fleet)
    killed: list[Execution] = []
    until = time.monotonic() + 60 * _MINUTES
    with fleet.instance() as instance:
        while (found := instance.get_backfill(backfill)) and found.status is BulkActionStatus.REQUESTED:
            assert time.monotonic() < until, "the backfill has not ended"
            _kill_one(fleet, killed)
            time.sleep(1)
        runs = instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": backfill}))
        assert len(killed) == KILLED
        ended = {each.dagster_run.tags[PAIR_TAG]: each.dagster_run.status for each in runs}
        assert ended == dict.fromkeys(NAMES, dg.DagsterRunStatus.SUCCESS)
        spans = sorted(map(_span, runs))
    most = max(sum(start <= at < end for start, end in spans) for at, _ in spans)
    own = {name: sorted(_span(each) for each in runs if each.dagster_run.tags[PAIR_TAG] == name) for name in NAMES}
    assert not [name for name, each in own.items() if any(end > begin for (_, end), (begin, _) in pairwise(each))]
    limit = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["run_coordinator"]["config"]["max_concurrent_runs"]
    assert 2 <= most <= limit
    assert [len(each.pids) for each in killed] == [2] * KILLED, "a second container went on"
    assert {training_name(pair) for pair in ALL_PAIRS} <= gcs.buckets[BUCKET].live.keys()
    took = max(end for _, end in spans) - min(start for start, _ in spans if start)
    print(f"28 pairs in {took:.0f} s, at most {most} at once, {KILLED} containers killed")  # noqa: T201


def test_a_fleet_on_postgresql_that_sigterm_ended_goes_on_with_failed(
    warehouse: Path, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, known = tmp_path / "home", {"BQX_WAREHOUSE": str(warehouse)}
    known["DAGSTER_POSTGRES_URL"] = postgres.url(postgres.create("fleet_run"))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", known["DAGSTER_POSTGRES_URL"])
    stored = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["storage"]
    (home / "dagster").mkdir(parents=True)
    own = yaml.safe_load(WORKSPACE.with_name("dagster.yaml").read_text()) | {"storage": stored}
    (home / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(own))
    assert "next: " in ended_at_work(home, "--pairs", "eurusd,gbpusd,usdjpy", **known)
    code, answer = fleet_run(home, "--failed", timeout=900, **known)
    assert code == 0, answer
    assert {each["pair"]: each["state"] for each in answer["pairs"]} == dict.fromkeys(NAMES[:3], "done")
    assert not (home / "dagster" / "history").exists(), "runs were kept in SQLite"


def _span(run: dg.RunRecord) -> tuple[float, float]:
    """Begin and end; a run without a time of its begin counts as one that was always at work."""
    return run.start_time or 0.0, run.end_time or 0.0


def _launch(fleet: Production) -> str:
    """Launch the backfill as the dialog of the asset graph does."""
    params = {
        "assetSelection": [{"path": list(asset.path)} for asset in STAGES],
        "partitionNames": NAMES,
        "tags": [],
    }
    answer = fleet.graphql.ask(_BACKFILL, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return answer["backfillId"]


def _kill_one(fleet: Production, killed: list[Execution]) -> None:
    """Kill the container of an execution that is at work, until enough were killed."""
    at_work = [each for each in list(fleet.cloud_run.executions.values()) if each.pids and not each.attempts]
    fresh = [each for each in at_work if each not in killed]
    if len(killed) < KILLED and len(fresh) > 1:
        os.kill(fresh[0].pids[-1], signal.SIGKILL)
        killed.append(fresh[0])
