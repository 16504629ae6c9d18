"""What a file was held against goes with it: named by the object, swapped in one step, gone when nothing names it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.catalogue.expectations import Expectations, load_expectations, parse_expectations
from bqx_assets.release.publish import Published, publish
from bqx_assets.release.published import COMPANIONS, look
from bqx_assets.release.retention import sweep
from bqx_assets_tests.release.training import training

EURUSD = parse_pair("eurusd")
NAME = "training_eurusd.parquet"


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store", keep_versions=1)


def _publish(
    folder: Path, store: LocalObjectStore, expectations: Expectations | None, data: bytes = b"bytes"
) -> Published:
    return publish(*training(folder, data), store, progress=Silent(), expectations=expectations)


def _kept(store: LocalObjectStore) -> list[str]:
    return [info.name for info in store.list_objects(COMPANIONS) if info.name.endswith(".toml")]


def test_the_object_names_its_expectations_the_manifest_their_digest(tmp_path: Path, store: LocalObjectStore) -> None:
    stated = load_expectations().model_copy(update={"version": 41, "place": "gs://settings/expectations.toml"})
    published = _publish(tmp_path, store, stated)
    name = store.stated(NAME)["expectations"]
    text = store.read(name).decode()
    manifest = Manifest.model_validate_json(store.read(store.stated(NAME)["manifest"]))
    assert manifest.expectations == published.expectations == stated.judged_by(EURUSD)
    assert manifest.expectations is not None
    assert (manifest.expectations.version, manifest.expectations.place) == (41, "gs://settings/expectations.toml")
    assert manifest.expectations.sha256 in name
    assert parse_expectations(text, stated.place) == stated
    assert store.read("training_eurusd.expectations.toml").decode() == text
    assert look(store, EURUSD).state == "done"


def test_the_same_bytes_held_against_others_are_published_again(tmp_path: Path, store: LocalObjectStore) -> None:
    first = _publish(tmp_path, store, load_expectations())
    assert _publish(tmp_path, store, load_expectations()).already_there
    other = load_expectations().model_copy(update={"min_rows": 5})
    again = _publish(tmp_path, store, other)
    assert (again.already_there, again.replaced_generation) == (False, first.generation)
    assert parse_expectations(store.read(store.stated(NAME)["expectations"]).decode(), "").min_rows == 5


def test_a_file_that_an_earlier_version_published_stays_as_it_is(tmp_path: Path, store: LocalObjectStore) -> None:
    _publish(tmp_path, store, None)
    assert "expectations" not in store.stated(NAME)
    again = _publish(tmp_path, store, load_expectations())
    assert (again.already_there, again.expectations) == (True, None)
    assert look(store, EURUSD).state == "done"


def test_a_copy_that_is_gone_is_written_again_by_a_publication_that_keeps_no_expectations(
    tmp_path: Path, store: LocalObjectStore
) -> None:
    _publish(tmp_path, store, load_expectations())
    store.delete("training_eurusd.expectations.toml")
    again = _publish(tmp_path, store, None)
    assert again.expectations is not None
    assert store.read("training_eurusd.expectations.toml") == store.read(store.stated(NAME)["expectations"])


def test_the_sweep_takes_expectations_that_no_version_names(tmp_path: Path, store: LocalObjectStore) -> None:
    for number in range(3):
        stated = load_expectations().model_copy(update={"min_rows": number + 1})
        _publish(tmp_path, store, stated, data=bytes([number]))
    before = _kept(store)
    later = max(info.updated for info in store.list_objects(COMPANIONS)) + timedelta(days=30)
    removed = sweep(store, staging_days=7, now=later).names
    assert len(before) == 3
    assert len(_kept(store)) == 2
    assert {*before} - {*_kept(store)} <= {*removed}
    assert store.stated(NAME)["expectations"] in _kept(store)


def test_a_published_file_whose_expectations_are_damaged_is_failed(tmp_path: Path, store: LocalObjectStore) -> None:
    _publish(tmp_path, store, load_expectations())
    name = store.stated(NAME)["expectations"]
    (tmp_path / "store" / name).write_text("min_rows = 1\n")
    found = look(store, EURUSD)
    assert found.state == "failed"
    assert "no expectations" in found.got
