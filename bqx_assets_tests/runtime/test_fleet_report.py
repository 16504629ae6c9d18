"""The report of all pairs is an asset beside the files; its check names the pairs that are not good."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.fleet.publication import REPORT_NAME, STATE_NAME
from bqx_assets.fleet.state import FleetState
from bqx_assets.fleet.trend import load_trend
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime.fleet_report import FLEET_CHECK, attention_table, fleet_daily, fleet_job, rollout_report
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.in_process import terminal_logging
from bqx_assets.runtime.keys import FLEET_REPORT, PUBLISHED
from bqx_assets.runtime.launcher.tags import PARTITION_TAG
from bqx_assets.runtime.rollout import BACKFILL_TAG, FLEET_TAG
from bqx_assets.runtime.workspace import Workspace
from bqx_assets_tests.fleet.states import fleet, good


def made(settings: Settings) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return (
            build_definitions(Workspace.of(settings))
            .resolve_job_def(fleet_job.name)
            .execute_in_process(instance=instance, run_config=terminal_logging("CRITICAL"))
        )


def test_the_job_publishes_page_state_and_trend_and_judges_the_fleet(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, fleet="eurusd gbpusd")
    for count in (1, 2):
        result = made(settings)
        store = Pipeline(settings).store
        assert len(load_trend(store)) == count
    assert b"eurusd" in store.read(REPORT_NAME)
    assert len(FleetState.model_validate_json(store.read(STATE_NAME)).pairs) == 2
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (FLEET_CHECK, False)
    assert "2 pairs never run: eurusd, gbpusd" in str(check.metadata["what needs attention first"].value)
    (event,) = result.get_asset_materialization_events()
    facts = {name: value.value for name, value in event.materialization.metadata.items()}
    assert facts["report"] == (tmp_path / "bqx-ml-output" / REPORT_NAME).absolute().as_uri()
    assert (facts["pairs"], facts["good"], facts["not_fresh"]) == (2, 0, 0)  # what was never published has no age


def test_the_schedule_is_off_until_it_is_switched_on() -> None:
    assert fleet_daily.default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(("pairs", "words"), [((good("eurusd"),), "Nothing"), (fleet().pairs, "| damaged |")])
def test_the_checks_evidence_is_a_table_of_what_needs_attention(pairs: tuple[object, ...], words: str) -> None:
    shown = attention_table(fleet(pairs=pairs, month_usd=0.0))
    assert words in shown
    assert len(shown) < 20_000


def test_a_pair_that_fails_in_a_backfill_does_not_keep_the_report_from_being_written() -> None:
    graph = build_definitions(Workspace()).resolve_asset_graph()
    assert PUBLISHED in graph.get(FLEET_REPORT).parent_keys  # the arrow of the graph stays
    mapping = graph.get_partition_mapping(FLEET_REPORT, PUBLISHED)
    above = graph.get(PUBLISHED).partitions_def
    assert above is not None
    needed = mapping.get_upstream_mapped_partitions_result_for_partitions(None, None, above)
    assert not needed.partitions_subset.get_partition_keys()


@pytest.mark.parametrize("tag", [BACKFILL_TAG, FLEET_TAG])
def test_a_rollout_is_reported_once_when_all_of_its_runs_have_ended(tag: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def look() -> dg.RunRequest | dg.SkipReason:
            found = rollout_report(dg.build_sensor_context(instance))
            assert isinstance(found, dg.RunRequest | dg.SkipReason)
            return found

        def run(pair: str) -> dg.DagsterRun:
            tags = {tag: "abcdefgh", PARTITION_TAG: pair}
            return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)

        job = build_definitions(Workspace()).resolve_job_def(fleet_job.name)
        assert look() == dg.SkipReason("No backfill and no fleet has ended.")
        first, second = run("eurusd"), run("gbpusd")
        instance.report_run_failed(first)
        assert look() == dg.SkipReason("Rollout abcdefgh: 1 of 2 runs have not ended, or more are to come.")
        instance.report_run_canceled(second)
        ended = look()
        assert isinstance(ended, dg.RunRequest)
        assert ended.run_key == "abcdefgh:2"
        report = instance.create_run_for_job(job, tags={tag: "abcdefgh"}, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(report)  # the report's own run in a backfill is no pair of it
        assert look() == ended
        again = run("eurusd")
        assert isinstance(look(), dg.SkipReason)
        instance.report_run_failed(again)
        assert look() == dg.RunRequest(run_key="abcdefgh:3")
