"""What the examples' tests share: a clean environment, and programs that are run in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
_SECONDS = 600


def run(folder: Path, *words: str, variables: Mapping[str, str] | None = None, exit_code: int = 0) -> str:
    """Run a program of an example in ``folder`` and return what it printed on both streams."""
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BQX_", "DAGSTER_"))}
    # On processors that others use too, the threads of OpenMP wait for each other for minutes.
    own = {"PATH": f"{programs}:{kept['PATH']}", "OMP_NUM_THREADS": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        words,
        cwd=folder,
        env=kept | own | dict(variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == exit_code, f"{' '.join(words)}\n{done.stdout}"
    return done.stdout
