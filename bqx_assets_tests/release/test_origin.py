"""Made-up numbers never take the place of real ones, unless somebody says so; and the word is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.artifacts import SIMULATED, Manifest
from bqx_assets.base.errors import ReplacementRefused
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.extract.connect import origin_of
from bqx_assets.extract.embedded_layout import Folder, Made, begin, finish
from bqx_assets.release.origin import with_the_word
from bqx_assets.release.publish import publish
from bqx_assets_tests.release.training import training

NAME = "training_eurusd.parquet"
BIGQUERY, OTHER_PROJECT, RATES, RAW = "BigQuery project a", "BigQuery project b", "a rates file", "raw checkpoints"


def _publish(folder: Path, data: bytes, store: ObjectStore, origin: str, *, word: bool = False) -> None:
    file, manifest, report = training(folder, data)
    extraction = manifest.extraction.model_copy(update={"origin": origin})
    manifest = with_the_word(manifest.model_copy(update={"extraction": extraction}), Settings(replace_source=word))
    publish(file, manifest, report, store, progress=Silent())


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "bucket":
        return request.getfixturevalue("gcs_store")
    return LocalObjectStore(tmp_path / "store")


@pytest.mark.parametrize(
    ("there", "new"),
    [
        (BIGQUERY, SIMULATED),
        (RATES, SIMULATED),
        (RAW, SIMULATED),
        ("", SIMULATED),
        (BIGQUERY, RATES),
        (BIGQUERY, OTHER_PROJECT),
        (BIGQUERY, ""),
        (RATES, RAW),
    ],
)
def test_a_file_of_another_source_is_not_replaced_without_the_word(
    tmp_path: Path, store: ObjectStore, there: str, new: str
) -> None:
    _publish(tmp_path, b"the trainers' file", store, there)
    with pytest.raises(ReplacementRefused, match="--replace-source") as caught:
        _publish(tmp_path, b"another", store, new)
    assert (new or "unknown") in caught.value.got
    assert (there or "unknown") in caught.value.got
    assert store.read(NAME) == b"the trainers' file"
    assert [info.name for info in store.list_objects("staging/")] == []
    _publish(tmp_path, b"another", store, new, word=True)
    assert store.read(NAME) == b"another"
    assert Manifest.model_validate_json(store.read("training_eurusd.manifest.json")).replace_source


@pytest.mark.parametrize(
    ("there", "new"),
    [(SIMULATED, BIGQUERY), (SIMULATED, SIMULATED), (SIMULATED, RATES), (BIGQUERY, BIGQUERY), ("", BIGQUERY), ("", "")],
)
def test_the_same_source_and_simulated_numbers_are_replaced_as_ever(
    tmp_path: Path, store: ObjectStore, there: str, new: str
) -> None:
    _publish(tmp_path, b"before", store, there)
    _publish(tmp_path, b"after", store, new)
    assert store.read(NAME) == b"after"


def test_a_file_that_somebody_else_put_there_is_not_replaced_by_simulated_numbers(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / NAME).write_bytes(b"of the earlier pipeline")
    with pytest.raises(ReplacementRefused):
        _publish(tmp_path, b"made up", LocalObjectStore(tmp_path / "store"), SIMULATED)
    assert (tmp_path / "store" / NAME).read_bytes() == b"of the earlier pipeline"


@pytest.mark.parametrize(("rates", "origin"), [(None, SIMULATED), ("00ff", RATES)])
def test_a_warehouse_says_what_it_was_made_of(tmp_path: Path, rates: str | None, origin: str) -> None:
    begin(tmp_path)
    finish(tmp_path, Folder(made=Made(pairs=("eurusd",), rows=300, tables=1, seed=1, rates=rates)))
    assert origin_of(Settings(warehouse=tmp_path)) == origin
    assert origin_of(Settings(warehouse=tmp_path, bigquery_project="a")) == BIGQUERY
    assert origin_of(Settings(warehouse=tmp_path / "none")) == "a folder of tables"
