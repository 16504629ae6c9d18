"""The bucket's rules remove what is staged and old, and nothing that is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.errors import PreconditionFailed, StoreError
from bqx_assets.base.objects.gcs import GcsObjectStore
from bqx_assets.base.objects.local import LocalObjectStore
from bqx_assets.release.lifecycle import init_store
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

NAME = "training_eurusd.parquet"


def test_init_sets_the_rules_and_twice_is_once(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    first = init_store(gcs_store, staging_days=7, keep_versions=3)
    assert (first.changed, first.versioning, first.uri) == (True, True, f"gs://{BUCKET}/")
    again = init_store(gcs_store, staging_days=7, keep_versions=3)
    assert not again.changed
    assert gcs.log.count()["bucket.patch"] == 1


def test_staged_objects_go_after_the_days_and_published_ones_never(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    init_store(gcs_store, staging_days=7, keep_versions=3)
    for name in (NAME, "training_eurusd.manifest.json", "staging/slabs/eurusd/a.parquet", "staging/compose/x/0"):
        gcs_store.put_bytes(name, b"1")
    bucket = gcs.buckets[BUCKET]
    assert bucket.age(6.5) == []
    assert sorted(bucket.age(1)) == ["staging/compose/x/0", "staging/slabs/eurusd/a.parquet"]
    bucket.age(2)
    assert not bucket.noncurrent  # and is charged for no longer
    assert bucket.age(10_000) == []
    assert sorted(bucket.live) == ["training_eurusd.manifest.json", NAME]


def test_companions_stay_however_old_and_a_deleted_one_is_not_charged_for(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    init_store(gcs_store, staging_days=7, keep_versions=3)
    for name in ("companions/eurusd/a.manifest.json", "companions/eurusd/b.manifest.json"):
        gcs_store.put_bytes(name, b"{}")
    gcs_store.delete("companions/eurusd/a.manifest.json")
    bucket = gcs.buckets[BUCKET]
    bucket.age(1_000)
    assert not bucket.noncurrent
    assert list(bucket.live) == ["companions/eurusd/b.manifest.json"]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_so_many_earlier_versions_stay_and_outlast_any_age(
    gcs_store: GcsObjectStore, gcs: GcsServer, keep: int
) -> None:
    init_store(gcs_store, staging_days=7, keep_versions=keep)
    for number in range(6):
        gcs_store.put_bytes(NAME, b"%d" % number)
    bucket = gcs.buckets[BUCKET]
    bucket.age(400)
    kept = [each.data for each in bucket.listing(NAME, versions=True)]
    assert kept == [b"%d" % number for number in range(5 - keep, 6)]


def test_other_rules_stay_and_earlier_numbers_of_ours_are_replaced(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    other = {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["logs/"]}}
    gcs.buckets[BUCKET].patch({"lifecycle": {"rule": [other]}}, {})
    init_store(gcs_store, staging_days=14, keep_versions=1)
    init_store(gcs_store, staging_days=7, keep_versions=3)
    rules = gcs_store.policy().rules
    assert other in rules
    assert len(rules) == 4
    assert sorted(rule["condition"].get("age", 0) for rule in rules) == [0, 0, 7, 30]


@pytest.mark.parametrize(
    "condition", [{"age": 90}, {"age": 90, "matchesPrefix": ["train"]}, {"age": 1, "isLive": True}]
)
def test_a_rule_that_would_delete_published_files_is_named_and_nothing_is_changed(
    gcs_store: GcsObjectStore, gcs: GcsServer, condition: dict[str, object]
) -> None:
    gcs.buckets[BUCKET].patch({"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": condition}]}}, {})
    with pytest.raises(StoreError, match="deletes published files"):
        init_store(gcs_store, staging_days=7, keep_versions=3)
    assert gcs.log.count()["bucket.patch"] == 0


def test_a_bucket_changed_meanwhile_is_not_overwritten(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    gcs.fail("bucket.patch", "hook", hook=lambda: gcs.buckets[BUCKET].patch({"labels": {"x": "1"}}, {}))
    with pytest.raises(PreconditionFailed):
        init_store(gcs_store, staging_days=7, keep_versions=3)


def test_rules_that_did_not_stay_are_an_error(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    settings = gcs.buckets[BUCKET].settings
    gcs.fail("bucket.get", "hook", skip=1, hook=lambda: settings.update(versioning={"enabled": False}))
    with pytest.raises(StoreError, match="bqx store init"):
        init_store(gcs_store, staging_days=7, keep_versions=3)


def test_a_prefix_keeps_the_rules_to_itself(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    inner = GcsObjectStore(BUCKET, "team/", client=gcs_store.client)
    init_store(inner, staging_days=7, keep_versions=3)
    for name in ("staging/slabs/other", "team/staging/slabs/ours"):
        gcs_store.put_bytes(name, b"1")
    assert gcs.buckets[BUCKET].age(8) == ["team/staging/slabs/ours"]


def test_files_of_others_under_staging_and_their_versions_outlast_any_age(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    bucket = gcs.buckets[BUCKET]
    earlier = [
        {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["staging/"]}},
        {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 1, "matchesPrefix": ["staging/"]}},
        {
            "action": {"type": "Delete"},
            "condition": {"numNewerVersions": 2, "isLive": False, "matchesPrefix": ["training_"]},
        },
    ]
    bucket.patch({"lifecycle": {"rule": earlier}}, {})  # as a version up to 0.1.0 had set them
    init_store(gcs_store, staging_days=7, keep_versions=0)
    theirs = ["staging/notes.txt", "staging/mymodel/weights.bin", "staging/eurusd/mine.csv", "training_data.csv"]
    for name in theirs:
        for number in range(3):
            gcs_store.put_bytes(name, b"%d" % number)
    assert bucket.age(10_000) == []
    assert sorted(bucket.live) == sorted(theirs)
    assert all(len(bucket.listing(name, versions=True)) == 3 for name in theirs)


def test_a_folder_has_no_rules_of_its_own(tmp_path: Path) -> None:
    assert not init_store(LocalObjectStore(tmp_path), staging_days=7, keep_versions=3).changed
