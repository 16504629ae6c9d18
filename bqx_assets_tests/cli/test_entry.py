"""Ctrl-C before, between and after a command's own work: 130 and a sentence, no traceback."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bqx_assets.cli.entry import ENVIRONMENT, SENTENCE

_SENT = "os.kill(os.getpid(), signal.SIGINT)"
_MOMENTS = {
    "while the commands are imported": f"""
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "bqx_assets.cli.main":
            {_SENT}
sys.meta_path.insert(0, Slow())
""",
    "where nobody catches it": f"commands.main = lambda: {_SENT}",
    "where a parser takes it for its own": f"""
def main():
    try:
        {_SENT}
    except KeyboardInterrupt:
        sys.exit(1)
commands.main = main
""",
    "twice": f"""
def main():
    try:
        {_SENT}
    finally:
        {_SENT}
commands.main = main
""",
    "while a thread waits for a server that does not answer": f"""
def main():
    import threading
    from concurrent.futures import ThreadPoolExecutor
    ThreadPoolExecutor(1).submit(threading.Event().wait, 100)
    try:
        {_SENT}
    except KeyboardInterrupt:
        print(entry.SENTENCE, file=sys.stderr)
        sys.exit(130)
commands.main = main
""",
    "while the process ends": f"""
atexit.register(lambda: {_SENT})
commands.main = lambda: sys.exit(0)
""",
}


def _run(moment: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import atexit, os, signal, sys, types\n{before}\nfrom bqx_assets.cli import entry\n"
    if "commands" in moment:
        code += "commands = sys.modules['bqx_assets.cli.main'] = types.ModuleType('bqx_assets.cli.main')\n"
    return subprocess.run(
        [sys.executable, "-c", f"{code}{moment}\nentry.main()"], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("moment", _MOMENTS.values(), ids=_MOMENTS.keys())
def test_ctrl_c_ends_with_130_and_one_sentence_at_any_moment(moment: str) -> None:
    done = _run(moment)
    assert (done.returncode, done.stderr) == (130, f"{SENTENCE}\n")


def test_a_program_that_was_told_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    done = _run(f"commands.main = lambda: ({_SENT}, print('done'))", "signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_an_exit_code_of_a_command_is_the_programs() -> None:
    assert _run("commands.main = lambda: sys.exit(2)").returncode == 2


@pytest.mark.parametrize(("asked", "pool"), [({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc")])
def test_arrow_takes_the_systems_memory_unless_told_otherwise(asked: dict[str, str], pool: str) -> None:
    others = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    code = "import sys, types\nfrom bqx_assets.cli import entry\n"
    code += "sys.modules['bqx_assets.cli.main'] = commands = types.ModuleType('commands')\n"
    code += "def main():\n    import pyarrow\n    print(pyarrow.default_memory_pool().backend_name)\n"
    code += "commands.main = main\nentry.main()"
    done = subprocess.run([sys.executable, "-c", code], env=others | asked, capture_output=True, text=True, check=True)
    assert done.stdout == f"{pool}\n"


ARENAS = """
import ctypes, sys, threading, types
from bqx_assets.cli import entry
sys.modules["bqx_assets.cli.main"] = commands = types.ModuleType("commands")

def main():
    together, kept = threading.Barrier(6), []
    def allocate():
        together.wait()
        kept.append(bytes(50_000))
        together.wait()
    threads = [threading.Thread(target=allocate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ctypes.CDLL(None).malloc_stats()

commands.main = main
entry.main()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize(("asked", "arenas"), [({}, 2), ({"MALLOC_ARENA_MAX": "3"}, 3)])
def test_threads_share_two_arenas_unless_told_otherwise(asked: dict[str, str], arenas: int) -> None:
    others = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", ARENAS], env=others | asked, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("Arena ") == arenas


def test_the_image_gives_dagsters_own_commands_the_same_variables() -> None:
    words = (Path(__file__).parents[2] / "Dockerfile").read_text().split()
    assert [f"{name}={value}" for name, value in ENVIRONMENT.items() if f"{name}={value}" not in words] == []


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_has_no_tick_is_no_reason_to_fail(encoding: str) -> None:
    code = "from bqx_assets.cli import entry\n"
    code += "import sys, types\nsys.modules['bqx_assets.cli.main'] = commands = types.ModuleType('commands')\n"
    code += "commands.main = lambda: print('✓ ü')\nentry.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding="latin-1",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("? ü\n" if encoding == "latin-1" else "? ?\n")
