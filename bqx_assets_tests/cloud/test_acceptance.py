"""A pair from the browser's click to its published object, by what is deployed; and once more with a container killed.

Dagster's web server, daemon and code server; the real launcher; containers that are real processes under a true limit
of 2 GiB, their files in memory; PostgreSQL; BigQuery, Cloud Storage and Cloud Run by Google's own clients.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.extract.slabs import slabs_prefix
from bqx_assets.quality.rules import RULES
from bqx_assets.runtime.launcher.tags import ENDING_TAG, NEVER_BEGAN
from bqx_assets_tests.cloud.planted import files_of, objects_of
from bqx_assets_tests.cloud.production import ROOT, Production, oracle
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.servers.bigquery.gate import ReadGate
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

GIB = 2**30
TABLES = 8
"""The targets and seven more."""
BEFORE_THE_KILL = 4


def _published(gcs: GcsServer) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(gcs.buckets[BUCKET].live["training_eurusd.parquet"].data))


def _checks(run: Production, run_id: str) -> dict[str, bool]:
    """Each check's verdict, as the instance keeps it."""
    with run.instance() as instance:
        logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [entry.get_dagster_event().asset_check_evaluation_data for entry in logs]
    return {each.check_name: each.passed for each in found}


def test_a_pair_launched_in_the_browser_is_published_by_a_2_gib_container_with_every_check_passed(
    running: Production, approved: GcsServer, gate: ReadGate, warehouse: Path, tmp_path: Path
) -> None:
    run_id = running.graphql.launch("pair_job", "eurusd")
    status = running.graphql.await_end(run_id)
    execution = running.cloud_run.latest()
    assert status == "SUCCESS", running.cloud_run.output(execution)
    assert execution.join(30)
    checks = _checks(running, run_id)
    assert checks.keys() >= {rule.name for rule in RULES}
    assert all(checks.values()), checks
    assert_frame_equal(_published(approved), oracle(warehouse, tmp_path / "oracle"), check_exact=True)
    (attempt,) = execution.attempts
    assert execution.image.memory_bytes == 2 * GIB
    assert attempt.succeeded
    assert 0 < attempt.peak_bytes < 2 * GIB
    assert len(gate.tables) == len(set(gate.tables)) == TABLES
    assert any(name.startswith("staging/shared/") for name in approved.buckets[BUCKET].live)
    _assert_nothing_leaked(running, approved)


def test_a_container_killed_half_way_is_followed_by_one_that_reads_no_finished_table_again(
    running: Production, approved: GcsServer, gate: ReadGate, warehouse: Path, tmp_path: Path
) -> None:
    gate.let_through = BEFORE_THE_KILL
    executions = len(running.cloud_run.executions)
    run_id = running.graphql.launch("pair_job", "eurusd")
    finished = _await_slabs(approved, BEFORE_THE_KILL)
    execution = running.cloud_run.latest()
    os.kill(execution.pids[0], signal.SIGKILL)
    gate.open()
    status = running.graphql.await_end(run_id)
    assert status == "SUCCESS", running.cloud_run.output(execution)
    assert execution.join(30)
    assert (len(execution.pids), len(running.cloud_run.executions)) == (2, executions + 1)
    asked = Counter(gate.tables)
    assert {asked[table] for table in finished} == {1}
    assert len(asked) == TABLES
    assert_frame_equal(_published(approved), oracle(warehouse, tmp_path / "oracle"), check_exact=True)


def test_three_pairs_whose_secret_is_gone_fail_within_a_minute_one_execution_each_and_leave_the_queue_empty(
    running: Production, approved: GcsServer
) -> None:
    """A fleet of 28 once took 80 minutes to fail: 600 s of waiting in each of the queue's places, twice."""
    assert approved.buckets
    pairs, before, began = ("eurusd", "gbpusd", "usdjpy"), len(running.cloud_run.executions), time.monotonic()
    secrets, running.cloud_run.secrets = running.cloud_run.secrets, {}
    try:
        runs = [running.graphql.launch("pair_job", pair) for pair in pairs]
        assert {running.graphql.await_end(run_id) for run_id in runs} == {"FAILURE"}
    finally:
        running.cloud_run.secrets = secrets
    assert time.monotonic() - began < 60
    assert len(running.cloud_run.executions) == before + len(pairs)
    with running.instance() as instance:
        for run_id in runs:
            tags = instance.get_runs(dg.RunsFilter(run_ids=[run_id]))[0].tags
            assert (tags[ENDING_TAG], tags["dagster/will_retry"]) == (NEVER_BEGAN, "false")
        at_work = [*dg.DagsterRunStatus]
        at_work = [each for each in at_work if each.value in {"QUEUED", "NOT_STARTED", "STARTING", "STARTED"}]
        assert not instance.get_runs(dg.RunsFilter(statuses=at_work))


def test_a_container_has_no_variable_that_the_shipped_files_do_not_give_it(running: Production) -> None:
    """But addresses of servers, credentials planted to be looked for, and where this checkout's code is."""
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    of_image = {
        word.split("=")[0] for line in re.findall(r"^ENV (.*)", dockerfile, re.MULTILINE) for word in line.split()
    }
    addresses = {"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "BQX_BIGQUERY_STORAGE_ENDPOINT"}
    planted = {"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_ACCESS_TOKEN", "SIGNED_URL"}
    left = running.cloud_run.image_env.keys() - of_image - addresses - planted
    assert left == {"LANG", "PYTHONPATH"}
    for job in running.cloud_run.jobs.values():
        names = {each.name for each in job.template.template.containers[0].env}
        assert not names & (addresses | planted)
        assert {"BQX_LAST", "BQX_MAX_BYTES", "BQX_EXPECTATIONS", "DAGSTER_POSTGRES_URL"} <= names


@pytest.mark.parametrize("service", ["code", "web", "daemon"])
def test_a_service_that_runs_is_healthy_by_the_machines_own_check_and_one_that_does_not_is_not(
    running: Production, service: str
) -> None:
    """Of ``deploy/compose.yaml``, by whose own words they were started."""
    assert running.machine.healthy(service)
    if service == "web":  # the others' checks take 3 s of CPU each
        elsewhere = replace(running.machine, ports={"4000": 1, "3000": 1})
        assert not elsewhere.healthy(service)


def _assert_nothing_leaked(running: Production, bucket: GcsServer) -> None:
    """Event log, step logs, outputs of containers and of Dagster's servers, slabs, manifests: no planted secret."""
    outputs = {execution.name: running.cloud_run.output(execution) for execution in [running.cloud_run.latest()]}
    logs = [name for name, _ in objects_of(bucket) if name.startswith("compute-logs/")]
    assert logs
    left = itertools.chain(
        files_of(running.home), objects_of(bucket), ((name, text.encode()) for name, text in outputs.items())
    )
    assert running.planted.found_in(left) == []


def _await_slabs(gcs: GcsServer, count: int) -> set[str]:
    """Wait until so many slabs are in the bucket with their records, and return their tables."""
    prefix, suffix = slabs_prefix(EURUSD), ".slab.json"
    until = time.monotonic() + 120
    found: set[str] = set()
    while len(found) < count and time.monotonic() < until:
        names = [name for name in list(gcs.buckets[BUCKET].live) if name.startswith(prefix) and name.endswith(suffix)]
        found = {name.removeprefix(prefix).removesuffix(suffix) for name in names}
        time.sleep(0.05)
    assert len(found) == count
    return found
