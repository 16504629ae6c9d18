"""Run the Dockerfile's own instructions in a temporary folder, without Docker, and try what comes out.

    python deploy/check_image.py [--keep]

What it does: COPY (through .dockerignore), ENV, WORKDIR and RUN of the build stage, with a fresh venv standing for the
base image; then, in the environment that the second stage would copy: ``bqx --version``, the definitions, the entry
point, and that no development package is there. What it cannot do: the base image, useradd, USER, layers.
"""

# ruff: noqa: INP001 -- a script, not a package

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def instructions(stage: str | None) -> Iterator[tuple[str, str]]:
    """Yield the Dockerfile's instructions of the stage of that name, or of the unnamed one."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    current = ""
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            current = rest.partition(" AS ")[2] or "final"
        elif word and not word.startswith("#") and current == (stage or "final"):
            yield word, rest.strip()


def ignored(path: str) -> bool:
    """Say whether .dockerignore keeps a path of the repository out of the build: the last rule that fits decides."""
    out = False
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if rule and not rule.startswith("#"):
            pattern = rule.removeprefix("!").removeprefix("**/")
            if fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/") or f"/{pattern}/" in f"/{path}/":
                out = not rule.startswith("!")
    return out


def copy(words: list[str], workdir: Path) -> None:
    """COPY files into a folder, or the content of a folder, or one file to a name."""
    *sources, target = [word for word in words if not word.startswith("--")]
    for source in sources:
        base = ROOT / source
        for file in [base] if base.is_file() else sorted(base.rglob("*")):
            if not file.is_file() or ignored(file.relative_to(ROOT).as_posix()):
                continue
            inside = file.relative_to(base.parent if target.endswith("/") else base)
            place = workdir / target / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def build(workdir: Path, env: dict[str, str]) -> None:
    """Do the build stage in ``workdir``."""
    for word, rest in instructions("build"):
        if word == "ENV":
            env |= dict(part.split("=", 1) for part in shlex.split(rest))
        elif word == "COPY":
            copy(shlex.split(rest), workdir)
        elif word == "RUN":
            started = time.monotonic()
            subprocess.run(rest, shell=True, cwd=workdir, env=env, check=True)  # noqa: S602 -- our own Dockerfile
            sys.stdout.write(f"{time.monotonic() - started:6.1f} s  RUN {rest}\n")


def attempt(workdir: Path, env: dict[str, str], command: str, *, code: int = 0, says: str = "") -> None:
    """Run one command in the finished environment and stop unless it leaves with ``code`` and says ``says``."""
    done = subprocess.run(shlex.split(command), cwd=workdir, env=env, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode != code or says not in output:
        sys.exit(f"{command}: exit code {done.returncode}, expected {code} and {says!r}\n{output[-2000:]}")
    sys.stdout.write(f"    ok    {command}\n")


def main() -> None:
    """Build, then try."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="bqx-image-"))
    try:
        workdir = folder / "app"
        workdir.mkdir()
        subprocess.run([sys.executable, "-m", "venv", str(folder / "base")], check=True)
        clean = {key: os.environ[key] for key in ("HOME", "SSL_CERT_FILE", "LANG") if key in os.environ}
        base = f"{folder / 'base' / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        build(workdir, {**clean, "PATH": base})
        for word, rest in instructions(None):
            if word == "COPY" and "--from" not in rest:
                copy(shlex.split(rest), workdir)
        final = {**clean, "PATH": f"{workdir / '.venv' / 'bin'}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        shutil.rmtree(workdir / "bqx_assets")  # the second stage copies the environment alone
        attempt(workdir, final, "bqx --version", says="bqx ")
        attempt(workdir, final, "dagster definitions validate -m bqx_assets.definitions")
        entry = re.search(r"command: \[python, -c, (.*)\]", (ROOT / "deploy" / "job.yaml").read_text())
        attempt(workdir, final, f"python -c {entry[1] if entry else ''}", code=2, says="run launcher")
        attempt(workdir, final, "python -c 'import pytest'", code=1, says="No module named")
        size = sum(file.stat().st_size for file in (workdir / ".venv").rglob("*") if file.is_file())
        sys.stdout.write(f"{size / 1e6:,.0f} MB in .venv\n")
    finally:
        if not keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
