"""The verdict on a published object compares the facts of the store with those of its manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.publish import publish
from bqx_assets.release.published import intact
from bqx_assets_tests.release.training import training

EURUSD = parse_pair("eurusd")
NAME, MANIFEST = "training_eurusd.parquet", "training_eurusd.manifest.json"


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    store = LocalObjectStore(tmp_path / "bucket")
    file, manifest, report = training(tmp_path / "training", b"PAR1 values PAR1")
    publish(StoredFile.at(file), manifest, report, store, progress=Silent())
    return store


def test_a_published_object_is_what_its_manifest_says(store: LocalObjectStore) -> None:
    assert intact(store, EURUSD).passed


@pytest.mark.parametrize("other", [b"PAR1 vAlues PAR1", b"PAR1"])
def test_another_object_under_its_name_is_found(store: LocalObjectStore, other: bytes) -> None:
    store.put_bytes(NAME, other)
    verdict = intact(store, EURUSD)
    assert not verdict.passed
    assert "crc32c" in verdict.got
    assert verdict.cure


def test_a_missing_object_or_manifest_is_found(store: LocalObjectStore) -> None:
    store.put_bytes(MANIFEST, b"{}")
    assert intact(store, EURUSD).got.startswith("no manifest")
    store.delete(MANIFEST)
    assert intact(store, EURUSD).got.startswith("no manifest")
    store.delete(NAME)
    assert intact(store, EURUSD).got == "no such object"
