"""Opens the Dagster instance inside our home, where `bqx run` records its runs and the web server finds them."""

from __future__ import annotations

import os
import socket
from importlib.resources import files
from pathlib import Path

import dagster as dg
import psutil

from bqx_assets.base.files import write_atomic
from bqx_assets.base.process import started_seconds
from bqx_assets.base.settings import Settings

CONFIG_FILE = "dagster.yaml"
PROCESS_TAG = "bqx/process"
"""On runs that live in a command line's own process: host, process id and its start, so that a dead one is known."""
_AT_WORK = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def dagster_home(settings: Settings) -> Path:
    """Return ``DAGSTER_HOME``, which the web server also goes by; ``{home}/dagster`` where it is not set."""
    return Path(os.environ.get("DAGSTER_HOME") or settings.home / "dagster").absolute()


def open_instance(home: Path) -> dg.DagsterInstance:
    """Return the instance of a Dagster home, made with the packaged ``dagster.yaml`` where it has none.

    Step logs are not captured: this process's output is a terminal's, not a file's.
    """
    home.mkdir(parents=True, exist_ok=True)
    if not (home / CONFIG_FILE).exists():
        write_atomic(home / CONFIG_FILE, files("bqx_assets.runtime").joinpath(CONFIG_FILE).read_bytes())
    quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    # In spite of its name it keeps everything: it is the public way to lay one setting over a home's own.
    return dg.DagsterInstance.local_temp(str(home), overrides={"compute_logs": quiet})


def process_tag() -> str:
    """Return what tells this process from every other, before and after it."""
    return _tag(os.getpid())


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of this machine's dead command lines as failed; return their ids.

    ``kill -9`` leaves a run "started" for ever: two of them would fill the queue that a backfill waits in.
    """
    ended: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_AT_WORK)):
        tag = run.tags.get(PROCESS_TAG)
        if tag is not None and tag.startswith(f"{socket.gethostname()}:") and not _alive(tag):
            instance.report_run_failed(run, "The process of this run ended without a word, as after kill -9.")
            ended.append(run.run_id)
    return ended


def _tag(process: int) -> str:
    return f"{socket.gethostname()}:{process}:{started_seconds(process):.2f}"


def _alive(tag: str) -> bool:
    try:
        return _tag(int(tag.split(":")[1])) == tag
    except psutil.NoSuchProcess:
        return False
