"""Runs Dagster's daemon for a home, as a child of `bqx ui` or `bqx fleet run`, and never two of them at once.

A second one waits until the first has ended, and then takes over. Two daemons would launch a queued run twice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import dagster as dg
import psutil
from dagster._daemon.cli import run_command

from bqx_assets.base.files import locked_folder
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.instance import WORKSPACE, dagster_home

COMMAND = [sys.executable, "-c", f"from {__name__} import main; main()"]
PATIENCE_SECONDS = 25.0
"""Time from SIGTERM to SIGKILL, in which a run records that it was interrupted and a code server waits for it."""
_SILENT_SECONDS = 75.0
"""Age of the last heartbeat after which a daemon counts as dead: it sends one every 30 s."""
_QUEUE = "QUEUED_RUN_COORDINATOR"
_LOCK_FOLDER = "daemon"


def main() -> None:
    """Run the daemon of ``DAGSTER_HOME`` until a signal comes or the parent process ends, once no other one runs."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    lock = Path(os.environ["DAGSTER_HOME"]) / _LOCK_FOLDER
    lock.mkdir(parents=True, exist_ok=True)
    with locked_folder(lock):
        with dg.DagsterInstance.get() as instance:
            while is_served(instance):  # by one that was not started here, such as `dagster dev`
                time.sleep(1)
        # The daemon starts its code server anew each minute, and the old one warns of its end: "no heartbeat".
        quiet = ["--code-server-log-level", "error"]
        run_command.main(["-w", str(WORKSPACE), *quiet], standalone_mode=False)
        with dg.DagsterInstance.get() as instance:
            instance.wipe_daemon_heartbeats()  # so that the next one need not wait until these are old


def is_served(instance: dg.DagsterInstance) -> bool:
    """Return whether some daemon takes runs from the queue, by its last heartbeat.

    One from the future is of a dead daemon, whose clock was ahead.
    """
    last = instance.get_daemon_heartbeats().get(_QUEUE)
    return last is not None and abs(time.time() - last.timestamp) < _SILENT_SECONDS


def is_of_this_machine(instance: dg.DagsterInstance) -> bool:
    """Return whether runs are processes of this machine, so that a command may run the daemon for them."""
    return isinstance(instance.run_launcher, dg.DefaultRunLauncher)


def server_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of servers for a home."""
    home = {"BQX_HOME": str(settings.home.absolute()), "DAGSTER_HOME": str(dagster_home(settings))}
    return {**os.environ, **home, "PYTHONWARNINGS": "ignore"}


@contextlib.contextmanager
def daemon_beside(settings: Settings) -> Generator[None]:
    """Run the daemon during the block; its output is kept in ``daemon.log`` of the Dagster home."""
    with (dagster_home(settings) / "daemon.log").open("ab") as log:
        # A session of its own: Ctrl-C in a terminal reaches only this process, which first cancels the runs.
        started = subprocess.Popen(
            COMMAND, env=server_environment(settings), stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            end_descendants()
            started.wait()


def end_descendants() -> None:
    """End all descendants of this process: servers, their code servers, and the runs that these started."""
    below = psutil.Process().children(recursive=True)
    for process in below:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(below, timeout=PATIENCE_SECONDS)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=PATIENCE_SECONDS)


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _end_with(parent: int) -> None:
    """End this process as SIGTERM does when its parent is gone, as after kill -9: nobody would end it later."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
