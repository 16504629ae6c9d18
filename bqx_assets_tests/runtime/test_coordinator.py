"""The queue takes the largest pair first, keeps within the pools, and ends at once what could only fail."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import SubmitRunContext
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.runtime.automation import pair_job
from bqx_assets.runtime.coordinator import PairRunCoordinator, priorities
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.in_process import _name_location
from bqx_assets.runtime.instance import (
    CONFIG_FILE,
    PROCESS_TAG,
    WORKSPACE,
    end_dead_runs,
    open_instance,
    process_tag,
)
from bqx_assets.runtime.keys import READING, TRAINING
from bqx_assets.runtime.launcher.tags import OUTCOME_TAG, PAIR_TAG, PARTITION_TAG, PRIORITY_TAG
from bqx_assets.runtime.rollout import BACKFILL_TAG, FLEET_TAG, STOP_TAG, STOPPED_TAG, stop_after_failures
from bqx_assets.runtime.workspace import Workspace
from bqx_assets_tests.runtime.launcher.deployment import storage

SHIPPED = WORKSPACE.with_name(CONFIG_FILE)
BACKFILL = {BACKFILL_TAG: "abcdefgh"}


@pytest.fixture
def instance(tmp_path: Path, small_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The packaged instance over a home whose tables are in BigQuery, so that all pairs may have them."""
    monkeypatch.setenv("BQX_HOME", str(small_home))
    monkeypatch.setenv("BQX_BIGQUERY_PROJECT", "some-project")
    document = {**yaml.safe_load(SHIPPED.read_text()), **storage(tmp_path)}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(document))
    with open_instance(tmp_path) as opened:
        _name_location(opened)  # a run in the queue has one
        yield opened


@cache
def job() -> dg.JobDefinition:
    return build_definitions(Workspace()).resolve_job_def(pair_job.name)


def submit(instance: dg.DagsterInstance, pair: str, **tags: str) -> dg.DagsterRun:
    """The run of a pair after the queue has taken it, as the daemon submits a backfill's."""
    made = instance.create_run_for_job(job(), tags={PARTITION_TAG: pair, **tags})
    queue = instance.run_coordinator
    assert isinstance(queue, PairRunCoordinator)
    queue.submit_run(SubmitRunContext(made, workspace=None))  # pyright: ignore[reportArgumentType] -- it is not used
    return state_of(instance, made)


def state_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def message(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """What the run's page shows of its end."""
    logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_CANCELED)
    return "".join(each.dagster_event.message or "" for each in logs if each.dagster_event)


def next_launched(instance: dg.DagsterInstance) -> list[str]:
    """The pairs that Dagster's own daemon would launch now, in its order."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), fixed_iteration_time=None)
    return [run.tags[PARTITION_TAG] for run in runs]


def test_a_backfill_in_alphabetical_order_is_launched_majors_first_and_the_largest_before_them(
    instance: dg.DagsterInstance,
) -> None:
    assert list(priorities(instance).values()) == list(range(len(ALL_PAIRS), 0, -1))
    for pair in ("audusd", "eurusd", "usdjpy"):
        submit(instance, pair, **BACKFILL)
    assert next_launched(instance) == ["eurusd", "usdjpy"]
    for size in (99_000, 5_000):  # the last one counts
        made = dg.AssetMaterialization(TRAINING, partition="chfjpy", metadata={"size_bytes": size})
        instance.report_runless_asset_event(made)
    small = dg.AssetMaterialization(TRAINING, partition="eurusd", metadata={"size_bytes": 4_000})
    instance.report_runless_asset_event(small)
    run = submit(instance, "chfjpy", **BACKFILL)
    assert run.tags[PAIR_TAG] == "chfjpy"
    assert run.tags[PRIORITY_TAG] == "28"
    assert next_launched(instance) == ["eurusd", "chfjpy"]  # before usdjpy, which was queued earlier


def test_a_priority_that_somebody_gave_stays(instance: dg.DagsterInstance) -> None:
    assert submit(instance, "eurusd", **{PRIORITY_TAG: "100"}).tags[PRIORITY_TAG] == "100"


def test_no_more_runs_are_launched_than_the_pool_of_reads_allows(instance: dg.DagsterInstance) -> None:
    for pair in ("eurusd", "gbpusd"):
        submit(instance, pair)
    assert next_launched(instance) == ["eurusd", "gbpusd"]
    instance.event_log_storage.set_concurrency_slots(READING, 1)
    assert next_launched(instance) == ["eurusd"]


def test_two_runs_of_a_pair_are_never_launched_together(instance: dg.DagsterInstance) -> None:
    first = submit(instance, "eurusd", **BACKFILL)
    for pair in ("eurusd", "gbpusd"):
        submit(instance, pair)
    assert next_launched(instance) == ["eurusd", "gbpusd"]
    begins, ends = dg.DagsterEventType.PIPELINE_START, dg.DagsterEventType.PIPELINE_SUCCESS
    for event, waiting in ((begins, ["gbpusd"]), (ends, ["eurusd", "gbpusd"])):
        instance.report_dagster_event(dg.DagsterEvent(event.value, first.job_name), first.run_id)
        assert sorted(next_launched(instance)) == waiting


def test_all_partitions_of_a_warehouse_with_one_pair_start_one_run_and_say_why_not_the_others(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BQX_BIGQUERY_PROJECT")
    runs = {pair.name: submit(instance, pair.name, **BACKFILL) for pair in ALL_PAIRS[:4]}
    assert [run.status.value for run in runs.values()] == ["QUEUED", *["CANCELED"] * 3]
    said = message(instance, runs["usdjpy"])
    assert said.startswith("Nothing was started. usdjpy has no tables in the warehouse ")
    assert said.endswith("Launch only pairs that have some: eurusd.")
    listed = instance.get_runs(dg.RunsFilter(tags={OUTCOME_TAG: "refused"}))
    assert sorted(run.tags[PAIR_TAG] for run in listed) == sorted(set(runs) - {"eurusd"})


def test_the_outcome_of_a_run_is_not_that_of_its_repetition(instance: dg.DagsterInstance) -> None:
    first = submit(instance, "eurusd", **{OUTCOME_TAG: "checks_failed"})
    assert first.tags[OUTCOME_TAG] == "unfinished"
    assert OUTCOME_TAG not in submit(instance, "gbpusd").tags


def test_a_repetition_that_waits_does_not_count_as_dead_because_the_first_runs_process_is(
    instance: dg.DagsterInstance,
) -> None:
    dead = f"{process_tag().split(':')[0]}:1:0.00"
    run = submit(instance, "eurusd", **{PROCESS_TAG: dead})
    starting = dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, run.job_name)
    instance.report_dagster_event(starting, run.run_id)
    assert end_dead_runs(instance) == []
    assert state_of(instance, run).status is dg.DagsterRunStatus.STARTING


def test_a_backfill_takes_the_fleets_pairs_and_a_run_by_hand_any(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BQX_FLEET", "eurusd,gbpusd")
    refused = submit(instance, "usdjpy", **BACKFILL)
    assert message(instance, refused).endswith("usdjpy is not one of the fleet's pairs (BQX_FLEET): eurusd gbpusd.")
    assert submit(instance, "usdjpy").status is dg.DagsterRunStatus.QUEUED


@pytest.mark.parametrize("rollout", [BACKFILL, {FLEET_TAG: "20260101-000000-0000"}], ids=["backfill", "fleet"])
def test_a_rollout_stops_at_its_limit_of_failed_pairs_and_says_so_on_each_cancelled_run(
    instance: dg.DagsterInstance, rollout: dict[str, str]
) -> None:
    runs = {pair: submit(instance, pair, **rollout) for pair in ("eurusd", "gbpusd", "usdjpy", "usdchf")}
    other = submit(instance, "audusd")
    for failed, cancelled in (("eurusd", []), ("gbpusd", ["usdchf", "usdjpy"])):
        instance.report_run_failed(runs[failed])
        assert stop_after_failures(instance, state_of(instance, runs[failed]), 2) == cancelled
    reason = message(instance, runs["usdjpy"])
    assert "2 pairs failed (eurusd, gbpusd), and the limit is 2 (BQX_STOP_AFTER)" in reason
    assert state_of(instance, other).status is dg.DagsterRunStatus.QUEUED
    assert state_of(instance, runs["gbpusd"]).tags[STOPPED_TAG] == "stopped"
    late = submit(instance, "nzdusd", **rollout)  # a later part of a large backfill
    assert "stopped after failures" in message(instance, late)


def test_a_rollout_without_a_limit_goes_on_and_one_of_its_own_goes_before_the_setting(
    instance: dg.DagsterInstance,
) -> None:
    plain, own = (
        [submit(instance, pair, **tags) for pair in ("eurusd", "gbpusd")]
        for tags in (BACKFILL, {FLEET_TAG: "a", STOP_TAG: "1"})
    )
    for first, _ in (plain, own):
        instance.report_run_failed(first)
    assert stop_after_failures(instance, state_of(instance, plain[0]), None) == []
    assert stop_after_failures(instance, state_of(instance, own[0]), 9) == ["gbpusd"]


def test_a_failed_run_that_dagster_launches_again_is_no_failed_pair(instance: dg.DagsterInstance) -> None:
    first, _ = (submit(instance, pair, **BACKFILL) for pair in ("eurusd", "gbpusd"))
    instance.add_run_tags(first.run_id, {"dagster/will_retry": "true"})
    instance.report_run_failed(first)
    assert stop_after_failures(instance, state_of(instance, first), 1) == []
