"""Runs what a page tells a reader to type.

``bqx`` and programs of Python run in this process: to start one takes longer than most of them work.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import runpy
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from unittest.mock import patch

from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from bqx_assets.cli.main import app


def run_lines(text: str, folder: Path) -> str:
    """Run the lines of a block of shell commands in ``folder``, and return what the last one printed."""
    said = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        words = shlex.split(line, comments=True)
        given = dict(word.split("=", 1) for word in takewhile(lambda word: re.match(r"[A-Z_]+=", word), words))
        if words[len(given) :][:1] == ["bqx"]:
            said = run_bqx(words[len(given) + 1 :], folder, given)
        else:
            command = ["/bin/bash", "-euo", "pipefail", "-c", line]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            said = done.stdout
    return said


def run_bqx(words: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run a command of ``bqx`` in ``folder``, and return what it printed."""
    with contextlib.chdir(folder):
        done = CliRunner(env=variables).invoke(app, words)
    assert done.exit_code == 0, f"bqx {shlex.join(words)}\n{done.output[-2000:]}"
    return done.output


def run_python(text: str, folder: Path) -> None:
    """Run a program of a page in ``folder``; as in all tests, a warning is an error."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        exec(compile(text, "a page's program", "exec"), {"__name__": "__main__"})  # noqa: S102 -- our own pages


def run_script(file: Path, folder: Path, *words: str) -> str:
    """Run a script of Python in ``folder``, and return what it printed."""
    # Loaded before the limit, which reaches only what is there. With more threads than free processors OpenMP's wait
    # for each other for minutes.
    for library in ("lightgbm", "sklearn.ensemble"):
        importlib.import_module(library)
    said, arguments = io.StringIO(), [str(file), *words]
    with threadpool_limits(1), contextlib.chdir(folder), contextlib.redirect_stdout(said), patch("sys.argv", arguments):
        runpy.run_path(str(file), run_name="__main__")
    return said.getvalue()
