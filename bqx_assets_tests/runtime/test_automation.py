"""What starts runs: the weekly schedule and the sensor that follows the targets tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from bqx_assets.base.errors import TableMissing, TransientReadError
from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.open_store import open_store
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.release.publish import publish
from bqx_assets.runtime.automation import targets_changed, verify_weekly, weekly
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.in_process import terminal_logging
from bqx_assets.runtime.keys import PUBLISHED, SLABS, SPINE, TRAINING
from bqx_assets.runtime.workspace import Workspace
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.release.training import stored
from bqx_assets_tests.runtime.homes import STAGES, copy_home, make_home

SUNDAY = datetime(2026, 1, 4, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("sensor") / "home", pairs=("eurusd", "gbpusd"), tables=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def _look(
    settings: Settings, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    definitions = build_definitions(Workspace.of(settings))
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=definitions, resources={"workspace": Workspace.of(settings)}
    )
    found = targets_changed(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def _pairs(result: dg.SensorResult | dg.SkipReason) -> list[str | None]:
    assert isinstance(result, dg.SensorResult)
    return [request.partition_key for request in result.run_requests or ()]


def test_every_sunday_all_28_pairs_are_run_each_once() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=SUNDAY)
    requests = list(cast("Iterator[dg.RunRequest]", weekly(context)))
    assert [request.partition_key for request in requests] == [pair.name for pair in ALL_PAIRS]
    assert {request.run_key for request in requests} == {f"2026-01-04:{pair}" for pair in ALL_PAIRS}
    assert all(request.tags["bqx/pair"] == request.partition_key for request in requests)
    assert [int(request.tags["dagster/priority"]) for request in requests] == [*range(28, 0, -1)], "majors first"


def test_every_saturday_what_is_published_is_verified_and_rot_fails_its_check_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    publish(*stored(tmp_path, b"PAR1 values PAR1"), open_store(settings), progress=Silent())
    workspace = Workspace.of(settings)
    context = dg.build_schedule_context(scheduled_execution_time=SUNDAY, resources={"workspace": workspace})
    requests = list(cast("Iterator[dg.RunRequest]", verify_weekly(context)))
    assert [request.run_key for request in requests] == ["verify:2026-01-04:eurusd"]
    file = settings.output_dir / "training_eurusd.parquet"
    times = file.stat()
    for data, passed in ((b"PAR1 values PAR1", True), (b"PAR1 vAlues PAR1", False)):
        file.write_bytes(data)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        with dg.DagsterInstance.ephemeral() as instance:
            job = build_definitions(workspace).resolve_job_def("verify_job")
            run = job.execute_in_process(
                instance=instance, tags=requests[0].tags, run_config=terminal_logging("CRITICAL")
            )
        (found,) = run.get_asset_check_evaluations()
        assert run.success
        assert (found.partition, found.passed, found.blocking) == ("eurusd", passed, False)


def _first(settings: Settings, instance: dg.DagsterInstance) -> str:
    """The cursor after the first look."""
    first = _look(settings, instance)
    assert isinstance(first, dg.SensorResult)
    return first.cursor or ""


def test_the_first_look_notes_how_the_tables_are_and_runs_nothing(
    two_pairs: Path, instance: dg.DagsterInstance
) -> None:
    first = _look(Settings(home=two_pairs), instance)
    assert _pairs(first) == []
    assert isinstance(first, dg.SensorResult)
    assert first.skip_reason is not None
    assert "the present state of 2 targets tables was noted" in str(first.skip_reason.skip_message)
    assert "backfill of pair_job" in str(first.skip_reason.skip_message)
    assert set(json.loads(first.cursor or "")) == {"eurusd", "gbpusd"}


def test_a_look_at_unchanged_targets_runs_nothing(two_pairs: Path, instance: dg.DagsterInstance) -> None:
    settings = Settings(home=two_pairs)
    assert isinstance(_look(settings, instance, _first(settings, instance)), dg.SkipReason)


def test_only_the_pair_whose_targets_changed_is_run(
    two_pairs: Path, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = copy_home(two_pairs, tmp_path / "home")
    first = _first(settings, instance)
    table = next(settings.warehouse_dir.glob("*/targets_gbpusd.parquet"))
    os.utime(table, (SUNDAY.timestamp(), SUNDAY.timestamp()))
    second = _look(settings, instance, first)
    assert _pairs(second) == ["gbpusd"]
    assert isinstance(second, dg.SensorResult)
    assert set(json.loads(second.cursor or "")) == {"eurusd", "gbpusd"}


def test_a_pair_that_appears_after_the_first_look_is_run(two_pairs: Path, instance: dg.DagsterInstance) -> None:
    settings = Settings(home=two_pairs)
    seen = json.loads(_first(settings, instance))
    del seen["gbpusd"]
    assert _pairs(_look(settings, instance, json.dumps(seen))) == ["gbpusd"]


def _ended(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus, **tags: str) -> None:
    """A run that was made of a request, over."""

    @dg.job(name="pair_job")
    def pretended() -> None:
        pass

    own = {"dagster/partition": request.partition_key or "", **request.tags, **tags}
    instance.create_run_for_job(pretended, status=status, tags=own)


FAILURE, SUCCESS, CANCELED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize(
    ("status", "tags", "again"),
    [
        (FAILURE, {}, True),
        (FAILURE, {"dagster/will_retry": "true"}, False),
        (FAILURE, {"bqx/targets_state": "an earlier one"}, False),
        (SUCCESS, {}, False),
        (CANCELED, {}, False),
        (dg.DagsterRunStatus.STARTED, {}, False),
    ],
)
def test_a_pair_whose_run_failed_is_asked_for_once_more_a_change_and_no_oftener(
    two_pairs: Path, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str], *, again: bool
) -> None:
    """Dagster launches one run a run key, whatever became of it: a second request of one key is no run."""
    settings = Settings(home=two_pairs)
    before = json.loads(_first(settings, instance)) | {"eurusd": "older"}
    found = _look(settings, instance, json.dumps(before))
    assert isinstance(found, dg.SensorResult)
    (asked,) = list(found.run_requests or ())
    _ended(instance, asked, status, **tags)
    second = _look(settings, instance, found.cursor)
    assert isinstance(second, dg.SensorResult) == again
    if isinstance(second, dg.SensorResult):
        (more,) = list(second.run_requests or ())
        assert more.run_key == f"{asked.run_key}:again"
        _ended(instance, more, status)
        third = _look(settings, instance, second.cursor)
        assert isinstance(third, dg.SensorResult)
        assert [each.run_key for each in third.run_requests or ()] == [more.run_key]


def test_a_run_by_hand_that_failed_is_not_the_sensors_business(two_pairs: Path, instance: dg.DagsterInstance) -> None:
    settings = Settings(home=two_pairs)
    _ended(instance, dg.RunRequest(partition_key="eurusd"), FAILURE)
    assert isinstance(_look(settings, instance, _first(settings, instance)), dg.SkipReason)


def test_what_a_next_look_would_meet_as_well_is_an_error_and_no_skip(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with pytest.raises(TableMissing, match="bqx warehouse create"):
        _look(Settings(home=tmp_path), instance)


class Sensor:
    """The sensor from one look to the next, with the cursor as Dagster keeps it: an error leaves it as it was."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, cursor: str | None) -> None:
        self._workspace, self._instance = Workspace.of(settings), instance
        self._definitions = build_definitions(self._workspace)
        self.cursor = cursor

    def look(self, *, answered: bool = True) -> dg.SensorResult | dg.SkipReason:
        """What a look comes to, where the warehouse answers and where it does not."""

        def away(_: LocalWarehouse, tables: object) -> dict[tuple[str, str], str]:
            del tables
            raise TransientReadError("warehouse", got="503 for 60 s", expected="an answer", cure="Wait.")

        context = dg.build_sensor_context(
            instance=self._instance,
            cursor=self.cursor,
            definitions=self._definitions,
            resources={"workspace": self._workspace},
        )
        with pytest.MonkeyPatch.context() as patch:
            if not answered:
                patch.setattr(LocalWarehouse, "states", away)
            found = targets_changed(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        self.cursor = (found.cursor if isinstance(found, dg.SensorResult) else None) or context.cursor
        return found


@pytest.mark.parametrize("noted", [True, False])
def test_a_warehouse_that_does_not_answer_is_a_skip_that_says_so_and_forgets_nothing_that_was_noted(
    two_pairs: Path, instance: dg.DagsterInstance, *, noted: bool
) -> None:
    settings = Settings(home=two_pairs)
    before = _first(settings, instance) if noted else None
    sensor = Sensor(settings, instance, before)
    found = sensor.look(answered=False)
    assert isinstance(found, dg.SkipReason)
    assert "asked again at the next look" in str(found.skip_message)
    assert "503 for 60 s" in str(found.skip_message)
    assert json.loads(sensor.cursor or "").items() >= json.loads(before or "{}").items()
    after = sensor.look()
    assert isinstance(after, dg.SkipReason) == noted, "a first look that comes late notes, and runs nothing"
    assert _pairs(after) == [] if isinstance(after, dg.SensorResult) else sensor.cursor == before


def test_three_looks_in_a_row_without_an_answer_are_an_error_until_one_is_answered(
    two_pairs: Path, instance: dg.DagsterInstance
) -> None:
    settings = Settings(home=two_pairs)
    sensor = Sensor(settings, instance, _first(settings, instance))
    for _ in range(2):
        for _ in range(2):
            assert isinstance(sensor.look(answered=False), dg.SkipReason)
        for _ in range(2):
            with pytest.raises(TransientReadError, match="503 for 60 s"):
                sensor.look(answered=False)
        assert isinstance(sensor.look(), dg.SkipReason)
    for _ in range(4):  # never three in a row
        assert isinstance(sensor.look(answered=False), dg.SkipReason)
        assert isinstance(sensor.look(), dg.SkipReason)


def test_a_table_that_changed_while_nobody_answered_is_run_at_the_first_answer(
    two_pairs: Path, instance: dg.DagsterInstance
) -> None:
    settings = Settings(home=two_pairs)
    before = json.loads(_first(settings, instance)) | {"eurusd": "older"}
    sensor = Sensor(settings, instance, json.dumps(before))
    sensor.look(answered=False)
    assert _pairs(sensor.look()) == ["eurusd"]
    assert set(json.loads(sensor.cursor or "")) == {"eurusd", "gbpusd"}


class Automation:
    """What the daemon's automation sensor would ask for, over one home, from one look to the next."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._instance, self._definitions = instance, build_definitions(Workspace.of(settings))
        self._cursor = None
        self.look()

    def look(self) -> dict[str, set[str]]:
        """Pairs asked for, by asset."""
        found = dg.evaluate_automation_conditions(
            defs=self._definitions,
            instance=self._instance,
            asset_selection=dg.AssetSelection.assets(*STAGES),
            cursor=self._cursor,
        )
        self._cursor = found.cursor
        asked = {key.to_user_string(): found.get_requested_partitions(key) for key in STAGES}
        return {name: {str(pair) for pair in pairs} for name, pairs in asked.items() if pairs}

    def make(self, *assets: dg.AssetKey) -> bool:
        """Run assets of eurusd with their checks."""
        done = self._definitions.resolve_job_def("pair_job").execute_in_process(
            instance=self._instance,
            partition_key="eurusd",
            asset_selection=list(assets),
            raise_on_error=False,
            run_config=terminal_logging("CRITICAL"),
        )
        return done.success


def test_automation_fires_at_every_hop_once_its_checks_passed_and_only_for_that_pair(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    automation = Automation(settings, instance)
    hops = [
        ([SPINE], {"feature_slabs", "training_parquet"}),
        ([SLABS, TRAINING], {"published_training_file"}),
        ([PUBLISHED], set[str]()),
        ([SPINE, SLABS], {"training_parquet", "published_training_file"}),
        ([TRAINING, PUBLISHED], set[str]()),
    ]
    for made, follow in hops:
        assert automation.make(*made)
        assert automation.look() == {name: {"eurusd"} for name in follow}
        assert automation.look() == {}, "once"


def test_automation_publishes_nothing_whose_blocking_check_failed(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    automation = Automation(settings, instance)
    inject_fault(settings.warehouse_dir, "all-null", parse_pair("eurusd"))
    assert automation.make(SPINE, SLABS)
    assert automation.look() == {"training_parquet": {"eurusd"}}
    assert not automation.make(TRAINING)
    assert automation.look() == {}


def test_a_run_of_the_whole_job_leaves_automation_nothing_to_ask_for(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    automation = Automation(settings, instance)
    assert automation.make(*STAGES)
    assert automation.look() == {}


def test_nothing_runs_by_itself_before_it_is_switched_on() -> None:
    assert weekly.default_status == dg.DefaultScheduleStatus.STOPPED
    assert verify_weekly.default_status == dg.DefaultScheduleStatus.STOPPED
    assert targets_changed.default_status == dg.DefaultSensorStatus.STOPPED
