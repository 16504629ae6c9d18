"""The real ``bqx`` program: killed, interrupted, piped; what it leaves behind is whole and is gone on from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bqx_assets.base.files import TEMP_MARK

BQX = Path(sys.executable).with_name("bqx")
ROWS, TABLES = 3_600, 32


def _run(home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [BQX, "--home", home, *words]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("process") / "home"
    made = _run(
        home, "warehouse", "create", home / "warehouse", "--pairs", "eurusd", "--rows", ROWS, "--tables", TABLES
    )
    assert made.returncode == 0, made.stderr
    return home


def _extract_until(home: Path, folder: Path, finished: int, ending: signal.Signals) -> tuple[int, str]:
    """Start an extraction, send ``ending`` when so many slabs are finished; return exit code and stderr."""
    command = [str(BQX), "--home", str(home), "extract", "eurusd", "--workers", "1", "--output-dir", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None and len(_finished(folder)) < finished:
            time.sleep(0.001)
        process.send_signal(ending)
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr


def _finished(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "eurusd").glob("*.slab.json")}


def _resumed(home: Path, folder: Path) -> int:
    again = _run(home, "extract", "eurusd", "--output-dir", folder, "--json")
    assert again.returncode == 0, again.stderr
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
    assert stderr.splitlines()[-1].startswith("interrupted: what is finished stays")
    assert "Traceback" not in stderr
    assert _resumed(home, tmp_path) >= 4


def test_a_second_extraction_of_the_same_folder_is_refused_while_one_is_at_work(home: Path, tmp_path: Path) -> None:
    command = [str(BQX), "--home", str(home), "extract", "eurusd", "--workers", "1", "--output-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while first.poll() is None and len(_finished(tmp_path)) < 2:
            time.sleep(0.001)
        first.send_signal(signal.SIGSTOP)
        second = _run(home, "extract", "eurusd", "--output-dir", tmp_path)
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=60) == 0
    assert second.returncode == 1
    assert "FolderBusy" in second.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--version"], 0), (["plan", "nopair"], 2), (["plan", "eurusd", "--nope"], 2), (["merge", "eurusd"], 1)],
)
def test_the_program_exits_as_its_commands_do(tmp_path: Path, words: Sequence[str], code: int) -> None:
    assert _run(tmp_path, *words).returncode == code


def test_progress_goes_to_stderr_in_a_few_lines_and_the_result_to_stdout(home: Path, tmp_path: Path) -> None:
    done = _run(home, "extract", "eurusd", "--output-dir", tmp_path)
    assert len(done.stderr.splitlines()) < TABLES // 2
    assert done.stdout.startswith("✓ eurusd: ")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_closed_pipe_is_no_traceback(home: Path) -> None:
    command = f"{BQX} --home {home} status | head -1"
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("pair")
    assert "Traceback" not in done.stderr


def test_commands_other_than_run_start_without_what_takes_seconds_to_import(home: Path) -> None:
    slow = "{'dagster', 'google.cloud', 'sqlalchemy'}"
    code = f"import sys; from bqx_assets.cli.main import app; print({slow} & {{*sys.modules}})"
    environment = {**os.environ, "BQX_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "set()\n"
