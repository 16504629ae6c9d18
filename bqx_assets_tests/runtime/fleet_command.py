"""``bqx fleet run`` as a process of its own: to its end, and ended by SIGTERM while a run is at work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg

from bqx_assets.runtime.instance import open_instance

BIN = Path(sys.executable).parent


def fleet_run(home: Path, *words: str, timeout: float = 240, **variables: str) -> tuple[int, dict[str, Any]]:
    """Its exit code and its JSON."""
    done = subprocess.run(
        [*_command(home), "--json", *words],
        capture_output=True,
        text=True,
        env=_clean() | variables,
        timeout=timeout,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def ended_at_work(home: Path, *words: str, **variables: str) -> str:
    """What it says when SIGTERM comes while a run is at work."""
    command, at_work = [*_command(home), *words], dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    with (
        open_instance(home / "dagster") as instance,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_clean() | variables
        ) as process,
    ):
        while not instance.get_runs(at_work) and process.poll() is None:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate()
    assert process.returncode == 130, said
    return said


def _command(home: Path) -> list[str]:
    return [str(BIN / "bqx"), "--home", str(home), "fleet", "run"]


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("BQX_", "DAGSTER_"))}
