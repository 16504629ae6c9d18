"""Opens the Dagster instance in the home, in which `bqx run` records its runs and the web server finds them."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg
import psutil
from sqlalchemy.exc import SQLAlchemyError

from bqx_assets.base.errors import BadSetting, SystemRefused
from bqx_assets.base.files import locked_folder, write_atomic
from bqx_assets.base.printable import first_line
from bqx_assets.base.process import started_seconds
from bqx_assets.base.settings import Settings

CONFIG_FILE = "dagster.yaml"
WORKSPACE = Path(__file__).with_name("workspace.yaml")
"""The file that names this package's definitions, for the web server and for the runs of `bqx run`."""
PROCESS_TAG = ".dagster/bqx_process"
"""Tag of runs in a process of this machine: host, process id and start time, by which a dead process is known. The web
server shows no tags that begin as this one."""
_SHIPPED = ("7de41d29de6c104e", "b33fa3c25f85f322", "09a5beb133fd14e3", "9b305e685428b8a4", "3f56d437dfa2a613")
"""Beginnings of the SHA-256 of each ``dagster.yaml`` that this package has carried, the present one last: a home's file
that is one of them was not changed by anybody."""
_POSTPROCESSING = re.compile(r"^[\w.]+Error: ")
"""Begins the last line of Dagster's message about a value that it could not take."""
_AT_WORK = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
UNENDED = [dg.DagsterRunStatus.QUEUED, *_AT_WORK]
"""The statuses of runs that wait in the queue or are at work."""
WAITING = {dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED}
"""Those of runs of which nothing was started."""


def dagster_home(settings: Settings) -> Path:
    """Return ``DAGSTER_HOME``, which the web server uses too; ``{home}/dagster`` if it is not set."""
    return Path(os.environ.get("DAGSTER_HOME") or settings.home / "dagster").absolute()


def open_instance(home: Path) -> dg.DagsterInstance:
    """Return the instance of a Dagster home, which gets the packaged ``dagster.yaml`` if it has none or an earlier one.

    A file that somebody changed stays as it is. Step logs are not captured: this process's output is a terminal's, not
    a file's.
    """
    home.mkdir(parents=True, exist_ok=True)
    shipped = files("bqx_assets.runtime").joinpath(CONFIG_FILE).read_bytes()
    own = home / CONFIG_FILE
    if not own.exists() or (_digest(own.read_bytes()) in _SHIPPED and own.read_bytes() != shipped):
        write_atomic(own, shipped)
    quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    with locked_folder(home):  # two first runs at once: Dagster would make its tables in both, and fail in one
        # In spite of its name it keeps everything: it is the public way to override one setting of a home.
        return dg.DagsterInstance.local_temp(str(home), overrides={"compute_logs": quiet})


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@contextmanager
def storage_named(home: Path) -> Generator[None]:
    """Raise a refusal of Dagster's storage, such as a full disk, as SystemRefused instead of the driver's traceback.

    Raises:
        SystemRefused: naming the home, with the driver's own words.
        BadSetting: its ``dagster.yaml`` has a wrong value, or names a variable that is not set.
    """
    try:
        yield
    except dg.DagsterInvalidConfigError as error:
        raise BadSetting(
            str(home / CONFIG_FILE),
            got=_POSTPROCESSING.sub("", error.errors[0].message.partition("\n\n")[0].splitlines()[-1]),
            expected="settings that Dagster takes",
            cure=f"Set what it names, or correct the file. A home of its own needs none: {CONFIG_FILE} is made there.",
        ) from error
    except Exception as error:
        refusal = error if isinstance(error, SQLAlchemyError | sqlite3.Error) else error.__cause__
        if not isinstance(refusal, SQLAlchemyError | sqlite3.Error):  # the cause of Dagster's "too many retries"
            raise
        told = getattr(refusal, "orig", None) or refusal
        got = f"Dagster's storage: {first_line(told)}"
        if isinstance(told, sqlite3.Error):
            raise SystemRefused(
                str(home),
                got=got,
                expected="a home with write permission on a disk with free space",
                cure="Free space or correct the permissions there, or name another folder with DAGSTER_HOME.",
            ) from error
        raise SystemRefused(
            str(home),
            got=got,
            expected="a database that answers",
            cure="See whether the server that dagster.yaml names runs and takes this user, then run again.",
        ) from error


def process_tag() -> str:
    """Return a text that identifies this process among all others of its host, earlier and later ones included."""
    return _tag(os.getpid())


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of this machine's dead command lines as failed; return their ids.

    ``kill -9`` leaves a run "started" for ever: two of them would fill the queue that a backfill waits in.
    """
    ended: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_AT_WORK)):
        tag = run.tags.get(PROCESS_TAG)
        if tag is not None and tag.startswith(f"{socket.gethostname()}:") and not _alive(tag):
            instance.report_run_failed(run, "The process of this run ended without a report, as after kill -9.")
            ended.append(run.run_id)
    return ended


def _tag(process: int) -> str:
    return f"{socket.gethostname()}:{process}:{started_seconds(process):.2f}"


def _alive(tag: str) -> bool:
    try:
        return _tag(int(tag.split(":")[1])) == tag
    except psutil.NoSuchProcess:
        return False
