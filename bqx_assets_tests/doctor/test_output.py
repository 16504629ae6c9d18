"""Tests the probes of an output folder and of a bucket's settings; ``cloud/test_stranger.py`` calls a bucket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bqx_assets.base.errors import StoreError
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import BucketPolicy
from bqx_assets.doctor.case import Case, Line, Probe
from bqx_assets.doctor.examine import examine
from bqx_assets.doctor.output import output_probes
from bqx_assets.release.bucket_policy import of_settings, refuse_unfit
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer


def _folder(output: Path) -> Line:
    case = Case(Settings(output=str(output)), EURUSD)
    (line,) = examine(case, tuple(output_probes(case))).lines
    return line


def test_a_folder_that_is_there_is_written_to_and_nothing_stays(tmp_path: Path) -> None:
    assert _folder(tmp_path).state == "passed"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_will_be_made_is_not_made_now(tmp_path: Path) -> None:
    assert _folder(tmp_path / "a" / "b").found.endswith("will be made")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no file system here that takes no files")
def test_a_folder_is_tried_and_not_believed_by_its_permissions() -> None:
    """The permissions of /proc let root write, but no file can be made there."""
    line = _folder(Path("/proc/bqx/output"))
    assert (line.state, "/proc takes no files" in line.found) == ("missing", True)
    assert "BQX_OUTPUT" in line.cure


@pytest.mark.parametrize("below", ["file", "file/a"])
def test_a_file_in_the_place_of_the_folder_or_above_it_is_a_lack(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    assert _folder(tmp_path / below).state == "missing"


USUAL = BucketPolicy(rules=(), versioning=True, soft_delete_seconds=0, metageneration=1)
SETTINGS = {
    "retention": (replace(USUAL, retention_seconds=864_000), "missing", "--clear-retention-period"),
    "holds": (replace(USUAL, default_hold=True), "missing", "--no-default-event-based-hold"),
    "requester pays": (replace(USUAL, requester_pays=True), "missing", "--no-requester-pays"),
    "namespace": (replace(USUAL, hierarchical=True), "missing", "gcloud storage buckets create"),
    "soft delete": (replace(USUAL, soft_delete_seconds=604_800), "note", "--clear-soft-delete"),
}


def _looked_at(policy: BucketPolicy, name: str) -> Line:
    """Return the line of one setting of a bucket with this policy."""
    case = Case(Settings(output="gs://bqx-ml-output"), EURUSD)
    case.bucket, case.store = policy, case.pipeline.store
    probe = next(probe for probe in output_probes(case) if probe.name == name)
    (line,) = examine(case, (Probe(probe.theme, name, probe.look, service=probe.service),)).lines
    return line


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket is opened as that of a local server, and none of these tests calls it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_weighs_as_much_as_bqx_store_init_says(name: str) -> None:
    policy, state, cure = SETTINGS[name]
    line = _looked_at(policy, name)
    assert (line.state, cure in line.cure) == (state, True)
    assert _looked_at(USUAL, name).state == "passed"
    if policy.hierarchical:
        with pytest.raises(StoreError) as refused:
            refuse_unfit("gs://bqx-ml-output", policy)
        assert line.cure == refused.value.cure
    else:
        (fact,) = (each for each in of_settings("gs://bqx-ml-output", policy) if each.about == name)
        assert (line.found, line.cure) == (fact.what, fact.cure)
        assert (fact.level == "stops") == (state == "missing")


def test_each_foreign_rule_that_deletes_staged_objects_is_named() -> None:
    reach = {"matchesPrefix": ["staging/"], "matchesStorageClass": ["STANDARD"]}
    rules = tuple({"action": {"type": "Delete"}, "condition": {"age": days, **reach}} for days in (1, 2))
    line = _looked_at(replace(USUAL, rules=rules), "lifecycle")
    assert (line.state, line.reason) == ("missing", "lifecycle")
    assert [f"'age': {days}" in line.found for days in (1, 2)] == [True, True]


def test_a_bucket_far_from_the_tables_is_noted_as_bqx_store_init_says(gcs: GcsServer) -> None:
    assert gcs.buckets
    case = Case(Settings(output=f"gs://{BUCKET}"), EURUSD, location="EU")
    case.store = case.pipeline.store
    probes = [replace(each, needs=()) for each in output_probes(case) if each.name == "bucket settings"]
    (line,) = examine(case, probes).lines
    (fact,) = (each for each in of_settings(f"gs://{BUCKET}", case.bucket, data_location="EU") if each.about == "place")
    assert (line.state, line.cure, fact.what in line.found) == ("note", fact.cure, True)
