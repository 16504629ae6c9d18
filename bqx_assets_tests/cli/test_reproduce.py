"""``bqx reproduce`` and ``bqx card`` over an embedded market, as it changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from bqx_assets.base.artifacts import FailedTable
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.cli.main import app
from bqx_assets.pipeline import Pipeline

PAIR = parse_pair("eurusd")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a small market, its slabs and a merged file with its manifest."""
    home = tmp_path_factory.mktemp("home")
    _bqx(home, "warehouse", "create", str(home / "w"), "--pairs", "eurusd", "--tables", "4", "--rows", "6000")
    pipeline = Pipeline(Settings(home=home, warehouse=home / "w"))
    pipeline.extract(PAIR)
    pipeline.merge(PAIR)
    return home


def _bqx(home: Path, *words: str, code: int = 0) -> str:
    where = {"BQX_WAREHOUSE": str(home / "w")} if words[0] != "warehouse" else {}
    done = CliRunner().invoke(app, ["--home", str(home), *words], env={"COLUMNS": "80", **where})
    assert done.exit_code == code, done.output
    return done.stdout


def _asked(home: Path, code: int = 0) -> dict[str, Any]:
    file = Settings(home=home).training_file(PAIR)
    return json.loads(_bqx(home, "reproduce", str(file), "--json", code=code))


def test_the_same_file_can_be_made_until_what_is_missing_has_changed(made: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(made, home, symlinks=True)
    found = _asked(home)
    assert (found["way"], found["kept_tables"], found["tables"]) == ("pieces", 5, [])

    slabs = Pipeline(Settings(home=home)).slabs(PAIR)
    table = slabs.load_extraction().features()[0].table
    assert slabs.folder is not None
    shutil.rmtree(slabs.folder / table)
    found = _asked(home)
    assert (found["way"], found["kept_tables"]) == ("reading", 4)
    assert [(each["table"], each["state"]) for each in found["tables"]] == [(table, "unchanged")]

    (stored,) = (home / "w").rglob(f"{table}.parquet")
    stored.touch()  # of the same rows
    assert _asked(home)["way"] == "reading"
    frame = pl.read_parquet(stored)
    number = next(name for name, kind in frame.schema.items() if kind == pl.Float64)
    frame.with_columns(pl.col(number) + 1).write_parquet(stored)
    found = _asked(home, code=1)
    assert (found["way"], found["tables"][0]["state"]) == ("not", "changed")

    stored.unlink()
    found = _asked(home, code=1)
    assert (found["way"], found["tables"][0]["state"]) == ("not", "gone")


def test_what_is_kept_and_changed_would_be_read_anew_with_what_is_missing(made: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(made, home, symlinks=True)
    slabs = Pipeline(Settings(home=home)).slabs(PAIR)
    one, other = [slab.table for slab in slabs.load_extraction().features()][:2]
    assert slabs.folder is not None
    (stored,) = (home / "w").rglob(f"{other}.parquet")
    before = stored.read_bytes()
    pl.read_parquet(stored).with_columns(more=pl.lit(1.0)).write_parquet(stored)
    assert _asked(home)["way"] == "pieces"  # nothing is read, so what changed does not matter
    shutil.rmtree(slabs.folder / one)
    found = _asked(home, code=1)
    assert {each["table"]: (each["state"], each["missing"]) for each in found["tables"]} == {
        one: ("unchanged", 1),
        other: ("changed", 0),
    }
    assert "kept and changed" in _bqx(home, "reproduce", str(Settings(home=home).training_file(PAIR)), code=1)

    stored.write_bytes(before)  # reading what is missing makes the same values again
    assert _asked(home)["way"] == "reading"
    _bqx(home, "extract", "eurusd")
    digest = _asked(home)["content_digest"]
    _bqx(home, "merge", "eurusd")
    found = _asked(home)
    assert (found["way"], found["content_digest"]) == ("pieces", digest)


@pytest.mark.parametrize("how", ["a table failed", "a period more"])
def test_an_extraction_that_is_not_complete_or_has_other_rows_is_made_again_before_the_merge(
    made: Path, tmp_path: Path, how: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(made, home, symlinks=True)
    slabs = Pipeline(Settings(home=home)).slabs(PAIR)
    record = slabs.load_extraction()
    failed = FailedTable(table=record.features()[0].table, error="TableUnreadable", message="refused")
    others = tuple(slab for slab in record.slabs if slab.table != failed.table)
    assert slabs.folder is not None
    changed = record.model_copy(update={"failed": (failed,), "slabs": others})
    if how == "a period more":
        (piece,) = record.slabs[-1].pieces
        more = piece.model_copy(update={"period": "2019-Q1", "fingerprint": "of other rows"})
        longer = record.slabs[-1].model_copy(update={"pieces": (more, piece)})
        changed = record.model_copy(update={"slabs": (*record.slabs[:-1], longer)})
    (slabs.folder / "extraction.json").write_bytes(changed.as_json())
    digest = _asked(home)["content_digest"]
    assert (_asked(home)["way"], _asked(home)["tables"]) == ("reading", [])
    _bqx(home, "merge", "eurusd", code=1)
    _bqx(home, "extract", "eurusd")
    _bqx(home, "merge", "eurusd")
    assert (_asked(home)["way"], _asked(home)["content_digest"]) == ("pieces", digest)


def test_a_card_of_a_published_file_states_targets_families_and_checks(made: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(made, home, symlinks=True)
    _bqx(home, "publish", "eurusd")
    card = [line.split(" | ") for line in _bqx(home, "card", "eurusd").splitlines() if line.startswith("| ")]
    rows = {line[0].removeprefix("| "): line[1].removesuffix(" |") for line in card}
    columns = Pipeline(Settings(home=home)).dictionary(PAIR).frame
    windows, horizons = "45, 90, 180, 360, 720, 1440, 2880", "15, 30, 45, 60, 75, 90, 105"
    assert rows["targets"] == f"49: BQX of {windows} rows, {horizons} rows later"
    features = columns.filter(kind="feature")
    assert rows["features"].startswith(f"{features.height:,} columns of 4 tables: ")
    for family, count in features.group_by("family").len().rows():
        assert f"{family} {count:,} of " in rows["features"]
    done, every = rows["checks passed"].split(" of ")
    assert 20 < int(done) <= int(every)
    assert rows["generation"].isdecimal()
    assert ", version " in rows["expectations"]
    assert rows["period"].endswith(" UTC")


def test_a_card_states_the_data_and_how_to_load_it_again(made: Path) -> None:
    file = Settings(home=made).training_file(PAIR)
    card = _bqx(made, "card", str(file))
    (digest,) = [line for line in card.splitlines() if line.startswith("| content digest | ")]
    assert f'load_training("eurusd", pin="{digest.split(" | ")[1].removesuffix(" |")}")' in card
    assert _bqx(made, "card", str(file).replace(".parquet", ".manifest.json")) == card
    assert "no manifest" in CliRunner().invoke(app, ["card", str(made / "none.parquet")]).output


@pytest.mark.parametrize("command", ["card", "reproduce"])
def test_a_pair_that_is_not_published_is_no_damage(made: Path, command: str) -> None:
    said = CliRunner().invoke(app, ["--home", str(made), command, "gbpusd"]).output
    assert "ObjectMissing" in said
    assert "run gbpusd" in said
    assert "Did you mean gbpusd?" in CliRunner().invoke(app, ["--home", str(made), command, "GBPUSD"]).output


def test_a_manifest_without_one_spine_or_of_no_month_is_told_as_damaged(made: Path, tmp_path: Path) -> None:
    whole = Settings(home=made).training_file(PAIR).with_suffix(".manifest.json").read_text()
    none, two, month = (json.loads(whole) for _ in range(3))
    spine = none["extraction"]["slabs"].pop(0)
    two["extraction"]["slabs"].insert(0, spine)
    month["extraction"]["slabs"][0]["pieces"][0].update(period="2024-99")
    for number, changed in enumerate((none, two, month)):
        path = tmp_path / f"{number}.manifest.json"
        path.write_text(json.dumps(changed))
        told = json.loads(_bqx(made, "reproduce", str(path), "--json", code=1))
        assert (told["error"], told["subject"]) == ("CheckpointCorrupt", "the manifest of eurusd")
