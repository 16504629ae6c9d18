"""``bqx expectations``: from an extraction to a proposal, a person's approval, and the verdict by it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from bqx_assets.cli.main import app


def _bqx(home: Path, *words: object, exit_code: int = 0) -> str:
    outcome = CliRunner().invoke(app, ["--home", str(home), *map(str, words)])
    assert outcome.exit_code == exit_code, outcome.output
    return outcome.stdout


def _json(home: Path, *words: object, exit_code: int = 0) -> dict[str, Any]:
    return json.loads(_bqx(home, *words, "--json", exit_code=exit_code))


def test_what_an_extraction_found_is_proposed_approved_and_then_in_force(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "team.toml"
    _bqx(home, "warehouse", "create", home / "warehouse", "--pairs", "eurusd", "--rows", 200, "--tables", 2)
    for stage in ("extract", "merge"):
        _bqx(home, stage, "eurusd")
    training = home / "training" / "training_eurusd.parquet"
    before = _json(home, "validate", training, "--pair", "eurusd")["expectations"]
    assert (before["approval"], before["place"]) == ("none", str(home / "warehouse/expectations.toml"))
    propose = f"bqx --home {shlex.quote(str(home))} expectations propose eurusd"  # as the program was called
    assert propose in _bqx(home, "validate", training, "--pair", "eurusd")

    proposed = _json(home, "expectations", "propose", "eurusd", "--output", file)
    assert (proposed["tables"], proposed["rows"]) == (2, 140)
    shown = _bqx(home, "expectations", "show", file)
    assert "proposed, not in force; found " in shown
    assert shown.endswith(f"expectations show {file} --text\n")
    _bqx(home, "expectations", "approve", file, "--by", "ann")
    assert "by ann" in _bqx(home, "expectations", "show", file)

    env = {"BQX_EXPECTATIONS": str(file)}
    outcome = CliRunner().invoke(app, ["--home", str(home), "validate", str(training), "--pair", "eurusd"], env=env)
    assert outcome.exit_code == 0, outcome.output
    assert "of eurusd approved" in outcome.stdout
    text = CliRunner().invoke(app, ["--home", str(home), "expectations", "show", "--text"], env=env).stdout
    (tmp_path / "copy.toml").write_text(text)
    assert (
        _json(home, "expectations", "show", tmp_path / "copy.toml")["version"]
        == _json(home, "expectations", "show", file)["version"]
    )


def test_without_an_extraction_nothing_is_proposed(tmp_path: Path) -> None:
    said = _json(tmp_path, "expectations", "propose", "eurusd", exit_code=1)
    assert (said["got"], said["cure"]) == ("no complete record of an extraction", "bqx extract eurusd")
    assert not (tmp_path / "expectations.toml").exists()


def test_a_fresh_home_has_the_packaged_ones_and_says_so(tmp_path: Path) -> None:
    said = _bqx(tmp_path, "expectations", "show")
    assert "expectations: packaged, version" in said
    assert "28 pairs have no approved facts" in said
    assert "corr_etf_idx_*__* at most 16" in said


def test_a_pair_with_a_warehouse_of_its_own_in_the_home_is_told_apart(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouses" / "one"
    _bqx(tmp_path, "warehouse", "create", warehouse, "--pairs", "gbpjpy", "--rows", 200, "--tables", 2)
    said = _bqx(tmp_path, "expectations", "show")
    assert "27 pairs have no approved facts" in said
    assert "  gbpjpy: checked against those of the warehouse: " in said
    [command] = [line for line in said.splitlines() if "gbpjpy" in line]
    assert command.endswith(f"expectations show {warehouse / 'expectations.toml'}")


def test_which_tables_may_be_absent_is_told_in_words(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "may be absent: of cov_* at most 13, over all pairs" in _bqx(home, "expectations", "show")
    file = tmp_path / "expectations.toml"
    file.write_text(_bqx(home, "expectations", "show", "--text").replace('"cov_*" = 13', '"cov_*" = 0'))
    assert "  no table may be absent" in _bqx(home, "expectations", "show", file)
