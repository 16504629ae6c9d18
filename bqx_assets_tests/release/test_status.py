"""The state of a pair's stages follows from artefacts and real slabs, never from the mere name of a file."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord, Manifest, manifest_path
from bqx_assets.base.errors import ExtractionIncomplete
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.extract.pair import extract_pair
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.merged_file import save_report
from bqx_assets.release.publish import publish
from bqx_assets.release.status import PairStatus, pair_artifacts
from bqx_assets_tests.frames import (
    FEW_TABLES,
    FrameWarehouse,
    across_months,
    few_tables_expectations,
    frame_job,
    frame_warehouse,
)
from bqx_assets_tests.merge.slabs import as_earlier_manifest, as_earlier_version
from bqx_assets_tests.release.training import report, training

EURUSD = parse_pair("eurusd")


class Home:
    """A home folder with one pair's work in it."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(home=root)
        self.folder = self.settings.checkpoint_dir / "eurusd"
        self.file = self.settings.training_file(EURUSD)
        self.store = LocalObjectStore(self.settings.output_dir)
        self.warehouse = across_months(frame_warehouse())

    def status(self) -> PairStatus:
        door = Pipeline(self.settings)
        return pair_artifacts(
            EURUSD, door.slabs(EURUSD), door.merged(EURUSD), few_tables_expectations(), self.store
        ).status

    def extract(self, warehouse: FrameWarehouse | None = None) -> ExtractionRecord:
        return extract_pair(frame_job(self.folder, warehouse or self.warehouse, period="month"))

    def merge(self, record: ExtractionRecord, data: bytes = b"a training file") -> Manifest:
        _, manifest, _ = training(self.file.parent, data, slabs=record.slabs)
        manifest.save(manifest_path(self.file))
        return manifest

    def states(self) -> tuple[str, str, str, str, str]:
        found = self.status()
        return found.spine, found.slabs, found.merged, found.validated, found.published


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_pair_nobody_began_has_no_stage(home: Home) -> None:
    found = home.status()
    assert home.states() == ("none", "none", "none", "none", "none")
    assert (found.slabs_done, found.slabs_expected) == (0, len(FEW_TABLES))
    assert (found.rows, found.uri) == (None, None)


def test_each_stage_is_done_once_its_artefact_is_there(home: Home) -> None:
    record = home.extract()
    assert home.states() == ("done", "done", "none", "none", "none")
    manifest = home.merge(record)
    assert home.states() == ("done", "done", "done", "none", "none")
    save_report(StoredFile.at(home.file), manifest, report(home.file))
    assert home.states() == ("done", "done", "done", "done", "none")
    published = publish(StoredFile.at(home.file), manifest, report(home.file), home.store, progress=Silent())
    assert home.states() == ("done", "done", "done", "done", "done")
    assert home.status().uri == published.uri


def test_a_killed_extraction_counts_the_slabs_it_finished(home: Home) -> None:
    home.extract()
    (home.folder / EXTRACTION_FILE).unlink()
    (home.folder / "mkt_vol.slab.json").unlink()
    found = home.status()
    assert (found.slabs, found.slabs_done) == ("partial", len(FEW_TABLES) - 1)


def test_an_extraction_killed_amid_the_pieces_of_a_slab_has_not_finished_it(home: Home) -> None:
    home.warehouse.faults["mkt_vol"] = [None, OSError(28, "No space left on device")]
    with pytest.raises(ExtractionIncomplete):
        home.extract()
    (home.folder / EXTRACTION_FILE).unlink()
    assert [path.name for path in (home.folder / "mkt_vol").iterdir()] == ["2024-01.parquet"]
    found = home.status()
    assert (found.slabs, found.slabs_done) == ("partial", len(FEW_TABLES) - 1)


def test_the_slabs_and_the_manifest_of_an_earlier_version_are_done(home: Home) -> None:
    home.extract()
    as_earlier_version(home.folder)
    assert home.states() == ("done", "done", "none", "none", "none")
    home.merge(ExtractionRecord.load(home.folder / EXTRACTION_FILE))
    as_earlier_manifest(manifest_path(home.file))
    assert home.states() == ("done", "done", "done", "none", "none")
    (home.folder / "mkt_vol.parquet").unlink()
    assert (home.status().slabs, home.status().slabs_done) == ("partial", len(FEW_TABLES) - 1)


def test_files_without_records_count_for_nothing(home: Home) -> None:
    """Lesson 7: "done" came from counting files, with parquet files of any origin and content."""
    home.folder.mkdir(parents=True)
    for table in ("targets_eurusd", *FEW_TABLES):
        (home.folder / f"{table}.parquet").write_bytes(b"PAR1")
    home.file.parent.mkdir(parents=True)
    home.file.write_bytes(b"PAR1")
    assert home.states() == ("none", "none", "none", "none", "none")


def test_failed_tables_are_named_until_they_are_mended(home: Home) -> None:
    home.warehouse.faults["tmp_eurusd"] = [OSError(28, "No space left on device")]
    with pytest.raises(ExtractionIncomplete):
        home.extract()
    found = home.status()
    assert (found.slabs, found.failed_tables, found.slabs_done) == ("partial", ("tmp_eurusd",), len(FEW_TABLES) - 1)
    assert "No space left on device" in found.failed_why
    home.extract()
    assert (home.status().failed_tables, home.status().failed_why) == ((), "")


@pytest.mark.parametrize("period", ["2024-01", "2024-02"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_slab_with_a_piece_cut_short_or_gone_is_not_done(home: Home, period: str, *, gone: bool) -> None:
    home.extract()
    assert home.status().slabs == "done"
    piece = home.folder / "mkt_vol" / f"{period}.parquet"
    piece.write_bytes(piece.read_bytes()[:-9])
    if gone:
        piece.unlink()
    assert (home.status().slabs, home.status().slabs_done) == ("partial", len(FEW_TABLES) - 1)


def test_a_merged_file_is_stale_once_a_slab_is_another(home: Home) -> None:
    home.merge(home.extract())
    other = frame_warehouse(rows=150)
    other.revised = {table: other.modified + timedelta(hours=1) for table in ("targets_eurusd", *FEW_TABLES)}
    home.extract(other)
    assert home.status().merged == "stale"


def test_a_published_file_is_stale_once_another_was_merged(home: Home) -> None:
    record = home.extract()
    publish(StoredFile.at(home.file), home.merge(record), report(home.file), home.store, progress=Silent())
    home.merge(record, b"a later training file")
    assert home.states()[2:] == ("done", "none", "stale")


def test_a_report_on_other_bytes_validates_nothing(home: Home) -> None:
    record = home.extract()
    save_report(StoredFile.at(home.file), home.merge(record), report(home.file))
    home.merge(record, b"other bytes, same file")
    assert home.status().validated == "none"


def test_a_merged_file_of_another_pair_is_none_of_this_one(home: Home) -> None:
    manifest = home.merge(home.extract())
    manifest.model_copy(update={"pair": "gbpusd"}).save(manifest_path(home.file))
    assert home.status().merged == "none"


def test_a_failed_report_is_shown_as_failed(home: Home) -> None:
    manifest = home.merge(home.extract())
    save_report(StoredFile.at(home.file), manifest, report(home.file, passed=False))
    assert home.status().validated == "failed"


def test_a_published_object_that_is_not_its_manifests_is_shown_as_failed(home: Home) -> None:
    publish(StoredFile.at(home.file), home.merge(home.extract()), report(home.file), home.store, progress=Silent())
    home.store.local_path("training_eurusd.parquet").write_bytes(b"something else")
    assert home.status().published == "failed"
    assert home.status().uri is None


def test_cleaned_checkpoints_leave_the_published_file_done(home: Home) -> None:
    publish(StoredFile.at(home.file), home.merge(home.extract()), report(home.file), home.store, progress=Silent())
    shutil.rmtree(home.folder)
    assert home.states()[2:] == ("done", "none", "done")


def test_what_cannot_be_read_of_a_pair_is_its_problem_in_words(home: Home) -> None:
    home.extract()
    record = home.folder / EXTRACTION_FILE
    facts = json.loads(record.read_bytes()) | {"format_version": 99}
    record.write_text(json.dumps(facts))
    found = home.status()
    assert "format version 99" in found.problem
    assert (found.spine, found.published) == ("none", "none")
    assert [each.problem != "" for each in Pipeline(home.settings).status()].count(True) == 1
