"""``.ci/setup.sh``: what it makes of a machine, with a program in uv's place that does in milliseconds what uv does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("sh", "cat", "cksum", "flock", "head", "ln", "mkdir", "mv", "rm", "sleep", "tail")
NOBODY = 65_534
UV = f"""#!/bin/sh
echo "$* cache=${{UV_CACHE_DIR:-}}" >>"$CALLS"
[ "$1 $2" != "python find" ] || exit "$FOUND"
if [ -n "${{SAYS:-}}" ]; then echo "$SAYS" >&2; exit 2; fi
sleep "${{TAKES:-0}}"
site=.venv/lib/python3.11/site-packages
mkdir -p .venv/bin $site
ln -sf "{sys.executable}" .venv/bin/python
echo "$PWD" >$site/_editable_impl_bqx_assets.pth
"""


@dataclass
class Machine:
    """A checkout and the programs that it finds on PATH."""

    checkout: Path
    programs: Path

    @property
    def calls(self) -> list[str]:
        """What uv was asked for."""
        log = self.programs / "calls"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def paths(self) -> str:
        return (self.checkout / ".venv/lib/python3.11/site-packages/_editable_impl_bqx_assets.pth").read_text()

    def start(self, *, user: int | None = None, **environment: str) -> subprocess.Popen[str]:
        own = {"PATH": str(self.programs), "CALLS": str(self.programs / "calls"), "FOUND": "0"}
        return subprocess.Popen(
            [str(self.programs / "sh"), ".ci/setup.sh"],
            cwd=self.checkout,
            env={**own, "HOME": "/dev/null/home", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=user,
        )

    def set_up(self, *, user: int | None = None, **environment: str) -> tuple[int, str]:
        """The exit code and what was said."""
        with self.start(user=user, **environment) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out + err

    def has(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A checkout whose path holds a blank, brackets and an umlaut, for everybody to enter."""
    with tempfile.TemporaryDirectory() as folder:
        made = Machine(Path(folder, "a b [ü]"), Path(folder, "bin"))
        Path(folder).chmod(0o755)
        (made.checkout / ".ci").mkdir(parents=True)
        made.programs.mkdir()
        for name in (".ci/setup.sh", "pyproject.toml", "uv.lock"):
            shutil.copy(ROOT / name, made.checkout / name)
        for name in NEEDED:
            if found := shutil.which(name):
                (made.programs / name).symlink_to(found)
        made.has("uv", UV)
        yield made


def test_an_environment_is_made_once_and_again_only_where_something_changed(machine: Machine) -> None:
    assert machine.set_up() == (0, "")
    assert machine.set_up() == (0, "")
    assert len(machine.calls) == 1
    mark = machine.checkout / ".venv" / "mark"
    mark.touch()
    with (machine.checkout / "uv.lock").open("a") as lock:
        lock.write("\n")
    assert machine.set_up() == (0, "")
    assert (len(machine.calls), mark.exists()) == (2, True)


def test_an_environment_names_no_folder_that_a_locale_cannot_read(machine: Machine) -> None:
    assert machine.set_up(LC_ALL="C") == (0, "")
    assert machine.paths == "../../../..\n"


def test_a_moved_checkout_and_a_vanished_interpreter_get_a_new_environment(machine: Machine) -> None:
    assert machine.set_up() == (0, "")
    (machine.checkout / ".venv" / "mark").touch()
    machine.checkout = machine.checkout.rename(machine.checkout.with_name("moved"))
    assert machine.set_up() == (0, "")
    assert not (machine.checkout / ".venv" / "mark").exists()
    (machine.checkout / ".venv" / "mark").touch()
    (machine.checkout / ".venv" / "bin" / "python").unlink()
    (machine.checkout / ".venv" / "bin" / "python").symlink_to("/gone/python3")
    assert machine.set_up() == (0, "")
    assert not (machine.checkout / ".venv" / "mark").exists()
    assert len(machine.calls) == 3


def test_of_two_at_once_the_second_waits_and_finds_it_done(machine: Machine) -> None:
    with machine.start(TAKES="0.3") as first, machine.start(TAKES="0.3") as second:
        assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    assert len(machine.calls) == 1


@pytest.mark.parametrize("home", ["/dev/null/home", ""])
def test_where_the_home_cannot_be_written_the_cache_lies_in_the_checkout(machine: Machine, home: str) -> None:
    assert machine.set_up(HOME=home) == (0, "")
    assert machine.calls[0].endswith(f"cache={machine.checkout}/.tools/cache")


def test_a_cache_of_the_users_own_is_taken(machine: Machine, tmp_path: Path) -> None:
    assert machine.set_up(HOME=str(tmp_path)) == (0, "")
    assert machine.calls[0].endswith("cache=")
    (machine.checkout / ".venv" / ".ready").unlink()
    assert machine.set_up(UV_CACHE_DIR=str(tmp_path / "uv")) == (0, "")
    assert machine.calls[1].endswith(f"cache={tmp_path}/uv")


def test_a_checkout_that_cannot_be_written_is_named(machine: Machine) -> None:
    machine.checkout.chmod(0o555)
    code, said = machine.set_up(user=NOBODY if os.geteuid() == 0 else None)
    assert (code, said.splitlines()) == (
        1,
        [f"This folder cannot be written: {machine.checkout}", "Copy the checkout to a folder of your own."],
    )


def test_without_any_python_it_is_said_what_to_install(machine: Machine) -> None:
    (machine.programs / "uv").unlink()
    code, said = machine.set_up()
    assert (code, said.splitlines()[0]) == (1, "There is no Python on PATH.")
    assert said.splitlines()[1].startswith("Install Python 3.11 to 3.14, then run make again. For example: sudo apt ")


def test_a_python_without_venv_names_debians_package(machine: Machine) -> None:
    (machine.programs / "uv").unlink()
    machine.has("python3", '#!/bin/sh\n[ "$1" = -c ] || { echo "ensurepip is not available" >&2; exit 1; }\n')
    code, said = machine.set_up()
    assert (code, said.splitlines()) == (
        1,
        [
            "ensurepip is not available",
            "python3 cannot make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv",
        ],
    )


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ("0", "The packages of uv.lock could not be installed. Mend that, then run make again."),
        ("2", "No Python from 3.11 to 3.14 was found, and uv could not fetch one: no route to host"),
    ],
)
def test_what_uv_could_not_do_is_told_and_the_next_call_tries_again(
    machine: Machine, found: str, sentence: str
) -> None:
    code, said = machine.set_up(SAYS="no route to host", FOUND=found)
    assert code == 1
    assert "no route to host" in said
    assert sentence in said.splitlines()
    assert machine.set_up() == (0, "")
