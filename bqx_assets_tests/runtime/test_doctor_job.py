"""Tests ``doctor_job``: the report in the step's metadata, and a failure that names what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import Line, Report
from bqx_assets.runtime.doctor_job import doctor_job, markdown
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.in_process import terminal_logging
from bqx_assets.runtime.launcher.tags import MEMORY_TAG, pair_of
from bqx_assets.runtime.workspace import Workspace
from bqx_assets_tests.runtime.homes import make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("doctor"))


def _run(settings: Settings) -> dg.ExecuteInProcessResult:
    job = build_definitions(Workspace.of(settings)).resolve_job_def(doctor_job.name)
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            instance=instance,
            partition_key="eurusd",
            raise_on_error=False,
            run_config=terminal_logging("CRITICAL"),
        )


def _failure(result: dg.ExecuteInProcessResult) -> Mapping[str, dg.MetadataValue]:
    (event,) = (each for each in result.all_events if each.event_type == dg.DagsterEventType.STEP_FAILURE)
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.metadata


def test_the_report_is_in_the_metadata_of_a_job_that_lacks_nothing(home: Path) -> None:
    result = _run(Settings(home=home))
    assert result.success
    (output,) = (each for each in result.all_events if each.event_type == dg.DagsterEventType.STEP_OUTPUT)
    metadata = output.step_output_data.metadata
    assert metadata["missing"].value == 0
    assert "| ✓ | tables: row: targets | `targets_eurusd, 50 columns` |" in str(metadata["report"].value)


def test_a_lack_fails_the_job_and_is_named_with_its_cure(home: Path, tmp_path: Path) -> None:
    result = _run(Settings(home=home, output=str(tmp_path / "file" / "below")))
    assert result.success  # a folder that will be made
    (tmp_path / "file").write_text("")
    result = _run(Settings(home=home, output=str(tmp_path / "file" / "below")))
    assert not result.success
    metadata = _failure(result)
    assert metadata["missing"].value == 1
    assert "output, folder" in str(metadata["got"].value)
    assert "✗ | output: folder" in str(metadata["report"].value)


def test_the_job_is_launched_for_one_pair_in_the_container_of_a_pair() -> None:
    assert doctor_job.tags[MEMORY_TAG] == "pair"
    assert doctor_job.partitions_def is not None
    assert pair_of({"dagster/partition": "gbpusd"}).name == "gbpusd"


def test_a_cell_of_the_table_holds_any_text() -> None:
    line = Line(state="missing", theme="output", name="bucket", found="a|b\nc", cure="gsutil | cat")
    last = markdown(Report(pair="eurusd", lines=(line,), seconds=0.1)).splitlines()[-1]
    assert last == "| ✗ | output: bucket | `a\\|b c → gsutil \\| cat` |"
