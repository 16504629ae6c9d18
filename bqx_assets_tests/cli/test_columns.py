"""``bqx columns`` shows what a model can be given in 80 columns of text, and ``bqx fetch`` where the copy is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.cli.main import app
from bqx_assets_tests.training.published import merged_pair


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in whose output eurusd is published."""
    folder = tmp_path_factory.mktemp("home")
    merged_pair(folder, parse_pair("eurusd")).publish(LocalObjectStore(folder / "bqx-ml-output"))
    return folder


def _bqx(home: Path, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["--home", str(home), *words], env={"COLUMNS": "80"})
    assert done.exit_code == code, done.output
    return done.stdout


def test_families_are_counted_and_what_is_left_out_is_named(home: Path) -> None:
    lines = _bqx(home, "columns", "eurusd").splitlines()
    assert "  targets: windows 45 90 180 360 720 1440 2880; horizons 15 30 45 60 75 90 105" in lines
    (families,) = [line for line in lines if line.startswith("pair_specific")]
    assert families.split()[1:4] == ["74", "5", "3"]
    assert "left out: 4 identifiers, 1 without any value, 1 constant, 1 duplicates (--all lists them)" in lines
    facts = json.loads(_bqx(home, "columns", "eurusd", "--json"))
    assert facts["left_out"] == {"identifier": 4, "all_null": 1, "constant": 1, "duplicate": 1}
    assert facts["features"] == sum(each["features"] for each in facts["families"])
    assert "columns" not in facts


def test_filters_list_features_with_their_meaning_and_all_names_reasons(home: Path) -> None:
    shown = _bqx(home, "columns", "eurusd", "--table", "agg_*", "--window", "45", "--all")
    assert "  left out: constant" in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith((str(home), "next")))
    only = ("--match", "agg__agg_std_180", "--match", "agg__agg_mean_45")
    assert "left out: a duplicate of agg__agg_mean_45" in _bqx(home, "columns", "eurusd", *only, "--all")
    facts = json.loads(_bqx(home, "columns", "eurusd", *only, "--json"))
    assert [each["column"] for each in facts["columns"]] == ["agg__agg_mean_45"]
    assert facts["columns"][0]["meaning"]


def test_a_file_without_a_dictionary_is_shown_with_a_warning(home: Path, tmp_path: Path) -> None:
    for path in (home / "bqx-ml-output").glob("training_eurusd.*"):
        if "columns" not in path.name:
            shutil.copy(path, tmp_path)
    words = ["--home", str(home), "columns", "eurusd", "--source", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "bqx publish eurusd" in done.stderr
    assert "pair_specific" in done.stdout


def test_a_wrong_name_is_wrong_usage(home: Path) -> None:
    assert _bqx(home, "columns", "eurusd", "--family", "pairs", code=2) == ""
    _bqx(home, "columns", "gbpusd", code=1)
    _bqx(home, "columns", "eurusd", "--pin", "1", code=1)


def test_fetch_shows_the_copy_its_pin_and_how_to_remove_it(home: Path, tmp_path: Path) -> None:
    lines = _bqx(home, "fetch", "eurusd").splitlines()
    facts = json.loads(_bqx(home, "fetch", "eurusd", "--json"))
    assert facts["was_there"]
    assert lines[1] == f"  pin: {facts['pin']}"
    assert lines[2] == f"  remove it: rm -r {home / 'cache' / facts['pin']}"
    assert Path(facts["path"]).is_file()
    copy = json.loads(_bqx(home, "fetch", "eurusd", "--pin", facts["pin"], "--to", str(tmp_path / "data"), "--json"))
    assert copy["path"].startswith(str(tmp_path / "data"))
