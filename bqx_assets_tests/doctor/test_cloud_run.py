"""Tests the sizes of Cloud Run jobs against the table by which the test server refuses them."""

from __future__ import annotations

import pytest
from google.cloud import run_v2

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import Case
from bqx_assets.doctor.cloud_run import JOB_PROBES, cloud_run_probes
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.servers.cloud_run.sizes import refusal


@pytest.mark.parametrize("cpu", ["1", "2", "2000m", "3", "4", "6", "8", "16", "0.5"])
@pytest.mark.parametrize("memory", ["256Mi", "512Mi", "2Gi", "4Gi", "8Gi", "12Gi", "16Gi", "24Gi", "32Gi", "64Gi"])
def test_a_size_is_a_lack_where_cloud_run_would_refuse_it(cpu: str, memory: str) -> None:
    job = run_v2.Job()
    job.template.template.containers = [
        run_v2.Container(resources=run_v2.ResourceRequirements(limits={"cpu": cpu, "memory": memory}))
    ]
    case = Case(Settings(), EURUSD, jobs={"bqx-pair": job})
    expected = "passed" if refusal(cpu, memory) is None else "missing"
    assert JOB_PROBES["size"](case).state == expected


def test_a_container_of_cloud_run_judges_no_jobs_since_its_account_starts_none() -> None:
    case = Case(Settings(), EURUSD, environment={"CLOUD_RUN_EXECUTION": "bqx-doctor-abc"})
    launcher = next(probe for probe in cloud_run_probes(case) if probe.name == "launcher")
    assert launcher.look(case).state == "skipped"


@pytest.mark.parametrize(
    ("period", "memory", "state"),
    [("", "2Gi", "passed"), ("year", "2Gi", "passed"), ("none", "2Gi", "missing"), ("none", "8Gi", "passed")],
)
def test_the_whole_history_needs_memory_by_its_periods(period: str, memory: str, state: str) -> None:
    job = run_v2.Job()
    job.template.template.containers = [
        run_v2.Container(
            resources=run_v2.ResourceRequirements(limits={"cpu": "2", "memory": memory}),
            env=[run_v2.EnvVar(name="BQX_PERIOD", value=period)],
        )
    ]
    finding = JOB_PROBES["range"](Case(Settings(), EURUSD, jobs={"bqx-pair": job}))
    assert finding.state == state
    assert ("BQX_PERIOD=quarter" in finding.cure) == (state == "missing")


@pytest.mark.parametrize("name", ["budget", "range", "size"])
def test_a_lack_of_several_jobs_names_each_with_a_command_for_each(name: str) -> None:
    job = run_v2.Job()
    job.template.template.containers = [
        run_v2.Container(
            resources=run_v2.ResourceRequirements(limits={"cpu": "1", "memory": "5Gi"}),
            env=[run_v2.EnvVar(name="BQX_PERIOD", value="none")],
        )
    ]
    finding = JOB_PROBES[name](Case(Settings(), EURUSD, jobs={"bqx-pair": job, "bqx-pair-large": job}))
    assert finding.state == "missing"
    for each in ("bqx-pair ", "bqx-pair-large "):
        assert each in finding.found
        assert f"gcloud run jobs update {each}" in finding.cure
