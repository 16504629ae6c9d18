"""``CloudRunLauncher``: the class that ``dagster.yaml`` names under ``run_launcher``.

Belongs here: what Dagster asks of a launcher, answered by Cloud Run, and what the run's event log is told. Does not:
the calls (``client.py``), or how an execution is read (``outcome.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from dagster._core.events import EngineEventData  # Dagster exports no public name of what a launcher needs
from dagster._core.launcher.base import (
    CheckRunHealthResult,
    LaunchRunContext,
    ResumeRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from bqx_assets.base.errors import BadSetting, CloudRunUnavailable
from bqx_assets.runtime.launcher.client import CloudRun, Endpoint
from bqx_assets.runtime.launcher.contract import (
    ATTEMPT_TAG,
    ENDING_TAG,
    EXECUTION_TAG,
    MEMORY_TAG,
    PAIR_ENV,
    PAIR_TAG,
    RUN_ENV,
    pair_of,
)
from bqx_assets.runtime.launcher.outcome import Ending, Outcome, console_link

_LOG = logging.getLogger(__name__)
_STATUS = {
    Ending.RUNNING: WorkerStatus.RUNNING,
    Ending.SUCCEEDED: WorkerStatus.SUCCESS,
    Ending.NOT_FOUND: WorkerStatus.NOT_FOUND,
}
"""Every other ending is a failure."""
_RETRIES_TAG = "dagster/max_retries"
_STRATEGY_TAG = "dagster/retry_strategy"


class CloudRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Launches each run as one execution of the Cloud Run job of its memory class, for one pair."""

    def __init__(  # noqa: PLR0913 -- one parameter a field of dagster.yaml
        self,
        project: str,
        region: str,
        jobs: Mapping[str, str],
        default_memory_class: str,
        timeout_seconds: int = 7200,
        inst_data: ConfigurableClassData | None = None,
        **endpoint: Any,
    ) -> None:
        self._inst_data = inst_data
        self._parent = f"projects/{project}/locations/{region}/jobs/"
        self._jobs = dict(jobs)
        self._default_class = default_memory_class
        self._timeout_seconds = timeout_seconds
        self._cloud_run = CloudRun(Endpoint(**endpoint))
        super().__init__()
