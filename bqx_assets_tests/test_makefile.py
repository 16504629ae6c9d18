"""``make``: whatever the caller's shell says, a target works in this folder and with this folder's own programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUT_OF_THE_FOLDER = {
    "BQX_OUTPUT": "gs://bqx-ml-output",
    "BQX_BIGQUERY_PROJECT": "bqx-ml",
    "BQX_HOME": "/elsewhere",
    "DAGSTER_HOME": "/elsewhere",
    "PYTHONPATH": "/elsewhere",
    "PYTHONHOME": "/elsewhere",
    "PYTHONSTARTUP": "/elsewhere",
    "VIRTUAL_ENV": "/elsewhere",
    "UV_PROJECT_ENVIRONMENT": "/elsewhere",
    "BASH_ENV": "/elsewhere",
    "ENV": "/elsewhere",
    "CDPATH": "/",
    "GOOGLE_APPLICATION_CREDENTIALS": "/elsewhere",
    "GOOGLE_CLOUD_PROJECT": "bqx-ml",
    "STORAGE_EMULATOR_HOST": "http://elsewhere",
    "BASH_FUNC_bqx%%": "() { :; }",
}


def _make(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A recipe that shows its environment, in the repository's own Makefile."""
    make = shutil.which("make")
    assert make is not None
    command = [make, "-f", str(ROOT / "Makefile"), "--eval=show: ; @env", "show", *words]
    # `make test` is a make itself: told so, one below it would say which folder it enters.
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, env=outer | environment, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("flags", [[], ["-e"]])
def test_nothing_of_the_shell_leads_a_target_out_of_its_folder(flags: list[str]) -> None:
    done = _make(*flags, **OUT_OF_THE_FOLDER, HTTPS_PROXY="http://proxy", LC_ALL="C.UTF-8")
    assert done.returncode == 0, done.stderr
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert seen.keys() & OUT_OF_THE_FOLDER.keys() == set()
    assert (seen["HTTPS_PROXY"], seen["LC_ALL"], seen["PATH"]) == ("http://proxy", "C.UTF-8", os.environ["PATH"])


def test_a_setting_on_makes_own_line_is_refused_and_not_silently_left_out() -> None:
    done = _make("BQX_OUTPUT=gs://bqx-ml-output")
    assert done.returncode != 0
    assert "BQX_OUTPUT: not taken by make" in done.stderr
    assert _make("PAIR=gbpusd", "ROWS=300").returncode == 0
