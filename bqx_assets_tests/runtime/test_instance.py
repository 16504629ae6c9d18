"""The Dagster home: made whole, kept over runs, and free of runs whose process died."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import dagster as dg
import pytest
from sqlalchemy.exc import OperationalError

from bqx_assets.base.errors import BadSetting, SystemRefused
from bqx_assets.base.process import started_seconds
from bqx_assets.base.settings import Settings
from bqx_assets.runtime import instance as instance_module
from bqx_assets.runtime.instance import (
    CONFIG_FILE,
    PROCESS_TAG,
    WORKSPACE,
    dagster_home,
    end_dead_runs,
    open_instance,
    process_tag,
    storage_named,
)
from bqx_assets.runtime.web_server import queue_notice


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(tmp_path / "dagster") as made:
        yield made


def _started(instance: dg.DagsterInstance, tag: str, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> str:
    @dg.job
    def idle() -> None: ...

    run = instance.create_run_for_job(idle, tags={PROCESS_TAG: tag}, status=status)
    return run.run_id


def test_a_home_without_settings_gets_the_packaged_ones_and_keeps_its_own(tmp_path: Path) -> None:
    with open_instance(tmp_path / "dagster"):
        pass
    config = tmp_path / "dagster" / CONFIG_FILE
    assert "max_concurrent_runs" in config.read_text()
    config.write_text("telemetry:\n  enabled: false\n")
    with open_instance(tmp_path / "dagster"):
        assert config.read_text() == "telemetry:\n  enabled: false\n"


def test_a_file_of_an_earlier_version_is_renewed_and_the_present_one_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, old = WORKSPACE.with_name(CONFIG_FILE).read_bytes(), b"telemetry: {enabled: false}"
    # Add that of a changed file, and keep the others.
    assert instance_module._digest(shipped) == instance_module._SHIPPED[-1]
    for known, kept in (((instance_module._digest(old),), shipped), ((), old)):
        monkeypatch.setattr(instance_module, "_SHIPPED", known)
        (tmp_path / CONFIG_FILE).write_bytes(old)
        with open_instance(tmp_path) as opened:
            assert (tmp_path / CONFIG_FILE).read_bytes() == kept
            assert ("Copy run_coordinator and concurrency from" in queue_notice(opened)) is (kept == old)


def test_a_variable_of_the_storage_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    (tmp_path / CONFIG_FILE).write_text("storage: {postgres: {postgres_url: {env: DAGSTER_POSTGRES_URL}}}")
    with pytest.raises(BadSetting) as raised, storage_named(tmp_path):
        open_instance(tmp_path)
    assert raised.value.subject == str(tmp_path / CONFIG_FILE)
    assert raised.value.got.startswith('You have attempted to fetch the environment variable "DAGSTER_POSTGRES_URL"')


def test_a_database_that_does_not_answer_is_named_and_not_a_full_disk(tmp_path: Path) -> None:
    class TooMany(Exception):
        pass

    def fails() -> None:
        refused = OperationalError("SELECT 1", None, Exception("connection refused"))
        with storage_named(tmp_path):
            raise TooMany("too many retries") from refused

    with pytest.raises(SystemRefused) as raised:
        fails()
    assert (raised.value.got, raised.value.expected) == (
        "Dagster's storage: connection refused",
        "a database that answers",
    )


def test_runs_are_kept_when_the_home_is_opened_again(tmp_path: Path) -> None:
    with open_instance(tmp_path / "dagster") as first:
        run_id = _started(first, process_tag())
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as second:
        assert second.get_run_by_id(run_id) is not None


def test_the_home_is_dagsters_own_variable_or_a_folder_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert dagster_home(Settings(home=tmp_path)) == tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "else"))
    assert dagster_home(Settings(home=tmp_path)) == tmp_path / "else"


def test_a_run_whose_process_died_is_ended_and_a_living_one_is_not(instance: dg.DagsterInstance) -> None:
    living = _started(instance, process_tag())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tag = process_tag().split(":")
        other = f"{tag[0]}:{process.pid}:{started_seconds(process.pid):.2f}"
        dead = _started(instance, other)
        assert end_dead_runs(instance) == []
        process.kill()
        process.wait()
    assert end_dead_runs(instance) == [dead]
    statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses == {living: dg.DagsterRunStatus.STARTED, dead: dg.DagsterRunStatus.FAILURE}


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING])
def test_a_run_that_died_before_its_first_step_is_ended_too(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    host, number, _ = process_tag().split(":")
    living, dead = _started(instance, process_tag(), status), _started(instance, f"{host}:{number}:1.00", status)
    assert end_dead_runs(instance) == [dead]
    assert {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=[status]))} == {living}


def test_a_process_that_took_over_the_number_of_a_dead_one_is_another(instance: dg.DagsterInstance) -> None:
    host, number, _ = process_tag().split(":")
    dead = _started(instance, f"{host}:{number}:1.00")
    assert end_dead_runs(instance) == [dead]


def test_runs_of_another_machine_or_of_the_web_server_are_left_alone(instance: dg.DagsterInstance) -> None:
    _started(instance, "elsewhere:1:1.00")
    assert end_dead_runs(instance) == []


def test_several_that_open_a_new_home_at_once_all_get_its_instance(tmp_path: Path) -> None:
    """Dagster makes its tables where their file is missing: the second of two first runs found a half-made one."""
    home, together = tmp_path / "dagster", Barrier(3)

    def opened() -> int:
        together.wait()
        with open_instance(home) as instance:
            return len(instance.get_runs())

    with ThreadPoolExecutor(together.parties) as pool:
        assert [each.result() for each in [pool.submit(opened) for _ in range(together.parties)]] == [0] * 3
