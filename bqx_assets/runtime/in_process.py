"""Takes a pair through the whole graph in this process and returns plain records: no caller needs Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import dagster as dg
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import BqxError
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.quality.report import Verdict
from bqx_assets.release.merged_file import MergedFile
from bqx_assets.release.publish import Published
from bqx_assets.runtime.automation import pair_job
from bqx_assets.runtime.checks import verdict_of
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.instance import (
    PROCESS_TAG,
    WORKSPACE,
    dagster_home,
    end_dead_runs,
    open_instance,
    process_tag,
    storage_named,
)
from bqx_assets.runtime.keys import PUBLISHED, SLABS, SPINE, TRAINING
from bqx_assets.runtime.launcher.tags import PAIR_TAG
from bqx_assets.runtime.metadata import Stage, published_of, stage_of
from bqx_assets.runtime.step import failure_error, listening, noted_error
from bqx_assets.runtime.workspace import Workspace

_STAGES = {SPINE: "spine", SLABS: "slabs", TRAINING: "merge", PUBLISHED: "publish"}
_CHECK_FAILED = "DagsterAssetCheckFailedError"
"""Dagster's error in a step whose blocking check failed, which keeps later steps from running."""
_LOCATION_TAG = {".dagster/repository": "__repository__@bqx_assets"}
"""The tag of the web server's own runs of a job; without it a job's page would not list this run."""
_NO_RETRY_TAG = {"dagster/max_retries": "0"}
"""Keeps Dagster's daemon from starting a failed run of this process once more: its caller was told of the failure."""


class PairRun(Record):
    """One run of a pair through the graph, finished or not."""

    pair: str
    run_id: str
    dagster_home: str
    """For people, with ``run_id``: where `dagster` and the web server find the run."""
    passed: bool
    """Whether everything was made, every blocking check passed, and the file is published."""
    stages: tuple[Stage, ...]
    verdicts: tuple[Verdict, ...]
    published: Published | None


def run_pair(pair: Pair, settings: Settings, progress: Progress, *, log_level: str = "CRITICAL") -> PairRun:
    """Materialise the pair's four assets with all their checks; the run is kept in the home's Dagster instance.

    Raises:
        BqxError: what stopped a stage, as the stage raised it. Failed checks are no error: they are verdicts.
        KeyboardInterrupt: Ctrl-C; the run is kept as failed.
    """
    home = dagster_home(settings)
    with storage_named(home), open_instance(home) as instance, listening(progress) as channel:
        end_dead_runs(instance)
        _name_location(instance)
        workspace = Workspace.of(settings, channel)
        result = (
            build_definitions(workspace)
            .resolve_job_def(pair_job.name)
            .execute_in_process(
                instance=instance,
                partition_key=pair.name,
                raise_on_error=False,
                run_config=terminal_logging(log_level),
                tags={PAIR_TAG: pair.name, PROCESS_TAG: process_tag(), **_LOCATION_TAG, **_NO_RETRY_TAG},
            )
        )
        _raise_interrupt(result)
        for event in result.get_step_failure_events():
            _raise(pair, event, noted_error(channel))
    verdicts = tuple(verdict_of(each) for each in result.get_asset_check_evaluations())
    return PairRun(
        pair=pair.name,
        run_id=result.run_id,
        dagster_home=str(home),
        passed=result.success,
        stages=tuple(_stages(result, workspace.pipeline().merged(pair))),
        verdicts=verdicts,
        published=_published(result),
    )


def terminal_logging(level: str) -> dict[str, object]:
    """Return the run configuration that keeps Dagster's events below ``level`` from this process's terminal."""
    return {"loggers": {"console": {"config": {"log_level": level}}}}


def _name_location(instance: dg.DagsterInstance) -> None:
    """Let the instance's new runs name the web server's code location: its first page leaves out those without one.

    Dagster has no public way to name it for a run in this process.
    """
    location = WorkspaceFileTarget([str(WORKSPACE)]).create_origins()[0]
    origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin(pair_job.name)
    located = partial(instance.create_run_for_job, remote_job_origin=origin)
    instance.create_run_for_job = located  # pyright: ignore[reportAttributeAccessIssue]


def _raise_interrupt(result: dg.ExecuteInProcessResult) -> None:
    """Raise KeyboardInterrupt if Ctrl-C came between two steps, which Dagster records as the run's failure."""
    for event in result.all_events:
        ended = event.event_type in {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
        if ended and "interrupted" in (event.message or ""):
            raise KeyboardInterrupt


def _raise(pair: Pair, event: dg.DagsterEvent, noted: BqxError | None) -> None:
    """Raise a failed step's error as the stage raised it; a failed blocking check is not an error."""
    error, told = event.step_failure_data.error, event.step_failure_data.user_failure_data
    if error is not None and error.cls_name == _CHECK_FAILED:
        return
    if error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        raise KeyboardInterrupt
    if noted is not None:
        raise noted
    if told is not None and (own := failure_error(told.metadata)) is not None:
        raise own
    while error is not None and error.cause is not None:  # Dagster's own error names only the step
        error = error.cause
    message = (told.description if told else None) or (error.message if error else None)
    raise BqxError(
        f"{pair}/{event.step_key}",
        got=(message or "an unknown failure").strip(),
        expected="the step to end",
        cure=f"bqx --debug run {pair} shows Dagster's own log.",
    )


def _stages(result: dg.ExecuteInProcessResult, file: MergedFile) -> Iterator[Stage]:
    """Yield the stages in the order of their execution, by the materialisations and the report."""
    for event in result.get_asset_materialization_events():
        asset = event.materialization.asset_key
        yield stage_of(_STAGES[asset], event.materialization.metadata)
        if asset == TRAINING and (report := file.report(file.manifest())) is not None:
            yield Stage(name="validate", seconds=report.seconds, peak_bytes=report.peak_bytes)


def _published(result: dg.ExecuteInProcessResult) -> Published | None:
    for event in result.get_asset_materialization_events():
        if event.materialization.asset_key == PUBLISHED:
            return published_of({name: each.value for name, each in event.materialization.metadata.items()})
    return None
