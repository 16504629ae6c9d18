"""Finds PostgreSQL's programs, or lets apt install them: ``python -m bqx_assets_tests.servers.postgres.install``.

Installing needs root and apt, as in a container of a build. Where either is missing, or apt cannot reach its archive,
the command says so and ends well: the tests that need a server are then skipped by name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = ("initdb", "postgres")
_DEBIAN = Path("/usr/lib/postgresql")
_BOUND_SECONDS = 300


def programs() -> Path | None:
    """Return the folder that has all of ``NEEDED``: of the newest release in Debian's place, else one on PATH."""
    releases = sorted(_DEBIAN.glob("[0-9]*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    on_path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return next((folder for folder in (*releases, *on_path) if all(_runs(folder / name) for name in NEEDED)), None)


def why_not() -> str:
    """Return the reason why there are no programs, and what would change that."""
    return f"no PostgreSQL: {' and '.join(NEEDED)} are not in {_DEBIAN}/*/bin or on PATH (apt-get install postgresql)"


def install() -> str:
    """Find or install the programs; return one line that says what was done."""
    if found := programs():
        return f"PostgreSQL: {found}"
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return f"{why_not()}; its tests are skipped"
    # apt makes a cluster of its own and starts it where it can; the tests take neither.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in ([apt, "-qq", "update"], [apt, "-qq", "install", "--yes", "--no-install-recommends", "postgresql"]):
        try:
            subprocess.run(words, check=True, timeout=_BOUND_SECONDS, env=quiet, capture_output=True)
        except (subprocess.SubprocessError, OSError) as error:
            return f"{why_not()}; {' '.join(words)}: {error}; its tests are skipped"
    return f"PostgreSQL: {programs() or why_not()}"


def _runs(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


if __name__ == "__main__":
    sys.stdout.write(install() + "\n")
