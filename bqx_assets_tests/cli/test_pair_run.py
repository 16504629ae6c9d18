"""``bqx run``: one summary on stdout, progress on stderr, an exit code that means published."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.cli.main import app
from bqx_assets.cli.results import reading_lines
from bqx_assets.quality.rules import RULES
from bqx_assets.release.publish import Published
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.runtime.homes import copy_home, make_home

BQX = Path(sys.executable).with_name("bqx")
Answer = tuple[int, str, str]


def _bqx(home: Path, *words: str) -> Answer:
    """Exit code, stdout and stderr of a call in this process."""
    result = CliRunner().invoke(app, ["--home", str(home), *words])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def _own_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A home, and what the first run in it said."""
    home = make_home(tmp_path_factory.mktemp("run") / "home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        return home, _bqx(home, "run", "eurusd")


def test_the_summary_says_what_was_made_at_what_cost_and_where_it_is(ran: tuple[Path, Answer]) -> None:
    home, (code, out, _) = ran
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("✓ eurusd: 3,540 rows x ")
    assert lines[0].endswith(f" of 6 tables; {len(RULES) + 3} of {len(RULES) + 3} checks passed")
    assert [line.split()[0] for line in lines[1:8]] == [
        "stage",
        "spine",
        "slabs",
        "merge",
        "validate",
        "publish",
        "all",
    ]
    assert {rule.name for rule in RULES} <= {word for line in lines for word in line.split()}
    assert f"{home}/bqx-ml-output/training_eurusd.parquet: published" in out
    assert "load_training" in lines[-2]
    assert f"bqx --home {home} ui" in lines[-1]


@pytest.mark.parametrize("folder", ["exp[1]", 'it\'s "here" $HOME `id`', "a*?!{b}"])
def test_the_line_that_shows_how_to_load_a_file_loads_that_file(
    ran: tuple[Path, Answer], tmp_path: Path, folder: str
) -> None:
    place = tmp_path / folder
    shutil.copytree(ran[0] / "bqx-ml-output", place)
    published = Published.model_validate(
        {
            "pair": "eurusd",
            "uri": f"{place}/training_eurusd.parquet",
            "manifest_uri": f"{place}/training_eurusd.manifest.json",
            "report_uri": f"{place}/training_eurusd.report.json",
            "size_bytes": 0,
            "crc32c": 0,
            "generation": 1,
            "replaced_generation": None,
            "already_there": False,
        }
    )
    line = reading_lines(published)[-1]
    shown = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=60).stdout
    assert [name for name in ("interval_time", "target_bqx45_h15") if name not in shown] == []


def test_progress_goes_to_stderr_and_dagsters_own_log_nowhere(ran: tuple[Path, Answer]) -> None:
    _, (_, out, err) = ran
    assert [stage for stage in ("extract", "merge", "validate", "publish") if stage not in err] == []
    assert "STEP_START" not in out + err
    assert "dagster -" not in out + err


def test_json_is_one_document_and_a_second_run_publishes_nothing_new(ran: tuple[Path, Answer], tmp_path: Path) -> None:
    settings = copy_home(ran[0], tmp_path / "home")
    code, out, _ = _bqx(settings.home, "run", "eurusd", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["passed"] is True
    assert facts["published"]["already_there"] is True
    assert isinstance(facts["published"]["generation"], int)
    assert [stage["name"] for stage in facts["stages"]] == ["spine", "slabs", "merge", "validate", "publish"]
    assert facts["stages"][1]["resumed_tables"] == 6
    assert {each["rule"] for each in facts["verdicts"]} >= {rule.name for rule in RULES}
    assert facts["seconds"] > 0
    assert facts["peak_bytes"] > 50_000_000


def test_a_failed_check_is_named_first_and_the_exit_code_is_1(ran: tuple[Path, Answer], tmp_path: Path) -> None:
    settings = copy_home(ran[0], tmp_path / "home")
    before = (settings.output_dir / "training_eurusd.parquet").read_bytes()
    inject_fault(settings.warehouse_dir, "all-null", parse_pair("eurusd"))
    code, out, _ = _bqx(settings.home, "run", "eurusd")
    assert code == 1
    assert "1 failed: no_unexpected_all_null; nothing was published" in out.splitlines()[0]
    assert (settings.output_dir / "training_eurusd.parquet").read_bytes() == before


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_without_a_warehouse_the_error_says_how_to_make_one_and_nothing_is_made(
    tmp_path: Path, words: Sequence[str]
) -> None:
    code, out, err = _bqx(tmp_path / "none", "run", "eurusd", *words)
    assert code == 1
    assert "warehouse create" in (out if words else err)
    assert not (tmp_path / "none").exists()


def test_ctrl_c_ends_the_run_at_once_and_the_next_one_goes_on_from_there(
    ran: tuple[Path, Answer], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    shutil.copytree(ran[0] / "warehouse", settings.warehouse_dir)
    command = [str(BQX), "--home", str(tmp_path), "run", "eurusd", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        slabs = settings.checkpoint_dir / "eurusd"
        while process.poll() is None and len(list(slabs.glob("*.slab.json"))) < 2:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("interrupted: finished work is kept")
    assert not [*settings.output_dir.glob("*.parquet")]  # nothing is published; the ledger is there
    code, out, _ = _bqx(tmp_path, "run", "eurusd", "--json")
    assert code == 0
    assert json.loads(out)["stages"][1]["resumed_tables"] >= 1


def test_a_stages_error_is_one_block_of_its_four_parts(ran: tuple[Path, Answer], tmp_path: Path) -> None:
    settings = copy_home(ran[0], tmp_path / "home")
    inject_fault(settings.warehouse_dir, "missing-table", parse_pair("eurusd"))
    code, out, err = _bqx(settings.home, "run", "eurusd")
    assert code == 1
    assert out == ""
    assert "✗ ExtractionIncomplete  eurusd" in err
    assert "TableMissing" in err
    assert "Traceback" not in err
