"""The real ``bqx`` program: killed, interrupted, piped; what it leaves behind is whole and is gone on from."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bqx_assets.base.files import TEMP_MARK
from bqx_assets.cli.main import app

BQX = Path(sys.executable).with_name("bqx")
ROWS, TABLES = 3_600, 32


def _called(home: Path, *words: object) -> Result:
    """What a call of ``bqx`` leaves in this process: starting the program takes two seconds."""
    return CliRunner().invoke(app, ["--home", str(home), *map(str, words)])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("process") / "home"
    words = ["warehouse", "create", home / "warehouse", "--pairs", "eurusd", "--rows", ROWS, "--tables", TABLES]
    made = _called(home, *words)
    assert made.exit_code == 0, made.stderr
    return home


def _extraction(home: Path, folder: Path) -> list[str]:
    return [str(BQX), "--home", str(home), "extract", "eurusd", "--workers", "1", "--output-dir", str(folder)]


def _extract_until(home: Path, folder: Path, finished: int, ending: signal.Signals) -> tuple[int, str]:
    """Start an extraction, send ``ending`` when so many slabs are finished; return exit code and stderr."""
    words = _extraction(home, folder)
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None and len(_finished(folder)) < finished:
            time.sleep(0.001)
        process.send_signal(ending)
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr


def _finished(folder: Path) -> dict[str, int]:
    """The pieces that are in the record of their table."""
    place = folder / "eurusd"
    pieces = [path for path in place.glob("*/*.parquet") if (place / f"{path.parent.name}.slab.json").exists()]
    return {str(path.relative_to(place)): path.stat().st_mtime_ns for path in pieces}


def _resumed(home: Path, folder: Path) -> int:
    again = _called(home, "extract", "eurusd", "--output-dir", folder, "--json")
    assert again.exit_code == 0, again.stderr
    facts = json.loads(again.stdout)
    assert facts["tables"] == TABLES
    return int(facts["resumed_tables"])


@pytest.mark.parametrize("finished", [1, 7, 20])
def test_after_kill_9_nothing_finished_is_done_again_and_nothing_half_written_stays(
    home: Path, tmp_path: Path, finished: int
) -> None:
    """Lesson 17 and 19: a retry began at table 0; a half-written parquet counted as done."""
    code, _ = _extract_until(home, tmp_path, finished, signal.SIGKILL)
    assert code == -signal.SIGKILL
    before = _finished(tmp_path)
    assert finished <= len(before) <= TABLES
    assert _resumed(home, tmp_path) >= len(before) - 1  # the spine's slab is not a feature table
    assert {name: time for name, time in _finished(tmp_path).items() if name in before} == before
    assert not list((tmp_path / "eurusd").glob(f".*{TEMP_MARK}*"))


def test_ctrl_c_ends_with_130_a_sentence_and_no_traceback(home: Path, tmp_path: Path) -> None:
    code, stderr = _extract_until(home, tmp_path, 5, signal.SIGINT)
    assert code == 130
    assert stderr.splitlines()[-1].startswith("interrupted: finished work is kept")
    assert "Traceback" not in stderr
    assert _resumed(home, tmp_path) >= 4


@pytest.fixture(scope="module")
def together(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Result]:
    """An extraction by the program; and one of the same folder while it was at work, which stood still meanwhile."""
    folder = tmp_path_factory.mktemp("together")
    words = _extraction(home, folder)
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        while first.poll() is None and len(_finished(folder)) < 2:
            time.sleep(0.001)
        first.send_signal(signal.SIGSTOP)
        second = _called(home, "extract", "eurusd", "--output-dir", folder)
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=60)
    return subprocess.CompletedProcess(words, first.returncode, out, err), second


def test_a_second_extraction_of_the_same_folder_is_refused_while_one_is_at_work(
    together: tuple[subprocess.CompletedProcess[str], Result],
) -> None:
    first, second = together
    assert first.returncode == 0
    assert second.exit_code == 1
    assert "FolderBusy" in second.stderr


def test_progress_goes_to_stderr_in_a_few_lines_and_the_result_to_stdout(
    together: tuple[subprocess.CompletedProcess[str], Result],
) -> None:
    done, _ = together
    assert len(done.stderr.splitlines()) < TABLES // 2
    assert done.stdout.startswith("✓ eurusd: ")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_closed_pipe_is_no_traceback(home: Path) -> None:
    command = f"{BQX} --home {home} expectations show --text | head -1"
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr


_FORKED = """
import json, os, sys
from bqx_assets.cli import entry, main
slow = {"dagster", "google.cloud", "sqlalchemy"} & {*sys.modules}
codes = []
for words in json.loads(sys.argv[1]):  # each in a process of its own, forked so that libraries are imported once
    process = os.fork()
    if not process:
        sys.argv = ["bqx", *words]
        sys.exit(entry.main())
    codes.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
print(json.dumps([*slow]), json.dumps(codes), sep="\\n")
"""


def test_the_program_exits_as_its_commands_do_and_starts_without_what_takes_seconds_to_import(tmp_path: Path) -> None:
    calls = {"--version": 0, "plan nopair": 2, "plan eurusd --nope": 2, "merge eurusd": 1}
    words = json.dumps([call.split() for call in calls])
    done = subprocess.run(
        [sys.executable, "-c", _FORKED, words], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    )
    imported, codes = map(json.loads, done.stdout.splitlines()[-2:])
    assert imported == []
    assert dict(zip(calls, codes, strict=True)) == calls
