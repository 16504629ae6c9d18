"""The environment of local-bigquery: a link in its place is replaced, and a failure is told by its own reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bqx_assets_tests.servers.bigquery import install


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(install, "ROOT", tmp_path / "local-bigquery")
    return install.ROOT


def _put_no_uv(root: Path, says: str) -> None:
    """Put a uv that fails as the real one does, with ``says``, where ``make`` installs it."""
    program = root.parent / "uv" / "bin" / "uv"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 2\n")
    program.chmod(0o755)


def test_a_link_to_another_checkouts_environment_is_replaced_and_its_target_stays(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "installed.txt").write_text("of another folder")
    root.symlink_to(theirs)
    monkeypatch.setattr(install, "_make", root.mkdir)
    install.install()
    assert not root.is_symlink()
    assert (theirs / "installed.txt").read_text() == "of another folder"
    assert (root / "installed.txt").read_text().startswith(f"# {root}\n")


@pytest.mark.parametrize(
    ("interpreter", "told"),
    [(sys.executable, "could not be made with"), (None, "needs Python 3.13, 3.14 or 3.15 as well")],
)
def test_no_python_is_named_as_the_reason_only_where_there_is_none(
    root: Path, interpreter: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put_no_uv(root, "no space left on device")
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(install, "_python", lambda: interpreter)
    with pytest.raises(SystemExit, match=told) as ended:
        install.install()
    assert "no space left on device" in str(ended.value)
