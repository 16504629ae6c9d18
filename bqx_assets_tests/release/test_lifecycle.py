"""The bucket's rules remove old staged objects, and nothing that is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bqx_assets.base.errors import PreconditionFailed, StoreError
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.staging_names import JOINS, STAGED_PREFIXES
from bqx_assets.release.lifecycle import init_store, rules
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

NAME = "training_eurusd.parquet"
BEFORE_JOINS = [each for each in STAGED_PREFIXES if each != JOINS]
"""The prefixes of earlier versions, which did not join in BigQuery."""


def test_init_sets_the_rules_and_twice_is_once(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    first = init_store(gcs_store, staging_days=7, keep_versions=3)
    assert (first.changed, first.versioning, first.uri) == (True, True, f"gs://{BUCKET}/")
    again = init_store(gcs_store, staging_days=7, keep_versions=3)
    assert not again.changed
    assert gcs.log.count()["bucket.patch"] == 1


def test_staged_objects_go_after_the_days_and_published_ones_never(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    init_store(gcs_store, staging_days=7, keep_versions=3)
    for name in (NAME, "training_eurusd.manifest.json", "staging/shared/d/a.parquet", "staging/compose/x/0"):
        gcs_store.put_bytes(name, b"1")
    bucket = gcs.buckets[BUCKET]
    assert bucket.age(6.5) == []
    assert sorted(bucket.age(1)) == ["staging/compose/x/0", "staging/shared/d/a.parquet"]
    bucket.age(2)
    assert not bucket.noncurrent  # and is charged for no longer
    assert bucket.age(10_000) == []
    assert sorted(bucket.live) == ["training_eurusd.manifest.json", NAME]


@pytest.mark.parametrize("earlier", [False, True])
def test_pieces_of_periods_that_never_change_stay_and_replaced_ones_are_not_charged_for(
    gcs_store: GcsObjectStore, gcs: GcsServer, *, earlier: bool
) -> None:
    bucket, kept = gcs.buckets[BUCKET], "staging/slabs/eurusd/agg_eurusd/2024-Q1.parquet"
    if earlier:
        bucket.patch({"lifecycle": {"rule": [_delete(age=7, matchesPrefix=BEFORE_JOINS)]}}, {})
    init_store(gcs_store, staging_days=7, keep_versions=3)
    for name in (kept, "staging/slabs/eurusd/agg_eurusd/2024-Q2.parquet"):
        gcs_store.put_bytes(name, b"1")
    gcs_store.put_bytes(name, b"2")
    assert bucket.age(1_000) == [name]  # the version that was replaced
    assert not bucket.noncurrent
    assert sorted(bucket.live) == [kept, name]


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


def _delete(**condition: object) -> dict[str, object]:
    return {"action": {"type": "Delete"}, "condition": condition}


@pytest.mark.parametrize(
    "condition",
    [{"age": 90}, {"age": 90, "matchesPrefix": ["train"]}, {"age": 1, "isLive": True}, {"age": "90"},
     {"age": 9, "matchesSuffix": [".parquet"]}, {"age": 9, "matchesSuffix": ["d.json", "usd.manifest.json"]},
     {"age": 9, "matchesPrefix": ["logs/", "companions/"]}, {"age": 9, "matchesStorageClass": ["NEARLINE", "STANDARD"]},
     {"age": 9, "matchesPrefix": ["companions/"], "matchesSuffix": [".toml"]},
     {"createdBefore": "2999-01-01"}, {"age": 9, "isLive": True, "matchesSuffix": ["_usdjpy.parquet"]}],
)  # fmt: skip
def test_a_rule_that_would_delete_published_files_is_named_and_nothing_is_changed(
    gcs_store: GcsObjectStore, gcs: GcsServer, condition: dict[str, object]
) -> None:
    gcs.buckets[BUCKET].patch({"lifecycle": {"rule": [_delete(**condition)]}}, {})
    with pytest.raises(StoreError, match="deletes published files"):
        init_store(gcs_store, staging_days=7, keep_versions=3)
    assert gcs.log.count()["bucket.patch"] == 0


@pytest.mark.parametrize(
    "condition",
    [{"daysSinceNoncurrentTime": 30}, {"numNewerVersions": 3}, {"numNewerVersions": 1, "matchesPrefix": ["training_"]},
     {"age": 30, "isLive": False}, {"noncurrentTimeBefore": "2999-01-01"},
     {"daysSinceNoncurrentTime": 1, "isLive": False},
     {"daysSinceNoncurrentTime": 9, "numNewerVersions": 2, "matchesSuffix": ["t"]}],
)  # fmt: skip
def test_a_rule_that_would_delete_kept_versions_is_named(
    gcs_store: GcsObjectStore, gcs: GcsServer, condition: dict[str, object]
) -> None:
    gcs.buckets[BUCKET].patch({"lifecycle": {"rule": [_delete(**condition)]}}, {})
    with pytest.raises(StoreError, match=r"deletes kept versions.*BQX_KEEP_VERSIONS=0 \(now 3\)"):
        init_store(gcs_store, staging_days=7, keep_versions=3)
    assert init_store(gcs_store, staging_days=7, keep_versions=0).changed


HARMLESS = [
    _delete(age=30, matchesPrefix=["logs/"]),
    _delete(age=30, matchesSuffix=[".tmp", ".csv"]),
    _delete(age=30, matchesPrefix=["training_"], matchesSuffix=[".csv"]),
    _delete(age=1, matchesPrefix=["training_eurusd.parquet.old"]),
    _delete(daysSinceCustomTime=1),
    _delete(customTimeBefore="2999-01-01"),
    _delete(age=30, matchesStorageClass=["NEARLINE", "ARCHIVE"]),
    _delete(numNewerVersions=4),
    _delete(numNewerVersions=10, daysSinceNoncurrentTime=3),
    _delete(createdBefore="2001-01-01"),
    _delete(noncurrentTimeBefore="2001-01-01"),
    {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 1}},
]


@pytest.mark.parametrize("rule", HARMLESS, ids=str)
def test_a_rule_that_can_reach_nothing_of_ours_stays_and_deletes_nothing_of_ours(
    gcs_store: GcsObjectStore, gcs: GcsServer, rule: dict[str, object]
) -> None:
    bucket = gcs.buckets[BUCKET]
    bucket.patch({"lifecycle": {"rule": [rule]}}, {})
    init_store(gcs_store, staging_days=7, keep_versions=3)
    assert rule in gcs_store.policy().rules
    for number in range(5):
        gcs_store.put_bytes(NAME, b"%d" % number)
    bucket.age(3_000)
    assert [each.data for each in bucket.listing(NAME, versions=True)] == [b"1", b"2", b"3", b"4"]


def test_a_date_that_has_passed_reaches_what_is_as_old(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    gcs_store.put_bytes(NAME, b"old")
    gcs.buckets[BUCKET].age(365 * 20)
    gcs.buckets[BUCKET].patch({"lifecycle": {"rule": [_delete(createdBefore="2010-01-01")]}}, {})
    with pytest.raises(StoreError, match="deletes published files"):
        init_store(gcs_store, staging_days=7, keep_versions=3)


def _as_google_has_it(rule: dict[str, Any]) -> dict[str, Any]:
    """Return the rule as Google returns it: lists in another order, numbers as texts, more empty fields."""
    condition = {
        name: list(reversed(value)) if isinstance(value, list) else str(value) if type(value) is int else value
        for name, value in rule["condition"].items()
    }
    return {"action": {"type": "Delete", "storageClass": ""}, "condition": condition | {"matchesSuffix": []}}


def test_our_own_rules_are_known_again_however_they_are_written(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    ours = [dict(rule) for rule in rules("", staging_days=7, keep_versions=3)]
    settings = gcs.buckets[BUCKET].settings
    settings.update(versioning={"enabled": True}, lifecycle={"rule": [_as_google_has_it(rule) for rule in ours]})
    assert not init_store(gcs_store, staging_days=7, keep_versions=3).changed
    assert init_store(gcs_store, staging_days=8, keep_versions=1).changed
    assert len(gcs_store.policy().rules) == 3


def test_what_google_makes_of_the_patch_is_no_failure(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    settings = gcs.buckets[BUCKET].settings

    def normalise() -> None:
        settings["lifecycle"] = {"rule": [_as_google_has_it(rule) for rule in settings["lifecycle"]["rule"]]}

    gcs.fail("bucket.get", "hook", skip=1, hook=normalise)
    assert init_store(gcs_store, staging_days=7, keep_versions=3).changed


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
    for name in ("staging/shared/other", "team/staging/shared/ours"):
        gcs_store.put_bytes(name, b"1")
    assert gcs.buckets[BUCKET].age(8) == ["team/staging/shared/ours"]


def test_files_of_others_under_staging_and_their_versions_outlast_any_age(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    bucket = gcs.buckets[BUCKET]
    earlier = [
        _delete(daysSinceNoncurrentTime=1, matchesPrefix=BEFORE_JOINS),  # before there were companions
        {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["staging/"]}},
        {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 1, "matchesPrefix": ["staging/"]}},
        {
            "action": {"type": "Delete"},
            "condition": {"numNewerVersions": 2, "isLive": False, "matchesPrefix": ["training_"]},
        },
    ]
    bucket.patch({"lifecycle": {"rule": earlier}}, {})  # as a version up to 0.1.0 had set them
    init_store(gcs_store, staging_days=7, keep_versions=0)
    assert len(gcs_store.policy().rules) == 3
    theirs = ["staging/notes.txt", "staging/mymodel/weights.bin", "staging/eurusd/mine.csv", "training_data.csv"]
    for name in theirs:
        for number in range(3):
            gcs_store.put_bytes(name, b"%d" % number)
    assert bucket.age(10_000) == []
    assert sorted(bucket.live) == sorted(theirs)
    assert all(len(bucket.listing(name, versions=True)) == 3 for name in theirs)


def test_a_folder_has_no_rules_of_its_own(tmp_path: Path) -> None:
    assert not init_store(LocalObjectStore(tmp_path), staging_days=7, keep_versions=3).changed
