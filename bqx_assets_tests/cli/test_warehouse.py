"""``bqx warehouse`` says what it took for what, what it appended, and what comes next, in words and as JSON."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.cli.main import app
from bqx_assets.cli.warehouse import parse_pairs


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    """Seventy days of a reversed pair, one close of them a hundred times too high."""
    days = [f"2024-0{1 + day // 28}-{1 + day % 28:02}" for day in range(70)]
    lines = [f"{day},USDEUR,{92.0 if place == 30 else 0.92},1" for place, day in enumerate(days)]
    (tmp_path / "rates.csv").write_text("\n".join(["Date,Symbol,Close,Spread", *lines]))
    return tmp_path / "rates.csv"


def _create(rates: Path, *words: str) -> tuple[int, str, str]:
    command = ["--home", str(rates.parent / "home"), "warehouse", "create", str(rates.parent / "w")]
    options = ["--pairs", "EURUSD", "--rows", "100", "--tables", "2", "--rates", str(rates)]
    done = CliRunner().invoke(app, [*command, *options, *words], env={"COLUMNS": "400"})
    return done.exit_code, done.stdout, done.output


def test_what_was_taken_for_what_is_said_and_doubts_are_told(rates: Path) -> None:
    code, out, _ = _create(rates, "--invert")
    assert code == 0
    assert "- columns read: 'Date' as interval_time, 'Symbol' as pair, 'Close' as close" in out
    assert "- columns ignored: 'Spread'" in out
    assert "- interval_time: days, taken as midnight UTC" in out
    assert "- pairs inverted: 'USDEUR' to eurusd" in out
    assert "! eurusd: in row 31 (2024-02-03T00:00:00) close" in out
    assert "(about 0.01) times the close before" in out


def test_as_json_it_is_the_same(rates: Path) -> None:
    _, out, _ = _create(rates, "--invert", "--json")
    found = json.loads(out)
    assert "columns ignored: 'Spread'" in found["said"]
    assert "row 31" in found["doubts"][0]


def test_a_reversed_pair_is_no_warehouse_unless_it_is_to_be_inverted(rates: Path) -> None:
    code, _, output = _create(rates)
    assert code == 2
    assert "Add --invert" in " ".join(output.split())
    assert not (rates.parent / "w").exists()


def test_pairs_may_be_written_in_capitals_and_with_blanks() -> None:
    assert [pair.name for pair in parse_pairs("EURUSD, gbpusd")] == ["eurusd", "gbpusd"]


def _make(home: Path, folder: str, pairs: str, *words: str) -> str:
    command = ["--home", str(home), "warehouse", "create", str(home / folder), "--pairs", pairs]
    done = CliRunner().invoke(app, [*command, "--rows", "100", "--tables", "1", *words], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_warehouse_made_in_the_home_is_read_without_a_variable_by_the_pairs_it_was_made_for(tmp_path: Path) -> None:
    eurusd, gbpusd = parse_pair("eurusd"), parse_pair("gbpusd")
    settings = Settings(home=tmp_path)
    assert "BQX_WAREHOUSE" not in _make(tmp_path, "warehouses/a", "eurusd,gbpusd")
    _make(tmp_path, "warehouses/b", "eurusd", "--seed", "7")
    assert settings.of_pair(eurusd).warehouse_dir == tmp_path / "warehouses" / "b"
    assert settings.of_pair(gbpusd).warehouse_dir == tmp_path / "warehouses" / "a"
    assert settings.of_pair(parse_pair("usdjpy")) == settings
    _make(tmp_path, "warehouses/a", "eurusd,gbpusd")  # is there already, and asked for last
    assert settings.of_pair(eurusd).warehouse_dir == tmp_path / "warehouses" / "a"
    assert settings.of_pair(eurusd).warehouse_dir.is_dir()


def test_a_named_warehouse_wins_and_one_outside_of_the_home_is_named_in_the_hint(tmp_path: Path) -> None:
    home = tmp_path / "home"
    _make(home, "warehouses/a", "eurusd")
    named = Settings(home=home, warehouse=tmp_path / "named")
    assert named.of_pair(parse_pair("eurusd")) == named
    assert f"next: BQX_WAREHOUSE={tmp_path / 'other'} bqx" in _make(home, "../other", "eurusd").replace("home/../", "")
    assert Settings(home=home).of_pair(parse_pair("eurusd")).warehouse_dir == home / "warehouses" / "a"


def test_appended_bars_are_told_and_the_next_command_is_the_plan(tmp_path: Path) -> None:
    _make(tmp_path, "w", "eurusd,gbpusd")
    command = ["--home", str(tmp_path), "warehouse", "advance", str(tmp_path / "w")]
    done = CliRunner().invoke(app, [*command, "--bars", "1440"], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    assert f"✓ {tmp_path / 'w'}: 1,440 bars a pair appended, 1,540 now, " in done.stdout
    assert done.stdout.rstrip().endswith(" plan eurusd")
    done = CliRunner().invoke(app, [*command, "--bars", "60", "--json"])
    told = json.loads(done.stdout)
    assert (told["appended"], told["rows"], told["pairs"]) == (60, 1_600, ["eurusd", "gbpusd"])
    assert "1,500 bars a pair were appended since it was made" in _make(tmp_path, "w", "eurusd,gbpusd")


def test_rates_have_no_later_bars_and_none_is_no_number_of_bars(rates: Path) -> None:
    _create(rates, "--invert")
    command = ["--home", str(rates.parent / "home"), "warehouse", "advance", str(rates.parent / "w")]
    done = CliRunner().invoke(app, [*command, "--bars", "1", "--json"], env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert "a warehouse made from a file of rates" in done.output
    assert CliRunner().invoke(app, [*command, "--bars", "0"]).exit_code == 2


def test_each_printed_next_command_works_when_it_is_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a shell on whose PATH there is no ``bqx``, in a folder whose name a shell would take apart.

    The shell takes the line apart; the program, which takes two seconds to start, is started for the first line alone.
    """
    folder = tmp_path / "a [b] 'ü'"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("COLUMNS", "300")
    program = Path(sys.executable).with_name("bqx")
    create = "warehouse create 'the home/w' --pairs eurusd --rows 100 --tables 1"
    out = _of_shell(f"{shlex.quote(str(program))} --home 'the home' {create}")
    for expected in ("plan", "extract", "merge", "validate"):
        hints = [line.removeprefix("next: ") for line in out.splitlines() if line.startswith("next: ")]
        command = hints[0].replace(" run ", " plan ")
        assert f" {expected} " in command
        called, *words = _of_shell(f"printf '%s\\n' {command}").splitlines()
        assert Path(called).samefile(program)
        monkeypatch.setattr(sys, "argv", [called, *words])
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, done.stderr.count("✗")) == (0, 0) or expected == "validate", done.output
        out = done.stdout
    assert "rows_equal_spine" in out


def _of_shell(command: str) -> str:
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("✗")) == (0, 0), done.stderr
    return done.stdout
