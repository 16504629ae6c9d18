"""The dictionary is published in the same step as the file that it speaks of, and belongs to that file alone."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.errors import CheckpointCorrupt, PreconditionFailed, StoreError
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.dictionary.files import Described, Dictionary
from bqx_assets.dictionary.schema import ColumnFacts, dictionary_schema
from bqx_assets.release.publish import Published, publish
from bqx_assets.release.published import COMPANIONS, Companions, companions_of, look, published_dictionary, verify
from bqx_assets.release.retention import sweep
from bqx_assets_tests.release.training import FaultyStore, stored

EURUSD = parse_pair("eurusd")
NAME, PLAIN = "training_eurusd.parquet", "training_eurusd.columns.parquet"
FACTS = {
    "column": "agg__agg_mean_45", "kind": "feature", "subject": "pair", "pairs": "eurusd",
    "common_name": "agg__agg_mean_45",
    "table": "agg_eurusd", "source": "agg_mean_45", "path": "features.agg_eurusd", "family": "pair_specific",
    "meaning": "Mean of the close | over 45 rows.", "formula": "mean(x, 45)", "formula_of": "the simulated market",
    "unit": "1", "window": 45, "reach_rows": 45,
    "horizon": None, "warm_up_rows": 3, "type": "FLOAT64", "identifier": False,
    "rows": 7, "nulls": 3, "constant": False, "minimum": 1.0, "maximum": 2.0, "matched_rows": 7,
    "duplicate_of": "", "gap_rows": 0, "forward_looking": False,
}  # fmt: skip


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return LocalObjectStore(tmp_path / "store", keep_versions=2)
    bucket: GcsObjectStore = request.getfixturevalue("gcs_store")
    return bucket


def _publish(folder: Path, data: bytes, store: ObjectStore, *, described: bool = True) -> Published:
    file, manifest, report = stored(folder, data)
    dictionary = Dictionary(pl.DataFrame([FACTS], schema=dictionary_schema()), Described.of(manifest))
    return publish(file, manifest, report, store, progress=Silent(), dictionary=dictionary if described else None)


def test_the_object_and_the_manifest_name_the_dictionary_and_the_dictionary_the_file(
    tmp_path: Path, store: ObjectStore
) -> None:
    _publish(tmp_path, b"bytes", store)
    info = store.head(NAME)
    assert info is not None
    manifest = Manifest.model_validate_json(store.read(info.metadata["manifest"]))
    assert manifest.dictionary is not None
    assert manifest.dictionary.objects == {kind: info.metadata[kind] for kind in ("dictionary", "dictionary_page")}
    assert info.metadata["columns"] == "3"
    data = store.read(PLAIN)
    assert data == store.read(info.metadata["dictionary"])
    page = store.read("training_eurusd.columns.md")
    assert manifest.dictionary.size_bytes == len(data) + len(page)
    assert "Mean of the close \\| over 45 rows." in page.decode()
    assert manifest.dictionary.counts["features"] == 1
    found = published_dictionary(store, EURUSD)
    assert found.file == Described.of(manifest)
    assert found.of("agg__agg_mean_45") == ColumnFacts.model_validate(FACTS)
    assert look(store, EURUSD).state == "done"


def test_a_second_publication_of_the_same_bytes_writes_nothing_and_one_without_dictionary_gets_it(
    tmp_path: Path, store: ObjectStore
) -> None:
    _publish(tmp_path, b"bytes", store, described=False)
    with pytest.raises(CheckpointCorrupt, match="no dictionary"):
        published_dictionary(store, EURUSD)
    assert not _publish(tmp_path, b"bytes", store).already_there
    again = _publish(tmp_path, b"bytes", store)
    assert again.already_there
    assert _publish(tmp_path, b"bytes", store, described=False).already_there
    assert published_dictionary(store, EURUSD).frame.height == 1


@pytest.mark.parametrize("call", range(1, 40, 2))
def test_whichever_call_fails_the_dictionary_is_that_of_the_file(tmp_path: Path, call: int) -> None:
    store = LocalObjectStore(tmp_path / "store")
    _publish(tmp_path / "old", b"old bytes", store)
    try:
        _publish(tmp_path / "new", b"new and longer bytes", FaultyStore(store, call))
    except (StoreError, PreconditionFailed):
        info = store.head(NAME)
        assert info is not None
        assert published_dictionary(store, EURUSD).file.size_bytes == info.size_bytes
    _publish(tmp_path / "new", b"new and longer bytes", store)
    assert Dictionary.read(store.read(PLAIN)).file.size_bytes == len(b"new and longer bytes")


def test_a_copy_of_another_version_is_said_and_written_again(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    _publish(tmp_path, b"bytes", store)
    (tmp_path / "store" / PLAIN).write_bytes(b"another")
    found = look(store, EURUSD)
    assert (found.state, PLAIN in found.got) == ("partial", True)
    _publish(tmp_path, b"bytes", store)
    assert look(store, EURUSD).state == "done"


def test_a_damaged_dictionary_makes_the_publication_a_failed_one(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    _publish(tmp_path, b"bytes", store)
    info = store.head(NAME)
    assert info is not None
    (tmp_path / "store" / info.metadata["dictionary"]).write_bytes(b"another")
    assert look(store, EURUSD).state == "partial"  # without reading, it differs from its copy alone
    found = verify(store, EURUSD)
    assert (found.state, "no dictionary" in found.got) == ("failed", True)


def test_the_sweep_takes_dictionaries_that_no_version_names(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store", keep_versions=0)
    for number in range(3):
        _publish(tmp_path, bytes([number]), store)
    later = max(info.updated for info in store.list_objects(COMPANIONS)) + timedelta(days=30)
    sweep(store, staging_days=7, now=later)
    info = store.head(NAME)
    assert info is not None
    left = {each.name for each in store.list_objects(COMPANIONS)}
    assert left == {info.metadata[kind] for kind in ("manifest", "report", "dictionary", "dictionary_page")}


def test_a_file_that_is_no_dictionary_is_refused() -> None:
    with pytest.raises(CheckpointCorrupt, match="a dictionary"):
        Dictionary.read(b"no parquet")


def test_a_dictionary_of_a_later_format_is_refused_and_not_read_as_this_one(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    _publish(tmp_path, b"bytes", store)
    table = pq.read_table(io.BytesIO(store.read(PLAIN)))
    later = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), b"bqx.columns": b"2"}), later)
    with pytest.raises(CheckpointCorrupt, match="format 2"):
        Dictionary.read(later.getvalue())


def test_status_looks_for_the_dictionary_and_does_not_read_it(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    _publish(tmp_path, b"bytes", store)
    info = store.head(NAME)
    assert info is not None
    assert look(store, EURUSD).state == "done"
    found = companions_of(store, EURUSD, info.metadata, small=True)
    assert isinstance(found, Companions)
    assert (sorted(found.texts), [*found.unread]) == (["manifest", "report"], ["dictionary"])
    (tmp_path / "store" / PLAIN).write_bytes(b"another")
    assert "no dictionary of this version" in look(store, EURUSD).got
    (tmp_path / "store" / info.metadata["dictionary"]).unlink()
    assert look(store, EURUSD).state == "failed"
