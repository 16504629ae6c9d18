"""Makes ``.tools/local-bigquery`` from ``requirements.txt``: ``python -m bqx_assets_tests.servers.bigquery.install``.

local-bigquery 0.4.0 wants Python 3.13 and DuckDB 2 with three extensions that DuckDB fetches from a site of its own.
PyPI has those extensions for DuckDB 1.5.5, with which everything used here works: hence that pin, ``--no-deps`` and the
copies in a home folder of the server's own.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3] / ".tools" / "local-bigquery"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
SERVER_HOME = ROOT / "home"
_BOUND_SECONDS = 600
_WANTED = ((3, 13), (3, 16))
_FETCHED = "3.13"


def install() -> Path:
    """Return the server's program, after making its environment if it is missing or has other requirements."""
    ROOT.parent.mkdir(parents=True, exist_ok=True)
    with ROOT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = ROOT / "installed.txt"
        # Its programs name the folder that they were installed in: a moved checkout needs them anew.
        wanted = f"# {ROOT}\n{REQUIREMENTS.read_text()}"
        if not mark.is_file() or mark.read_text() != wanted or not _fits(str(ROOT / "bin" / "python")):
            _remove()
            _make()
            mark.write_text(wanted)
    return ROOT / "bin" / "local-bigquery"


def _remove() -> None:
    """Remove the environment, or the link to that of another checkout, which itself stays."""
    if ROOT.is_symlink():
        ROOT.unlink()
    elif ROOT.exists():
        shutil.rmtree(ROOT)


def _make() -> None:
    uv = shutil.which("uv") or str(ROOT.parent / "uv" / "bin" / "uv")
    found = _python()
    try:
        _run(uv, "venv", "--quiet", "--python", found or _FETCHED, str(ROOT))
    except subprocess.CalledProcessError as error:
        said = str(error.stderr or "").rstrip()
        raise SystemExit(f"{ROOT} could not be made with {found}:\n{said}" if found else _no_python(uv, said)) from None
    python = str(ROOT / "bin" / "python")
    _run(uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "--requirement", str(REQUIREMENTS))
    for extension in ROOT.glob("lib/python*/site-packages/duckdb_extension_*/extensions/v*/*.duckdb_extension"):
        version = extension.parent.name
        platform = _run(python, "-c", "import duckdb; print(duckdb.sql('PRAGMA platform').fetchone()[0])").strip()
        target = SERVER_HOME / ".duckdb" / "extensions" / version / platform / extension.name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(extension, target)


def _no_python(uv: str, said: str) -> str:
    return (
        "make test needs Python 3.13, 3.14 or 3.15 as well, for local-bigquery, the server that stands "
        f"for BigQuery. There is none on PATH or below ~/.pyenv, and uv could not fetch one:\n{said}\n"
        f"Install one, for example: sudo apt install python3.13, or {shlex.quote(uv)} python install 3.13. "
        "`make run` and the tests without a server need no second Python: .venv/bin/python -m pytest -m 'not cloud'"
    )


def _python() -> str | None:
    """Return a Python of this machine that local-bigquery runs on, None where uv must fetch one."""
    return next((path for path in _pythons() if _fits(path)), None)


def _pythons() -> Iterator[str]:
    yield sys.executable
    for minor in (13, 14, 15):
        yield from filter(None, [shutil.which(f"python3.{minor}")])
        folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        yield from (str(path) for path in sorted(folder.glob(f"3.{minor}.*/bin/python3")))


def _fits(python: str) -> bool:
    try:
        version = _run(python, "-c", "import sys; print(*sys.version_info[:2])").split()
    except (subprocess.CalledProcessError, OSError):
        return False  # a shim of a version manager that manages no such version
    return _WANTED[0] <= (int(version[0]), int(version[1])) < _WANTED[1]


def _run(*words: str) -> str:
    done = subprocess.run(words, check=True, timeout=_BOUND_SECONDS, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    install()
