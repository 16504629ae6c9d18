"""A published file is checked against its own expectations, wherever a copy of it is."""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.pipeline import Pipeline
from bqx_assets.release.named_file import verify_file
from bqx_assets.release.publish import publish
from bqx_assets_tests.release.training import stored

EURUSD = parse_pair("eurusd")


def _published(folder: Path, rows: int) -> Path:
    stated = load_expectations().model_copy(update={"min_rows": rows, "place": "gs://team/expectations.toml"})
    store = LocalObjectStore(folder / "out")
    publish(*stored(folder, b"bytes"), store, progress=Silent(), expectations=stated)
    return folder / "out" / "training_eurusd.parquet"


def test_a_published_file_is_held_against_what_it_was_published_with(tmp_path: Path) -> None:
    file = _published(tmp_path, 7)
    found = Pipeline(Settings(home=tmp_path / "empty")).expectations_of(str(file))
    assert found.min_rows == 7
    assert "gs://team/expectations.toml" in found.judged_by(EURUSD).sentence("eurusd")
    assert "kept with the file" in found.place


def test_named_expectations_come_before_those_of_the_file(tmp_path: Path) -> None:
    file = _published(tmp_path, 7)
    (tmp_path / "own.toml").write_text("min_rows = 3\n")
    settings = Settings(home=tmp_path / "empty", expectations=str(tmp_path / "own.toml"))
    assert Pipeline(settings).expectations_of(str(file)).min_rows == 3


def test_a_copy_with_its_companions_beside_it_is_held_against_them_unless_they_were_changed(tmp_path: Path) -> None:
    file = _published(tmp_path, 7)
    copy = tmp_path / "copy"
    copy.mkdir()
    for each in file.parent.glob("training_eurusd.*"):
        (copy / each.name).write_bytes(each.read_bytes())
    settings = Settings(home=tmp_path / "empty")
    assert Pipeline(settings).expectations_of(str(copy / file.name)).min_rows == 7
    (copy / "training_eurusd.expectations.toml").write_text("min_rows = 1\n")
    assert Pipeline(settings).expectations_of(str(copy / file.name)).place == "packaged"


def test_a_file_that_is_not_there_is_told_apart_from_one_without_a_manifest(tmp_path: Path) -> None:
    place = tmp_path / "training_eurusd.parquet"
    assert verify_file(str(place)).got == "no such file"
    place.write_bytes(b"PAR1")
    assert verify_file(str(place)).got == "no manifest beside it"
