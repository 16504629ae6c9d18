"""Serves Dagster's pages behind the guard (``web_guard``) and, on a user's own machine, runs the daemon beside them.

The command ``bqx-webserver -w workspace.yaml -h 127.0.0.1 -p 3000`` takes the place of ``dagster-webserver``.
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import cast

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext  # there is no public way to serve Dagster's pages
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster_webserver.app import (
    create_app_from_workspace_process_context,  # pyright: ignore[reportUnknownVariableType]
)
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.coordinator import PairRunCoordinator
from bqx_assets.runtime.daemon import COMMAND, PATIENCE_SECONDS, end_descendants, server_environment
from bqx_assets.runtime.instance import (
    CONFIG_FILE,
    WORKSPACE,
    dagster_home,
    end_dead_runs,
    open_instance,
    storage_named,
)
from bqx_assets.runtime.web_guard import App, Guard, hosts_of

_START = f"from {__name__} import main; main()"
_LOOK_SECONDS = 0.2
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of ``linux/prctl.h``."""


def main(words: Sequence[str] | None = None) -> None:
    """Serve Dagster's pages behind the guard until SIGINT or SIGTERM; ``DAGSTER_HOME`` names the instance."""
    parser = argparse.ArgumentParser(prog="bqx-webserver", add_help=False)
    parser.add_argument("--help", action="help", help="show this help")
    parser.add_argument("-w", "--workspace", default=str(WORKSPACE))
    parser.add_argument("-h", "--host", default="127.0.0.1")
    parser.add_argument("-p", "--port", type=int, default=3000)
    parser.add_argument("-l", "--path-prefix", default="")
    asked = parser.parse_args(words)
    target = WorkspaceFileTarget([asked.workspace])
    setup_interrupt_handlers()  # SIGTERM acts as SIGINT, so that the code server that is started below is ended too
    try:
        with dg.DagsterInstance.get() as instance:
            instance.optimize_for_webserver(
                DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW
            )
            with WorkspaceProcessContext(instance, target, __version__, code_server_log_level="WARNING") as context:
                pages = cast("App", create_app_from_workspace_process_context(context, asked.path_prefix))
                sys.stdout.write(f"serving http://{asked.host}:{asked.port}{asked.path_prefix}\n")
                sys.stdout.flush()
                uvicorn.run(Guard(pages, hosts_of()), host=asked.host, port=asked.port, log_level="warning")
    except KeyboardInterrupt:
        pass


def serve_home(settings: Settings, *, host: str, port: int, tell: Callable[[str], object]) -> None:
    """Run web server and daemon for the settings' home until SIGINT, SIGTERM or SIGHUP, and end all their processes.

    ``tell`` is called with the address as soon as it is known to be free, and with what to do about a ``dagster.yaml``
    that somebody changed and that lacks this package's queue.

    Raises:
        BadSetting: the port is taken, or a server ended by itself.
        SystemRefused: Dagster's storage cannot be opened or written.
    """
    _refuse_taken(host, port)
    tell(f"http://{host}:{port}   (Ctrl-C ends it)")
    home = dagster_home(settings)
    with storage_named(home), open_instance(home) as instance:
        end_dead_runs(instance)
        if notice := queue_notice(instance):
            tell(notice)
        web = [sys.executable, "-c", _START, "-w", str(WORKSPACE), "-h", host, "-p", str(port)]
        try:
            _together({"web server": web, "daemon": COMMAND}, server_environment(settings))
        finally:
            end_dead_runs(instance)


def queue_notice(instance: dg.DagsterInstance) -> str:
    """Return what to do about a ``dagster.yaml`` that lacks this package's queue; empty for one that has it."""
    if isinstance(instance.run_coordinator, PairRunCoordinator):
        return ""
    own = Path(instance.root_directory) / CONFIG_FILE
    return (
        f"{own} was changed and lacks the queue of this version: pairs start in alphabetical order, and those without "
        f"tables fail. Copy run_coordinator and concurrency from {WORKSPACE.with_name(CONFIG_FILE)}, or remove the "
        "file, and a new one is made."
    )


def _refuse_taken(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise BadSetting(
            f"port {port}",
            got=error.strerror or str(error),
            expected=f"a port of {host} that nobody listens on",
            cure="Take another one with --port (PORT= for make ui), or end the server that has it.",
        ) from error


def _together(commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
    """Run the commands until a signal comes or one of them ends; then end all of them and their descendants."""
    ending: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        ending.append(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # Each has its own session, so that Ctrl-C in a terminal reaches only this process, which signals each of them once.
    # After two signals a code server that was still importing ended with a traceback.
    running = {
        name: subprocess.Popen(
            list(words),
            env=dict(environment),
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 -- this process has one thread
        )
        for name, words in commands.items()
    }
    try:
        while not ending and all(process.poll() is None for process in running.values()):
            time.sleep(_LOOK_SECONDS)
        ended = {name: process.returncode for name, process in running.items() if process.poll() is not None}
    finally:
        sys.stderr.write(f"ending the servers and the runs at work: this takes at most {PATIENCE_SECONDS:.0f} s\n")
        end_descendants()
        for number, handler in before.items():
            signal.signal(number, handler)
    if not ending:
        name, code = next(iter(ended.items()))
        raise BadSetting(
            f"the {name}",
            got=f"ended by itself with code {code}",
            expected="to serve until Ctrl-C",
            cure="Its last lines above say why.",
        )


def _end_with_parent() -> None:
    """Let Linux send this process SIGTERM when its parent ends, which after SIGKILL can end nobody itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
