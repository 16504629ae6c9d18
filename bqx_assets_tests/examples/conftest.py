"""What the examples' tests share: a clean environment, and programs that are run in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
_SECONDS = 240


def run(folder: Path, *words: str, variables: Mapping[str, str] | None = None) -> str:
    """Run a command of an example's page in ``folder`` and return what it printed."""
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BQX_", "DAGSTER_"))}
    # On processors that others use too, the threads of OpenMP wait for each other for minutes.
    own = {"PATH": f"{programs}:{kept['PATH']}", "OMP_NUM_THREADS": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        words,
        cwd=folder,
        env=kept | own | dict(variables or {}),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
