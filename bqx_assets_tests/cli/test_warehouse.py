"""``bqx warehouse create`` says what it took for what, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

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
