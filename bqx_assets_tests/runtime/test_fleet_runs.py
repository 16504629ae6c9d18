"""``bqx fleet run``: real runs by a daemon of its own, one bad pair beside a good one, and what is done after it."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat

from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime import fleet_runs
from bqx_assets.runtime.daemon import is_served
from bqx_assets.runtime.fleet_runs import Fleet, MemberRun, fleet_of, pairs_to_repeat, remaining_seconds
from bqx_assets.runtime.instance import UNENDED, open_instance
from bqx_assets.runtime.keys import FLEET_JOB
from bqx_assets.runtime.rollout import FLEET_TAG
from bqx_assets_tests.runtime.fleet_command import ended_at_work, fleet_run
from bqx_assets_tests.runtime.homes import make_home

PAIRS = [parse_pair(name) for name in ("eurusd", "gbpusd")]
BAD = "bqx_ml_v3_features_v2/base_bqx_gbpusd.parquet"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two pairs, one of which lacks a table."""
    made = make_home(tmp_path_factory.mktemp("fleet") / "home", pairs=[pair.name for pair in PAIRS], tables=2)
    (made / "warehouse" / BAD).rename(made / "mended.parquet")
    return made


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The home's settings. The command sets these variables for its own process."""
    for name, place in (("BQX_HOME", home), ("DAGSTER_HOME", home / "dagster"), ("PYTHONWARNINGS", "ignore")):
        monkeypatch.setenv(name, str(place))
    return Settings(home=home)


def test_a_fleet_ends_with_the_good_pair_published_and_the_bad_ones_error_and_cure(
    home: Path, settings: Settings
) -> None:
    code, answer = fleet_run(home)
    good, bad = answer["pairs"]
    assert (code, good["pair"], good["state"], bad["pair"], bad["state"]) == (1, "eurusd", "done", "gbpusd", "failed")
    assert bad["error"].startswith("ExtractionIncomplete: gbpusd: 1 of 2 tables failed: base_bqx_gbpusd")
    assert "run again" in bad["cure"]
    assert good["seconds"] > 0
    assert good["usd"] == 0
    assert (home / "bqx-ml-output" / "training_eurusd.parquet").is_file()
    with open_instance(home / "dagster") as instance:
        assert not is_served(instance)  # its daemon ended with it, and left nothing that the next one would wait for
    assert pairs_to_repeat(settings, PAIRS) == PAIRS[1:]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Dagster leaves its code server's Popen
def test_a_pair_that_is_queued_already_is_followed_and_cancelling_leaves_no_run(settings: Settings) -> None:
    with fleet_of(settings, 3, served=False) as first, fleet_of(settings, None, served=False) as second:
        assert first.launch(PAIRS[:1]) == []
        assert second.launch(PAIRS) == ["eurusd"]
        assert [(each.pair, each.followed, each.state) for each in second.look()] == [
            ("eurusd", True, "queued"),
            ("gbpusd", False, "queued"),
        ]
        assert [each.state for each in second.cancel()] == ["cancelled", "cancelled"]
    gc.collect()
    assert pairs_to_repeat(settings, PAIRS) == PAIRS


def test_cancelling_a_launch_that_was_interrupted_ends_the_runs_that_are_not_in_the_queue_yet(
    settings: Settings,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        fleet = fleet_runs.Fleet(instance, settings, None)
        job = dg.GraphDefinition(name="pair_job", node_defs=[]).to_job()
        for pair, tags in (("eurusd", {FLEET_TAG: fleet.id}), ("gbpusd", dict[str, str]())):
            instance.create_run_for_job(job, tags={"dagster/partition": pair, **tags})
        assert fleet.look() == []
        assert [(each.pair, each.state, each.cure) for each in fleet.cancel()] == [("eurusd", "cancelled", "")]
        statuses = {run.tags["dagster/partition"]: run.status.value for run in instance.get_runs()}
        assert statuses == {"eurusd": "CANCELED", "gbpusd": "NOT_STARTED"}


def test_sigterm_cancels_what_is_queued_and_at_work_and_leaves_no_run_and_no_daemon(
    home: Path, settings: Settings
) -> None:
    said = ended_at_work(home)
    assert "cancelling the runs of this fleet" in said
    assert f"--home {home} fleet run --failed" in said
    with open_instance(home / "dagster") as instance:
        assert instance.get_runs(dg.RunsFilter(statuses=UNENDED)) == []
        assert not is_served(instance)
    assert pairs_to_repeat(settings, PAIRS) == PAIRS


@pytest.mark.parametrize(("age", "served"), [(10.0, True), (80.0, False), (-3_600.0, False)])
def test_a_daemon_whose_heartbeat_is_old_or_from_the_future_takes_no_runs(age: float, *, served: bool) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        heartbeat = DaemonHeartbeat(time.time() - age, "QUEUED_RUN_COORDINATOR", "some-daemon", [])
        instance.add_daemon_heartbeat(heartbeat)
        assert is_served(instance) is served


def _members(*states: tuple[str, float | None]) -> Sequence[MemberRun]:
    named: list[Pair] = [parse_pair(name) for name in ("eurusd", "gbpusd", "usdjpy", "usdchf")]
    return [
        MemberRun.model_validate(
            {"pair": pair.name, "run_id": "r", "state": state, "followed": False, "seconds": seconds}
        )
        for pair, (state, seconds) in zip(named, states, strict=False)
    ]


def test_the_time_left_goes_by_the_bytes_of_the_pairs_and_the_runs_at_once() -> None:
    runs = _members(("done", 100.0), ("running", 50.0), ("running", 0.0), ("queued", None))
    assert remaining_seconds(runs, {"eurusd": 10, "gbpusd": 10, "usdjpy": 20, "usdchf": 5}) == (50 + 200 + 50) / 2
    assert remaining_seconds(runs, {}) == (50 + 100 + 100) / 2
    assert remaining_seconds(_members(("failed", 9.0), ("queued", None)), {}) is None


@pytest.mark.parametrize(
    ("ended", "bad"),
    [
        ("pair_job+ pair_job-", True),
        ("pair_job- pair_job+", False),
        ("pair_job- doctor_job+ verify_job+", True),
        ("pair_job- extract_job+", True),
        ("pair_job+ extract_job-", True),
        ("pair_job+ doctor_job- verify_job-", False),
        ("doctor_job-", False),
    ],
)
def test_a_failed_run_is_repeated_until_a_later_one_has_published(ended: str, *, bad: bool) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for name, sign in ((word[:-1], word[-1]) for word in ended.split()):
            job = dg.GraphDefinition(name=name, node_defs=[]).to_job()
            status = dg.DagsterRunStatus.SUCCESS if sign == "+" else dg.DagsterRunStatus.FAILURE
            instance.create_run_for_job(job, tags={"dagster/partition": "eurusd"}, status=status)
        assert fleet_runs._latest_is_bad(instance, PAIRS[0]) is bad


def test_what_a_run_cost_is_whole_though_a_month_ended_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2026, 12, 1, 0, 10, tzinfo=tz)

    monkeypatch.setattr(fleet_runs, "datetime", Clock)
    settings, began = Settings(home=tmp_path), datetime(2026, 11, 30, 23, 50, tzinfo=UTC)
    known: dict[str, Any] = {"run": "r", "pair": "eurusd", "outcome": "done", "bigquery_usd": 2.0}
    for stage, at in (("slabs", began), ("merge", began + timedelta(minutes=20))):
        Ledger(Pipeline(settings).store).begin(Entry(stage=stage, began_at=at, **known))
    with dg.DagsterInstance.ephemeral() as instance:
        assert fleet_runs.Fleet(instance, settings, None)._spent() == {"r": 4.0}


def test_a_run_that_was_deleted_is_an_outcome(settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        fleet = fleet_runs.Fleet(instance, settings, None)
        fleet._runs = {"eurusd": "of-no-run"}
        (outcome,) = list(fleet.looks())[-1]
    assert (outcome.pair, outcome.state, outcome.cure) == ("eurusd", "cancelled", "bqx run eurusd")


def test_a_report_whose_process_has_died_is_not_waited_for(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_runs, "_REPORT_TIME", timedelta(seconds=1.5))
    with open_instance(home / "dagster") as instance:
        lost = create_run_for_test(instance, job_name=FLEET_JOB, status=dg.DagsterRunStatus.STARTED)
        looks = list(Fleet(instance, settings, None).looks())
        assert len(looks) > 1  # it is waited for while it may be at work
        instance.delete_run(lost.run_id)
