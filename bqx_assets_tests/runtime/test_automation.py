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

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.automation import targets_changed, weekly
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.workspace import Workspace
from bqx_assets_tests.runtime.homes import copy_home, make_home

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


def test_the_first_look_runs_every_pair_there_is(two_pairs: Path, instance: dg.DagsterInstance) -> None:
    assert _pairs(_look(Settings(home=two_pairs), instance)) == ["eurusd", "gbpusd"]


def test_a_look_at_unchanged_targets_runs_nothing(two_pairs: Path, instance: dg.DagsterInstance) -> None:
    first = _look(Settings(home=two_pairs), instance)
    assert isinstance(first, dg.SensorResult)
    assert isinstance(_look(Settings(home=two_pairs), instance, first.cursor), dg.SkipReason)


def test_only_the_pair_whose_targets_changed_is_run(
    two_pairs: Path, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = copy_home(two_pairs, tmp_path / "home")
    first = _look(settings, instance)
    assert isinstance(first, dg.SensorResult)
    table = next(settings.warehouse_dir.glob("*/targets_gbpusd.parquet"))
    os.utime(table, (SUNDAY.timestamp(), SUNDAY.timestamp()))
    second = _look(settings, instance, first.cursor)
    assert _pairs(second) == ["gbpusd"]
    assert isinstance(second, dg.SensorResult)
    assert set(json.loads(second.cursor or "")) == {"eurusd", "gbpusd"}


def test_without_a_warehouse_the_sensor_says_why_it_skips(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    reason = _look(Settings(home=tmp_path), instance)
    assert isinstance(reason, dg.SkipReason)
    assert "bqx warehouse create" in str(reason.skip_message)


def test_nothing_runs_by_itself_before_it_is_switched_on() -> None:
    assert weekly.default_status == dg.DefaultScheduleStatus.STOPPED
    assert targets_changed.default_status == dg.DefaultSensorStatus.STOPPED
