"""A kept report is found only for exactly the bytes that it was made of, beside a file or an object."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.errors import StoreError, ValidationFailed
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.dictionary.files import Described
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.merged_file import (
    MergedFile,
    made_here,
    publish_checked,
    remember,
    report_for,
    save_report,
)
from bqx_assets.release.publish import refuse_report
from bqx_assets.release.published import published_dictionary
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.quality.training import good
from bqx_assets_tests.release.training import training
from bqx_assets_tests.servers.gcs.server import GcsServer

NAME = f"{STAGING}training/eurusd/training_eurusd.parquet"


def test_a_report_on_a_file_is_tied_to_its_bytes(tmp_path: Path) -> None:
    file, manifest, report = training(tmp_path, b"bytes")
    assert report_for(StoredFile.at(file), manifest) is None
    save_report(StoredFile.at(file), manifest, report)
    assert report_for(StoredFile.at(file), manifest) == report
    assert report_for(StoredFile.at(file), training(tmp_path / "other", b"BYTES")[1]) is None


def test_a_report_that_was_asked_of_another_pair_does_not_take_the_place_of_the_files_own(tmp_path: Path) -> None:
    file, manifest, report = training(tmp_path, b"bytes")
    save_report(StoredFile.at(file), manifest, report)
    other = report.model_copy(update={"pair": "gbpusd"})
    save_report(StoredFile.at(file), manifest, other)
    assert report_for(StoredFile.at(file), manifest) == report
    with pytest.raises(ValidationFailed, match="bqx publish eurusd --file"):
        refuse_report(StoredFile.at(file), manifest, other)


def test_a_report_on_an_object_is_tied_to_its_bytes(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    _, manifest, report = training(tmp_path, b"bytes")
    assert report_for(StoredFile(gcs_store, NAME), manifest) is None
    save_report(StoredFile(gcs_store, NAME), manifest, report)
    assert report_for(StoredFile(gcs_store, NAME), manifest) == report
    assert report_for(StoredFile(gcs_store, NAME), training(tmp_path, b"BYTES")[1]) is None
    beside = [info.name for info in gcs_store.list_objects(STAGING)]
    assert beside == [NAME.replace(".parquet", ".report.json")]


def test_a_store_that_fails_is_not_taken_for_one_without_a_report(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path
) -> None:
    gcs.fail("object.media", status=403)
    with pytest.raises(StoreError, match="HTTP 403"):
        report_for(StoredFile(gcs_store, NAME), training(tmp_path, b"bytes")[1])


def test_only_a_report_made_in_this_process_on_these_bytes_and_this_manifest_is_gone_by(tmp_path: Path) -> None:
    file, manifest, report = training(tmp_path, b"bytes")
    save_report(StoredFile.at(file), manifest, report)
    assert made_here(str(file), "state", manifest) is None
    remember(str(file), "state", manifest, report)
    assert made_here(str(file), "state", manifest) == report
    assert made_here(str(file), "another state", manifest) is None
    assert made_here(str(file), "state", manifest.model_copy(update={"engine": "join"})) is None
    assert made_here(str(tmp_path / "other.parquet"), "state", manifest) is None


def test_a_file_gets_its_dictionary_though_another_one_was_validated_meanwhile(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    made = [good(tmp_path / name) for name in ("one", "other")]
    files = [MergedFile(StoredFile.at(each.file), EURUSD) for each in made]
    for file, each in zip(files, made, strict=True):
        assert file.validate(file.manifest(), each.expectations, Silent()).passed
    publish_checked(files[0], files[0].manifest(), Settings(), made[0].expectations, store, Silent())
    found = published_dictionary(store, EURUSD)
    assert found.frame["column"].to_list() == made[0].frame().columns
    assert found.file == Described.of(files[0].manifest())
