"""Publication is atomic, verified and done once; simulated numbers never replace real ones."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base import files
from bqx_assets.base.artifacts import SIMULATED, Manifest
from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import (
    ChecksumMismatch,
    PreconditionFailed,
    ReplacementRefused,
    StoreError,
    ValidationFailed,
)
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import STAGING, Condition, ObjectInfo, ObjectStore
from bqx_assets.catalogue.expectations import Expectations, load_expectations, parse_expectations
from bqx_assets.extract.embedded_layout import WarehouseRecord, WarehouseSpec
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.publish import Published, publish, with_replacement_allowed
from bqx_assets.release.published import COMPANIONS, look
from bqx_assets.release.retention import sweep
from bqx_assets.sandbox.create import begin, finish
from bqx_assets_tests.release.training import FaultyStore, report, stored, training

NAME = "training_eurusd.parquet"
OLD, NEW = b"old bytes", b"new and longer bytes"


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store", keep_versions=2)


def _publish(folder: Path, data: bytes, store: ObjectStore) -> Published:
    return publish(*stored(folder, data), store, progress=Silent())


def _published_is_whole(store: LocalObjectStore, allowed: set[bytes]) -> bool:
    info = store.head(NAME)
    data = store.read(NAME)
    return info is not None and data in allowed and info.crc32c == crc32c(data)


def test_the_published_object_is_the_file_with_manifest_and_report_beside(
    tmp_path: Path, store: LocalObjectStore
) -> None:
    file, manifest, verdicts = training(tmp_path, NEW)
    published = publish(StoredFile.at(file), manifest, verdicts, store, progress=Silent())
    assert Path(published.uri).read_bytes() == NEW
    assert Manifest.model_validate_json(store.read("training_eurusd.manifest.json")) == manifest
    assert type(verdicts).model_validate_json(store.read("training_eurusd.report.json")) == verdicts
    assert (published.size_bytes, published.crc32c) == (len(NEW), crc32c(NEW))
    assert (published.replaced_generation, published.already_there) == (None, False)
    assert [info.name for info in store.list_objects(STAGING)] == []


def test_a_second_publication_replaces_the_first_and_keeps_it_as_a_version(
    tmp_path: Path, store: LocalObjectStore
) -> None:
    first = _publish(tmp_path, OLD, store)
    second = _publish(tmp_path, NEW, store)
    assert second.replaced_generation == first.generation
    assert (first.replaced_rows, second.replaced_rows) == (None, first.rows)
    assert store.read(NAME) == NEW
    assert [path.read_bytes() for path in store.versions(NAME)] == [OLD]


def test_publishing_the_same_bytes_again_says_so_and_writes_nothing(tmp_path: Path, store: LocalObjectStore) -> None:
    first = _publish(tmp_path, NEW, store)
    watched = FaultyStore(store)
    again = _publish(tmp_path, NEW, watched)
    assert again.already_there
    assert again.generation == first.generation
    assert {call.split()[0] for call in watched.calls} == {"head", "verify", "read"}


@pytest.mark.parametrize("name", ["mine.parquet", ".hidden.parquet", "two\nlines.parquet"])
def test_a_file_merged_under_another_name_gets_the_pairs_object_name(
    tmp_path: Path, store: LocalObjectStore, name: str
) -> None:
    file, manifest, verdicts = training(tmp_path, NEW, name=name)
    publish(StoredFile.at(file), manifest, verdicts, store, progress=Silent())
    assert Manifest.model_validate_json(store.read("training_eurusd.manifest.json")).file.name == NAME


@pytest.mark.parametrize(
    "change",
    [{"passed": False}, {"deep": False}, {"rows": 8}],
    ids=["failed", "looked at no value", "of another file"],
)
def test_an_unfit_report_publishes_nothing(tmp_path: Path, store: LocalObjectStore, change: dict[str, int]) -> None:
    file, manifest, _ = training(tmp_path, NEW)
    verdicts = report(file, passed=bool(change.get("passed", True)), deep=bool(change.get("deep", True)),
                      rows=change.get("rows", 7))  # fmt: skip
    with pytest.raises(ValidationFailed):
        publish(StoredFile.at(file), manifest, verdicts, store, progress=Silent())
    assert list(store.list_objects()) == []


def test_a_report_without_a_single_verdict_is_no_pass(tmp_path: Path, store: LocalObjectStore) -> None:
    file, manifest, verdicts = training(tmp_path, NEW)
    with pytest.raises(ValidationFailed):
        publish(StoredFile.at(file), manifest, verdicts.model_copy(update={"verdicts": ()}), store, progress=Silent())


@pytest.mark.parametrize("damaged", [NEW[:-1], NEW[:-1] + b"?", None], ids=["cut", "flipped", "gone"])
def test_a_file_that_is_not_its_manifests_publishes_nothing(
    tmp_path: Path, store: LocalObjectStore, damaged: bytes | None
) -> None:
    file, manifest, verdicts = training(tmp_path, NEW)
    file.unlink()
    if damaged is not None:
        file.write_bytes(damaged)
    with pytest.raises(ChecksumMismatch, match="as in its manifest"):
        publish(StoredFile.at(file), manifest, verdicts, store, progress=Silent())
    assert list(store.list_objects()) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whichever_store_call_fails_what_is_published_is_whole_and_a_rerun_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    """Lesson 15: the earlier file or the new one, never a part, whatever call fails and whether it took effect."""
    monkeypatch.setattr(files, "sync_file", str)  # 1,500 times, and no power fails here
    failed = 0
    for number in itertools.count(1):
        store = LocalObjectStore(tmp_path / f"{number}", keep_versions=2)
        _publish(tmp_path, OLD, store)
        faulty = FaultyStore(store, number, after=after)
        try:
            published = _publish(tmp_path, NEW, faulty)
        except StoreError:
            failed += 1
            assert _published_is_whole(store, {OLD, NEW}), faulty.calls
            published = _publish(tmp_path, NEW, store)
        assert store.read(NAME) == NEW
        assert Manifest.model_validate_json(store.read("training_eurusd.manifest.json")).file.crc32c == crc32c(NEW)
        assert published.crc32c == crc32c(NEW)
        if len(faulty.calls) < number:  # there is no such call: every one has failed once
            break
    assert failed > 10


def test_a_staged_copy_that_cannot_be_removed_is_reported_and_the_publication_stands(
    tmp_path: Path, store: LocalObjectStore
) -> None:
    class Ear(Silent):
        heard = ""

        def warn(self, stage: str, message: str) -> None:
            self.heard += f"{stage}: {message}"

    counted = FaultyStore(LocalObjectStore(tmp_path / "counting"))
    _publish(tmp_path, NEW, counted)
    ear = Ear()
    faulty = FaultyStore(store, len(counted.calls))
    published = publish(*stored(tmp_path, NEW), faulty, progress=ear)
    assert faulty.calls[-1].startswith("delete staging/releases/eurusd/")
    assert not published.already_there
    assert "publish: the staged copy stays for the sweep" in ear.heard


@pytest.mark.parametrize("earlier", [None, OLD], ids=["first publication", "replacing"])
def test_of_two_racing_publications_one_wins_and_the_other_says_so(
    tmp_path: Path, store: LocalObjectStore, earlier: bytes | None
) -> None:
    if earlier is not None:
        _publish(tmp_path, earlier, store)
    racing = FaultyStore(store)

    def other_run(call: str) -> None:
        if call.startswith("compose"):
            _publish(tmp_path / "other", b"the other run's bytes", store)

    racing.listener = other_run
    with pytest.raises(PreconditionFailed, match="another run published eurusd meanwhile"):
        _publish(tmp_path, NEW, racing)
    assert store.read(NAME) == b"the other run's bytes"
    found = Manifest.model_validate_json(store.read("training_eurusd.manifest.json"))
    assert found.file.crc32c == crc32c(b"the other run's bytes")


def test_bytes_the_store_got_wrong_are_never_swapped_in(tmp_path: Path, store: LocalObjectStore) -> None:
    class Flipping(FaultyStore):
        def put_file(
            self,
            name: str,
            path: Path,
            *,
            metadata: Mapping[str, str] | None = None,
            only_if: Condition | None = None,
            move: bool = False,
            crc: int | None = None,
        ) -> ObjectInfo:
            del move, crc
            return self.inner.put_bytes(name, path.read_bytes()[::-1], metadata=metadata, only_if=only_if)

    _publish(tmp_path, OLD, store)
    with pytest.raises(ChecksumMismatch, match="Publish again"):
        _publish(tmp_path, NEW, Flipping(store))
    assert store.read(NAME) == OLD


_PUBLISH_FOREVER = """
import sys
from pathlib import Path
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets_tests.release.training import training, stored
from bqx_assets.base.progress import Silent
from bqx_assets.release.publish import publish
folder = Path(sys.argv[1])
store = LocalObjectStore(folder / "store", keep_versions=1)
print("begin", flush=True)
for number in range(10_000):
    publish(*stored(folder / "file", bytes([65 + number % 2]) * 300_000), store, progress=Silent())
"""


@pytest.mark.parametrize("seconds", [0.03, 0.08, 0.15])
def test_a_publication_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path, seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PUBLISH_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        while not (tmp_path / "store" / NAME).exists():
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
    store = LocalObjectStore(tmp_path / "store", keep_versions=1)
    assert _published_is_whole(store, {b"A" * 300_000, b"B" * 300_000})
    assert _publish(tmp_path, NEW, store).crc32c == crc32c(NEW)


EURUSD = parse_pair("eurusd")


def _publish_judged(
    folder: Path, store: LocalObjectStore, expectations: Expectations | None, data: bytes = b"bytes"
) -> Published:
    return publish(*stored(folder, data), store, progress=Silent(), expectations=expectations)


def _facts(store: LocalObjectStore) -> Mapping[str, str]:
    info = store.head(NAME)
    assert info is not None
    return info.metadata


def _kept(store: LocalObjectStore) -> list[str]:
    return [info.name for info in store.list_objects(COMPANIONS) if info.name.endswith(".toml")]


def test_the_object_names_its_expectations_the_manifest_their_digest(tmp_path: Path, store: LocalObjectStore) -> None:
    stated = load_expectations().model_copy(update={"version": 41, "place": "gs://settings/expectations.toml"})
    published = _publish_judged(tmp_path, store, stated)
    name = _facts(store)["expectations"]
    text = store.read(name).decode()
    manifest = Manifest.model_validate_json(store.read(_facts(store)["manifest"]))
    assert manifest.expectations == published.expectations == stated.judged_by(EURUSD)
    assert manifest.expectations is not None
    assert (manifest.expectations.version, manifest.expectations.place) == (41, "gs://settings/expectations.toml")
    assert manifest.expectations.sha256 in name
    assert parse_expectations(text, stated.place) == stated
    assert store.read("training_eurusd.expectations.toml").decode() == text
    assert look(store, EURUSD).state == "done"


def test_the_same_bytes_held_against_others_are_published_again(tmp_path: Path, store: LocalObjectStore) -> None:
    first = _publish_judged(tmp_path, store, load_expectations())
    assert _publish_judged(tmp_path, store, load_expectations()).already_there
    other = load_expectations().model_copy(update={"min_rows": 5})
    again = _publish_judged(tmp_path, store, other)
    assert (again.already_there, again.replaced_generation) == (False, first.generation)
    assert parse_expectations(store.read(_facts(store)["expectations"]).decode(), "").min_rows == 5


def test_a_file_that_an_earlier_version_published_stays_as_it_is(tmp_path: Path, store: LocalObjectStore) -> None:
    _publish_judged(tmp_path, store, None)
    assert "expectations" not in _facts(store)
    again = _publish_judged(tmp_path, store, load_expectations())
    assert (again.already_there, again.expectations) == (True, None)
    assert look(store, EURUSD).state == "done"


def test_a_copy_that_is_gone_is_written_again_by_a_publication_that_keeps_no_expectations(
    tmp_path: Path, store: LocalObjectStore
) -> None:
    _publish_judged(tmp_path, store, load_expectations())
    store.delete("training_eurusd.expectations.toml")
    again = _publish_judged(tmp_path, store, None)
    assert again.expectations is not None
    assert store.read("training_eurusd.expectations.toml") == store.read(_facts(store)["expectations"])


def test_the_sweep_takes_expectations_that_no_version_names(tmp_path: Path, store: LocalObjectStore) -> None:
    for number in range(4):
        stated = load_expectations().model_copy(update={"min_rows": number + 1})
        _publish_judged(tmp_path, store, stated, data=bytes([number]))
    before = _kept(store)
    later = max(info.updated for info in store.list_objects(COMPANIONS)) + timedelta(days=30)
    removed = sweep(store, staging_days=7, now=later).names
    assert len(before) == 4
    assert len(_kept(store)) == 3
    assert {*before} - {*_kept(store)} <= {*removed}
    assert _facts(store)["expectations"] in _kept(store)


def test_a_published_file_whose_expectations_are_damaged_is_failed(tmp_path: Path, store: LocalObjectStore) -> None:
    _publish_judged(tmp_path, store, load_expectations())
    name = _facts(store)["expectations"]
    (tmp_path / "store" / name).write_text("min_rows = 1\n")
    found = look(store, EURUSD)
    assert found.state == "failed"
    assert "no expectations" in found.got


BIGQUERY, OTHER_PROJECT, RATES, RAW = "BigQuery project a", "BigQuery project b", "a rates file", "raw checkpoints"


def _publish_made_of(folder: Path, data: bytes, store: ObjectStore, origin: str, *, word: bool = False) -> None:
    file, manifest, report = training(folder, data)
    extraction = manifest.extraction.model_copy(update={"origin": origin})
    manifest = with_replacement_allowed(
        manifest.model_copy(update={"extraction": extraction}), Settings(replace_source=word)
    )
    publish(StoredFile.at(file), manifest, report, store, progress=Silent())


@pytest.fixture(params=["folder", "bucket"])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
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
    tmp_path: Path, either_store: ObjectStore, there: str, new: str
) -> None:
    _publish_made_of(tmp_path, b"the trainers' file", either_store, there)
    with pytest.raises(ReplacementRefused, match="--replace-source") as caught:
        _publish_made_of(tmp_path, b"another", either_store, new)
    assert (new or "unknown") in caught.value.got
    assert (there or "unknown") in caught.value.got
    assert either_store.read(NAME) == b"the trainers' file"
    assert [info.name for info in either_store.list_objects("staging/")] == []
    _publish_made_of(tmp_path, b"another", either_store, new, word=True)
    assert either_store.read(NAME) == b"another"
    assert Manifest.model_validate_json(either_store.read("training_eurusd.manifest.json")).replace_source


@pytest.mark.parametrize(
    ("there", "new"),
    [(SIMULATED, BIGQUERY), (SIMULATED, SIMULATED), (SIMULATED, RATES), (BIGQUERY, BIGQUERY), ("", BIGQUERY), ("", "")],
)
def test_the_same_source_and_simulated_numbers_are_replaced_as_ever(
    tmp_path: Path, either_store: ObjectStore, there: str, new: str
) -> None:
    _publish_made_of(tmp_path, b"before", either_store, there)
    _publish_made_of(tmp_path, b"after", either_store, new)
    assert either_store.read(NAME) == b"after"


def test_a_file_that_somebody_else_put_there_is_not_replaced_by_simulated_numbers(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / NAME).write_bytes(b"of the earlier pipeline")
    with pytest.raises(ReplacementRefused):
        _publish_made_of(tmp_path, b"made up", LocalObjectStore(tmp_path / "store"), SIMULATED)
    assert (tmp_path / "store" / NAME).read_bytes() == b"of the earlier pipeline"


@pytest.mark.parametrize(("rates", "origin"), [(None, SIMULATED), ("00ff", RATES)])
def test_a_warehouse_says_what_it_was_made_of(tmp_path: Path, rates: str | None, origin: str) -> None:
    begin(tmp_path)
    finish(tmp_path, WarehouseRecord(made=WarehouseSpec(pairs=("eurusd",), rows=300, tables=1, seed=1, rates=rates)))
    assert Pipeline(Settings(warehouse=tmp_path)).origin(EURUSD) == origin
    assert Pipeline(Settings(warehouse=tmp_path, bigquery_project="a")).origin(EURUSD) == BIGQUERY
    assert Pipeline(Settings(warehouse=tmp_path / "none")).origin(EURUSD) == "a folder of tables"
