"""Examines the Cloud Run jobs that ``dagster.yaml`` names: their definitions, and whether this account may start them.

No job is started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import grpc
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPIError
from google.cloud import run_v2
from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest

from bqx_assets.base.settings import PeriodUnit, Settings
from bqx_assets.doctor.case import Case, Finding, Probe, missing, noted, passed, skipped
from bqx_assets.doctor.examine import concerns_the_api
from bqx_assets.doctor.instance import FILE
from bqx_assets.doctor.network import TOKEN
from bqx_assets.doctor.tables import sized
from bqx_assets.extract.memory import USABLE, peak_bytes
from bqx_assets.extract.periods import longest_rows

THEME = "cloud run"
LAUNCHER, API, JOBS = "launcher", "Cloud Run API", "jobs"
_OURS = "CloudRunLauncher"
_CALL_SECONDS = 10.0
_REPLACE = "put the jobs in place again: deploy/up.sh --env FILE jobs"
_GIB = 1 << 30
_SIZES_GIB = {1: (0.5, 4), 2: (0.5, 8), 4: (2, 16), 6: (4, 24), 8: (4, 32)}
"""Least and most memory by the number of CPUs.

**Source**: docs.cloud.google.com/run/docs/configuring/jobs/memory-limits, 2026-11.
"""
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": _GIB, "k": 10**3, "M": 10**6, "G": 10**9}
_WHOLE_HISTORY_ROWS, _WIDEST_ROW_BYTES = 2_160_000, 233 * 8
"""The rows of a pair's whole history, and the decoded bytes of a row of the widest table."""
_RANGE = ("BQX_LAST", "BQX_START", "BQX_END")
"""Variables of which one limits the history that a run reads."""
_SAME = (
    "BQX_BIGQUERY_PROJECT",
    "BQX_BILLING_PROJECT",
    "BQX_OUTPUT",
    "BQX_EXPECTATIONS",
    "BQX_PERIOD",
    "BQX_ENCODING",
)
"""Settings in which a job should agree with the environment of the doctor."""
_MAY_LAUNCH = ("run.jobs.run", "run.jobs.runWithOverrides")


def cloud_run_probes(_: Case) -> Iterator[Probe]:
    """Yield the probes of the launcher's jobs."""
    run_probe = partial(Probe, THEME, service="cloud_run")
    yield Probe(THEME, LAUNCHER, _launcher, needs=(FILE,))
    yield run_probe(API, _first_call, needs=(LAUNCHER, TOKEN))
    yield run_probe(JOBS, _jobs, needs=(API,))
    for name, look in JOB_PROBES.items():
        yield run_probe(name, look, needs=(JOBS,))
    yield run_probe("may launch", _may_launch, needs=(JOBS,))


def _launcher(case: Case) -> Finding:
    if case.environment.get("CLOUD_RUN_EXECUTION"):
        return skipped("this is a container of Cloud Run: not its account but the daemon's starts jobs")
    launcher: Mapping[str, Any] = case.instance.get("run_launcher") or {}
    if launcher.get("class") != _OURS:
        return skipped(f"runs are not launched on Cloud Run, but by {launcher.get('class') or 'the daemon itself'}")
    config = launcher["config"]
    return passed(f"{config['project']}, {config['region']}: {', '.join(_names(case))}")


def _names(case: Case) -> list[str]:
    """Return the short names of the jobs, each once, the job of the default memory class first."""
    config = case.instance["run_launcher"]["config"]
    classes = cast("dict[str, str]", config["jobs"])
    first = classes.get(str(config["default_memory_class"]), "")
    return [name for name in dict.fromkeys([first, *classes.values()]) if name]


def _full_name(case: Case, name: str) -> str:
    config = case.instance["run_launcher"]["config"]
    return f"projects/{config['project']}/locations/{config['region']}/jobs/{name}"


def _client(case: Case) -> run_v2.JobsClient:
    config = case.instance["run_launcher"]["config"]
    if host := config.get("emulator_host"):
        transport: Any = run_v2.JobsClient.get_transport_class("grpc")(channel=grpc.insecure_channel(host))
        return run_v2.JobsClient(transport=transport)
    return run_v2.JobsClient(client_options=ClientOptions(api_endpoint=config.get("api_endpoint")))


def _get(case: Case, name: str) -> run_v2.Job:
    return _client(case).get_job(name=_full_name(case, name), retry=None, timeout=_CALL_SECONDS)


def _first_call(case: Case) -> Finding:
    try:
        _get(case, _names(case)[0])
    except GoogleAPIError as error:
        if concerns_the_api(error, "cloud_run"):
            raise
    return passed("is on")


def _jobs(case: Case) -> Finding:
    case.jobs = {name: _get(case, name) for name in _names(case)}
    for name, job in case.jobs.items():
        condition = job.terminal_condition
        if condition.state == run_v2.Condition.State.CONDITION_FAILED:
            return missing(f"{name} is not ready: {condition.message}", f"Correct it, then {_REPLACE}")
    return passed(", ".join(case.jobs))


def _container(job: run_v2.Job) -> run_v2.Container:
    return job.template.template.containers[0]


def _size(case: Case) -> Finding:
    said: list[str] = []
    lacks: list[Finding] = []
    for name, job in case.jobs.items():
        limits = _container(job).resources.limits
        cpu, memory = limits.get("cpu", "1"), limits.get("memory", "512Mi")
        said.append(f"{name} {cpu} CPU, {memory}")
        bounds = _SIZES_GIB.get(int(_cpus(cpu))) if _cpus(cpu).is_integer() else None
        if bounds is None or not bounds[0] <= _bytes(memory) / _GIB <= bounds[1]:
            cure = f"gcloud run jobs update {name} --cpu 2 --memory 2Gi"
            lacks.append(missing(f"{said[-1]}: Cloud Run has no such size", cure))
    return _one_lack(lacks) if lacks else passed("; ".join(said))


def _one_lack(lacks: Sequence[Finding]) -> Finding:
    """Return one lack for the same lack of several jobs; its cure is one command line that mends all of them."""
    found, cure = "; ".join(each.found for each in lacks), " && ".join(each.cure for each in lacks)
    return lacks[0].model_copy(update={"found": found, "cure": cure})


def _cpus(text: str) -> float:
    return int(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def _bytes(text: str) -> int:
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    return int(float(text.removesuffix(unit)) * _UNITS.get(unit, 1))


def _image(case: Case) -> Finding:
    images = {name: _container(job).image for name, job in case.jobs.items()}
    if len(set(images.values())) > 1:
        said = "; ".join(f"{name} {image}" for name, image in images.items())
        return missing(f"the jobs have different images: {said}", f"Set one BQX_IMAGE_TAG, then {_REPLACE}")
    image = next(iter(images.values()))
    running = case.environment.get("BQX_IMAGE_TAG")
    if running and not image.endswith(f":{running}"):
        return missing(f"{image}, but the release here is {running}", f"With this BQX_IMAGE_TAG, {_REPLACE}")
    return passed(image) if running else noted(f"{image}; BQX_IMAGE_TAG is not set here to compare it with")


def _account(case: Case) -> Finding:
    accounts = dict.fromkeys(job.template.template.service_account for job in case.jobs.values())
    said = ", ".join(account or "the default account of Compute Engine" for account in accounts)
    if len(accounts) > 1:
        return noted(f"the jobs run as different accounts: {said}")
    if case.account and case.account not in accounts:
        return noted(
            f"runs act as {said}; the lines above were found as {case.account}",
            "Launch doctor_job to examine their account.",
        )
    return passed(said)


def _environment(job: run_v2.Job) -> dict[str, str]:
    return {each.name: each.value for each in _container(job).env}


def _range(case: Case) -> Finding:
    """Look whether a range is set: without one a run reads the whole history, and the container must hold a period."""
    lacks: list[Finding] = []
    for name, job in case.jobs.items():
        memory = _container(job).resources.limits.get("memory", "512Mi")
        chosen = [each for each in _RANGE if _environment(job).get(each)]
        unit = cast("PeriodUnit", _environment(job).get("BQX_PERIOD") or Settings.model_fields["period"].default)
        longest = longest_rows(_WHOLE_HISTORY_ROWS, unit)
        needed = peak_bytes(_WHOLE_HISTORY_ROWS, longest, [_WIDEST_ROW_BYTES], files=False)
        if not chosen and _bytes(memory) * USABLE < needed:
            found = f"{name} reads the whole history with {memory} of memory, and BQX_PERIOD is {unit}"
            cure = f"gcloud run jobs update {name} --update-env-vars BQX_PERIOD=quarter"
            lacks.append(missing(found, cure, reason="range"))
    if lacks:
        return _one_lack(lacks)
    first = _environment(next(iter(case.jobs.values())))
    return passed(", ".join(f"{each} {first[each]}" for each in _RANGE if first.get(each)) or "the whole history")


def _budget(case: Case) -> Finding:
    lacks = [
        missing(
            f"{name} may read any number of bytes: BQX_MAX_BYTES is not set",
            f"gcloud run jobs update {name} --update-env-vars BQX_MAX_BYTES=50000000000",
            reason="budget",
        )
        for name, job in case.jobs.items()
        if int(_environment(job).get("BQX_MAX_BYTES") or 0) == 0
    ]
    if lacks:
        return _one_lack(lacks)
    first = _environment(next(iter(case.jobs.values())))
    return passed(f"at most {sized(int(first['BQX_MAX_BYTES']))} a run")


def _same(case: Case) -> Finding:
    """Compare the settings of the jobs with those that were examined here."""
    for name, job in case.jobs.items():
        theirs = _environment(job)
        other = [each for each in _SAME if theirs.get(each, "") != case.environment.get(each, "")]
        if other:
            said = "; ".join(f"{each} {theirs.get(each) or 'not set'}" for each in other)
            return noted(f"{name} has other settings than those examined here: {said}")
    return passed("the settings examined here")


JOB_PROBES = {
    "size": _size,
    "image": _image,
    "account of runs": _account,
    "range": _range,
    "budget": _budget,
    "environment": _same,
}


def _may_launch(case: Case) -> Finding:
    """Ask by name for the permissions to start the jobs: trying them would start a run."""
    client, names = _client(case), list(case.jobs)
    for name in names:
        request = TestIamPermissionsRequest(resource=_full_name(case, name), permissions=_MAY_LAUNCH)
        answer = cast("Any", client).test_iam_permissions(request=request, retry=None, timeout=_CALL_SECONDS)
        lost = [each for each in _MAY_LAUNCH if each not in answer.permissions]
        if lost:
            region = case.instance["run_launcher"]["config"]["region"]
            return missing(
                f"no {' and no '.join(lost)} on {name}",
                f"gcloud run jobs add-iam-policy-binding {name} --region {region} --member {case.member}"
                " --role roles/run.jobsExecutorWithOverrides",
                permission=", ".join(lost),
                resource=_full_name(case, name),
                reason="permission",
            )
    return passed(", ".join(_MAY_LAUNCH))
