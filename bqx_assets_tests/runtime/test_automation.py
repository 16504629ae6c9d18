"""What starts runs: the weekly schedules, the sensor that follows the tables, and the conditions of made stages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from bqx_assets.base.errors import TableMissing, TransientReadError
from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.open_store import open_store
from bqx_assets.catalogue.families import families
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.pipeline import Pipeline, Publication
from bqx_assets.release.publish import publish
from bqx_assets.runtime.automation import followed, sources_changed, stages_follow, verify_weekly, weekly
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.in_process import terminal_logging
from bqx_assets.runtime.keys import PUBLISHED, SLABS, SPINE, TARGETS, TRAINING, family_key
from bqx_assets.runtime.workspace import Workspace
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.release.training import stored
from bqx_assets_tests.runtime.homes import STAGES, copy_home, make_home

SUNDAY = datetime(2026, 1, 4, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("sensor") / "home", pairs=("eurusd", "gbpusd"), tables=6)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


class Sensor:
    """The sensor on the sources from look to look, an hour apart, with its cursor as Dagster keeps it."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._workspace, self._instance = Workspace.of(settings), instance
        self._definitions = build_definitions(self._workspace)
        self.cursor: str | None = None
        self.now = SUNDAY

    def look(self, *, answered: bool = True) -> dg.SensorResult | dg.SkipReason:
        """What a look comes to, where the warehouse answers and where it does not. An error leaves the cursor."""

        def away(_: LocalWarehouse, tables: object) -> dict[tuple[str, str], str]:
            del tables
            raise TransientReadError("warehouse", got="503 for 60 s", expected="an answer", cure="Wait.")

        context = dg.build_sensor_context(instance=self._instance, cursor=self.cursor, definitions=self._definitions)
        with pytest.MonkeyPatch.context() as patch:
            if not answered:
                patch.setattr(LocalWarehouse, "states", away)
            self.now += timedelta(hours=1)
            found = followed(context, self._workspace, self.now)
        self.cursor = (found.cursor if isinstance(found, dg.SensorResult) else None) or context.cursor
        for event in _observed(found):
            self._instance.report_runless_asset_event(event)
        return found

    def requests(self) -> list[dg.RunRequest]:
        """The requests of a look that is answered."""
        found = self.look()
        assert isinstance(found, dg.SensorResult)
        return list(found.run_requests or ())


def _observed(result: dg.SensorResult | dg.SkipReason) -> list[dg.AssetObservation]:
    events = result.asset_events if isinstance(result, dg.SensorResult) else ()
    return [each for each in events if isinstance(each, dg.AssetObservation)]


def _why(result: dg.SensorResult | dg.SkipReason) -> str:
    skip = result.skip_reason if isinstance(result, dg.SensorResult) else result
    return str(skip.skip_message) if skip else ""


def _touch(settings: Settings, table: str) -> None:
    """Change a table as a load does that writes the same rows again."""
    (file,) = settings.warehouse_dir.glob(f"*/{table}.parquet")
    os.utime(file, (SUNDAY.timestamp(), file.stat().st_mtime + 1))


def test_every_sunday_all_28_pairs_are_run_each_once() -> None:
    resources = {"workspace": Workspace()}
    context = dg.build_schedule_context(scheduled_execution_time=SUNDAY, resources=resources)
    requests = list(cast("Iterator[dg.RunRequest]", weekly(context)))
    assert [request.partition_key for request in requests] == [pair.name for pair in ALL_PAIRS]
    assert {request.run_key for request in requests} == {f"2026-01-04:{pair}" for pair in ALL_PAIRS}
    assert all(request.tags["bqx/pair"] == request.partition_key for request in requests)
    assert [int(request.tags["dagster/priority"]) for request in requests] == [*range(28, 0, -1)], "majors first"


def test_pairs_outside_of_the_fleet_are_neither_run_weekly_nor_watched(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    fleet = home.model_copy(update={"fleet": "gbpusd"})
    resources = {"workspace": Workspace.of(fleet)}
    context = dg.build_schedule_context(scheduled_execution_time=SUNDAY, resources=resources)
    requests = list(cast("Iterator[dg.RunRequest]", weekly(context)))
    assert [request.partition_key for request in requests] == ["gbpusd"]
    sensor = Sensor(fleet, instance)
    sensor.look()
    _touch(home, "csi_agg_aud")
    _touch(home, "agg_eurusd")
    sensor.look()
    assert [each.partition_key for each in sensor.requests()] == ["gbpusd"]


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


@pytest.fixture
def home(two_pairs: Path, tmp_path: Path) -> Settings:
    return copy_home(two_pairs, tmp_path / "home")


def test_the_first_look_notes_how_the_tables_are_and_runs_nothing(home: Settings, instance: dg.DagsterInstance) -> None:
    sensor = Sensor(home, instance)
    first = sensor.look()
    assert isinstance(first, dg.SensorResult)
    assert first.run_requests == []
    assert "First look: the present state of 10 tables of 2 pairs was noted" in _why(first)
    assert "backfill of pair_job" in _why(first)
    assert _why(sensor.look()) == "None of 10 tables of 2 pairs changed."


@pytest.mark.parametrize(
    ("table", "pairs", "reason"),
    [
        ("targets_gbpusd", ["gbpusd"], "1 targets"),
        ("agg_gbpusd", ["gbpusd"], "1 pair_specific"),
        ("csi_agg_aud", ["eurusd", "gbpusd"], "1 currency_strength"),
    ],
)
def test_the_pairs_of_a_changed_table_are_run_after_a_look_without_a_further_change_and_their_runs_say_why(
    home: Settings, instance: dg.DagsterInstance, table: str, pairs: list[str], reason: str
) -> None:
    sensor = Sensor(home, instance)
    sensor.look()
    _touch(home, table)
    assert _why(sensor.look()).startswith(
        f"{', '.join(pairs)}: 1 change of tables since 2026-01-04 06:00 UTC ({reason}); "
    )
    requests = sensor.requests()
    assert [each.partition_key for each in requests] == pairs
    assert {each.tags["bqx/reason"] for each in requests} == {
        f"1 change of tables since 2026-01-04 06:00 UTC ({reason})"
    }
    assert {each.tags["bqx/changes"] for each in requests} == {"1"}
    assert sensor.requests() == []


def test_each_source_is_observed_with_a_version_that_follows_its_tables(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    sensor = Sensor(home, instance)
    first = sensor.look()
    seen = {(each.asset_key, each.partition): each.tags["dagster/data_version"] for each in _observed(first)}
    own = {(key, pair) for key in (TARGETS, family_key("pair_specific")) for pair in ("eurusd", "gbpusd")}
    shared = {(family_key(family.name), None) for family in families() if family.shared}
    assert {*seen} == own | shared
    _touch(home, "agg_gbpusd")
    (event,) = _observed(sensor.look())
    assert (event.asset_key, event.partition) == (family_key("pair_specific"), "gbpusd")
    assert event.tags["dagster/data_version"] != seen[event.asset_key, event.partition]
    assert {name: value.value for name, value in event.metadata.items()} == {
        "tables": 2,
        "changed": 1,
        "changed_tables": "- `agg_gbpusd`",
    }
    assert _observed(sensor.look()) == []


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
        (FAILURE, {"bqx/request": "an earlier one"}, False),
        (SUCCESS, {}, False),
        (CANCELED, {}, False),
        (dg.DagsterRunStatus.STARTED, {}, False),
    ],
)
def test_a_pair_whose_run_failed_is_asked_for_once_more_a_change_and_no_oftener(
    home: Settings, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str], *, again: bool
) -> None:
    sensor = Sensor(home, instance)
    sensor.look()
    _touch(home, "agg_eurusd")
    sensor.look()
    (asked,) = sensor.requests()
    _ended(instance, asked, status, **tags)
    more = sensor.requests()
    assert [each.run_key for each in more] == [f"{asked.run_key}:again"] * again
    for each in more:
        assert each.tags["bqx/reason"].startswith("its run failed; it is requested once more")
        _ended(instance, each, status)
    assert sensor.requests() == []


def test_a_run_by_hand_that_failed_is_not_the_sensors_business(home: Settings, instance: dg.DagsterInstance) -> None:
    sensor = Sensor(home, instance)
    sensor.look()
    _ended(instance, dg.RunRequest(partition_key="eurusd"), FAILURE)
    assert sensor.requests() == []


def test_a_pair_with_a_run_at_work_waits_whoever_launched_it(home: Settings, instance: dg.DagsterInstance) -> None:
    sensor = Sensor(home, instance)
    sensor.look()
    _ended(instance, dg.RunRequest(partition_key="eurusd"), dg.DagsterRunStatus.STARTED)
    _touch(home, "csi_agg_aud")
    sensor.look()
    assert [each.partition_key for each in sensor.requests()] == ["gbpusd"]
    assert "eurusd: 1 change of tables" in _why(sensor.look())


def test_what_a_next_look_would_meet_as_well_is_an_error_and_no_skip(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with pytest.raises(TableMissing, match="bqx warehouse create"):
        Sensor(Settings(home=tmp_path), instance).look()


def test_a_warehouse_that_does_not_answer_is_a_skip_that_says_so_and_a_late_first_look_runs_nothing(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    sensor = Sensor(home, instance)
    found = sensor.look(answered=False)
    assert isinstance(found, dg.SkipReason)
    assert "asked again at the next look" in _why(found)
    assert "503 for 60 s" in _why(found)
    assert "First look" in _why(sensor.look())


def test_three_looks_in_a_row_without_an_answer_are_an_error_until_one_is_answered(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    sensor = Sensor(home, instance)
    sensor.look()
    for _ in range(2):
        for _ in range(2):
            assert isinstance(sensor.look(answered=False), dg.SkipReason)
        for _ in range(2):
            with pytest.raises(TransientReadError, match="503 for 60 s"):
                sensor.look(answered=False)
        assert sensor.requests() == []
    for _ in range(4):  # never three in a row
        assert isinstance(sensor.look(answered=False), dg.SkipReason)
        assert sensor.requests() == []


def test_a_table_that_changed_while_nobody_answered_is_run_after_the_answers(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    sensor = Sensor(home, instance)
    sensor.look()
    _touch(home, "agg_eurusd")
    sensor.look(answered=False)
    sensor.look()
    sensor.look(answered=False)
    assert [each.partition_key for each in sensor.requests()] == ["eurusd"]


class Automation:
    """What the automation conditions ask for, over one home, from one evaluation to the next."""

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

    def make(self, *assets: dg.AssetKey, pair: str = "eurusd") -> bool:
        """Run assets of a pair with their checks, as somebody does who selects them in the browser."""
        return self._run(self._definitions.resolve_implicit_global_asset_job_def(), pair, list(assets), {})

    def run(self, request: dg.RunRequest) -> bool:
        """Run the whole job of a request."""
        job = self._definitions.resolve_job_def("pair_job")
        return self._run(job, str(request.partition_key), None, {**job.tags, **request.tags})

    def _run(self, job: dg.JobDefinition, pair: str, assets: list[dg.AssetKey] | None, tags: Mapping[str, str]) -> bool:
        done = job.execute_in_process(
            instance=self._instance,
            partition_key=pair,
            asset_selection=assets,
            tags={**tags},
            raise_on_error=False,
            run_config=terminal_logging("CRITICAL"),
        )
        return done.success


def test_automation_fires_at_every_hop_once_its_checks_passed_and_a_failing_pair_holds_up_no_other(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    automation = Automation(home, instance)
    inject_fault(home.warehouse_dir, "all-null", parse_pair("gbpusd"))
    both = {"eurusd", "gbpusd"}
    hops = [
        ([SPINE], {"feature_slabs": both, "training_parquet": both}),
        ([SLABS], {"training_parquet": both}),
        ([TRAINING], {"published_training_file": {"eurusd"}}),
        ([PUBLISHED], {}),
        ([SPINE, SLABS], {"training_parquet": both, "published_training_file": {"eurusd"}}),
    ]
    for made, follow in hops:
        done = {pair: automation.make(*made, pair=pair) for pair in sorted(both)}
        assert done == {"eurusd": True, "gbpusd": not {*made} & {TRAINING, PUBLISHED}}
        assert automation.look() == follow
        assert automation.look() == {}, "once"


def test_a_changed_source_is_published_by_the_sensors_run_and_the_conditions_neither_add_nor_repeat_one(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    automation, sensor = Automation(home, instance), Sensor(home, instance)
    sensor.look()
    assert automation.look() == {}, "the first observation is no change"
    inject_fault(home.warehouse_dir, "all-null", parse_pair("gbpusd"))
    _touch(home, "csi_agg_aud")
    assert sensor.requests() == []
    requests = sensor.requests()
    assert automation.look() == {}, "the observed change is the sensor's business"
    assert [automation.run(each) for each in requests] == [True, False]
    assert automation.look() == {}
    published = [path.name for path in home.output_dir.glob("*.parquet")]
    assert sorted(published) == ["training_eurusd.columns.parquet", "training_eurusd.parquet"]
    assert [each.partition_key for each in sensor.requests()] == ["gbpusd"]
    for run in instance.get_runs():
        assert run.tags["bqx/reason"].startswith(f"{run.tags['bqx/changes']} change")
        assert (run.tags["bqx/made_tables"], run.tags["bqx/made_periods"]) == ("7", "1")


def test_a_run_of_the_whole_job_that_fails_last_is_the_sensors_to_repeat_and_not_the_conditions(
    home: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's own conditions took such a run for one that was to make the training file alone."""

    def refused(*_: object) -> Publication:
        raise OSError(28, "No space left on device")

    automation = Automation(home, instance)
    monkeypatch.setattr(Pipeline, "publish", refused)
    assert not automation.run(dg.RunRequest(partition_key="eurusd"))
    assert automation.look() == {}


def test_nothing_runs_by_itself_before_it_is_switched_on() -> None:
    assert weekly.default_status == dg.DefaultScheduleStatus.STOPPED
    assert verify_weekly.default_status == dg.DefaultScheduleStatus.STOPPED
    assert sources_changed.default_status == dg.DefaultSensorStatus.STOPPED
    assert stages_follow.default_status == dg.DefaultSensorStatus.STOPPED
