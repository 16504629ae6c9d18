"""Findings about a bucket's settings say what they mean and how to change them."""

from __future__ import annotations

from typing import Any

import pytest

from bqx_assets.base.errors import StoreError
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.release.bucket_policy import same_place
from bqx_assets.release.lifecycle import StorePolicy, init_store
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

USUAL = {
    "iamConfiguration": {"publicAccessPrevention": "enforced"},
    "softDeletePolicy": {"retentionDurationSeconds": "0"},
}


@pytest.fixture
def settings(gcs: GcsServer) -> dict[str, Any]:
    found = gcs.buckets[BUCKET].settings
    found.update(USUAL)
    return found


def _init(store: GcsObjectStore, place: str | None = None) -> StorePolicy:
    return init_store(store, staging_days=7, keep_versions=3, data_location=place)


def test_of_a_usual_bucket_there_is_nothing_to_tell(gcs_store: GcsObjectStore, settings: dict[str, Any]) -> None:
    assert settings
    assert _init(gcs_store, "us").findings == ()


@pytest.mark.parametrize(
    ("change", "level", "what", "cure"),
    [
        ({"retentionPolicy": {"retentionPeriod": "864000"}}, "stops", "10 days", "--clear-retention-period"),
        ({"retentionPolicy": {"retentionPeriod": "864000", "isLocked": True}}, "stops", "10 days", "another bucket"),
        ({"defaultEventBasedHold": True}, "stops", "event-based hold", "--no-default-event-based-hold"),
        ({"objectRetention": {"mode": "Enabled"}}, "note", "object retention", "no such time"),
        ({"softDeletePolicy": {"retentionDurationSeconds": "604800"}}, "costs", "7 days more", "--clear-soft-delete"),
        ({"storageClass": "NEARLINE"}, "costs", "NEARLINE", "--default-storage-class STANDARD"),
        ({"iamConfiguration": {"publicAccessPrevention": "inherited"}}, "note", "made public", "--public"),
    ],
)  # fmt: skip
def test_a_setting_is_told_with_its_cure(
    gcs_store: GcsObjectStore, settings: dict[str, Any], change: dict[str, Any], level: str, what: str, cure: str
) -> None:
    settings.update(change)
    (finding,) = _init(gcs_store).findings
    assert finding.level == level
    assert what in finding.what
    assert cure in finding.cure


def test_a_hierarchical_namespace_is_refused_before_anything_is_changed(
    gcs_store: GcsObjectStore, gcs: GcsServer, settings: dict[str, Any]
) -> None:
    settings["hierarchicalNamespace"] = {"enabled": True}
    with pytest.raises(StoreError, match="hierarchical namespace, which keeps no versions"):
        _init(gcs_store)
    assert gcs.log.count()["bucket.patch"] == 0


def test_requester_pays_is_told_by_the_refusal_itself(gcs_store: GcsObjectStore, settings: dict[str, Any]) -> None:
    settings["billing"] = {"requesterPays": True}
    with pytest.raises(StoreError, match="--no-requester-pays"):
        _init(gcs_store)


@pytest.mark.parametrize(
    ("bucket", "data", "charged"),
    [("US", "us", False), ("EU", "EU", False), ("EUROPE-WEST1", "EU", False), ("EU", "europe-west4", False),
     ("US-CENTRAL1", "US", False), ("US-CENTRAL1", "us-central1", False), ("US", "EU", True), ("EU", "US", True),
     ("EUROPE-WEST1", "europe-west4", True), ("US-EAST1", "EU", True), ("ASIA", "asia-east1", False)],
)  # fmt: skip
def test_a_bucket_elsewhere_than_the_tables_is_told_for_reading_between_is_charged(
    gcs_store: GcsObjectStore, settings: dict[str, Any], bucket: str, data: str, *, charged: bool
) -> None:
    settings["location"] = bucket
    found = _init(gcs_store, data).findings
    assert [each.level for each in found] == (["costs"] if charged else [])
    assert all(f"--location {data}" in each.cure for each in found)


@pytest.mark.parametrize(
    ("rule", "level"),
    [
        ({"action": {"type": "Delete"}, "condition": {"age": 2, "matchesPrefix": ["staging/slabs/"]}}, "stops"),
        ({"action": {"type": "Delete"}, "condition": {"age": 6, "matchesSuffix": [".lease"]}}, "stops"),
        ({"action": {"type": "SetStorageClass", "storageClass": "NEARLINE"}, "condition": {"age": 30}}, "costs"),
        ({"action": {"type": "SetStorageClass", "storageClass": "STANDARD"}, "condition": {"age": 30}}, None),
        ({"action": {"type": "Delete"}, "condition": {"age": 2, "matchesPrefix": ["staging/notes/"]}}, None),
        ({"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["staging/slabs/"]}}, "costs"),
        ({"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["staging/shared/"]}}, None),
    ],
)
def test_a_rule_of_others_that_is_felt_is_told(
    gcs_store: GcsObjectStore, settings: dict[str, Any], rule: dict[str, Any], level: str | None
) -> None:
    settings["lifecycle"] = {"rule": [rule]}
    assert [each.level for each in _init(gcs_store).findings] == ([level] if level else [])
    assert rule in gcs_store.policy().rules


def test_a_class_that_rules_move_to_can_be_deleted_by_it(gcs_store: GcsObjectStore, settings: dict[str, Any]) -> None:
    settings["lifecycle"] = {
        "rule": [
            {"action": {"type": "SetStorageClass", "storageClass": "NEARLINE"}, "condition": {"age": 30}},
            {"action": {"type": "Delete"}, "condition": {"age": 60, "matchesStorageClass": ["NEARLINE"]}},
        ]
    }
    with pytest.raises(StoreError, match="deletes published files"):
        _init(gcs_store)


@pytest.mark.parametrize(
    ("bucket", "data", "near"),
    [
        ("US", "US", True),
        ("US-CENTRAL1", "us-central1", True),
        ("US-CENTRAL1", "US", True),
        ("US", "us-east1", True),
        ("EU", "europe-west1", True),
        ("EUROPE-WEST1", "EU", True),
        ("EU", "US", False),
        ("US-CENTRAL1", "us-east1", False),
        ("EUROPE-WEST1", "US", False),
        ("ASIA", "asia-east1", True),
        ("EU", "europe-west2", False),
        ("EUROPE-WEST6", "EU", False),
        ("EU", "europe-west12", True),
        ("US", "northamerica-northeast1", False),
    ],
)
def test_a_bucket_is_near_where_reading_from_it_crosses_no_region(bucket: str, data: str, near: bool) -> None:  # noqa: FBT001
    assert same_place(bucket, data) is near
