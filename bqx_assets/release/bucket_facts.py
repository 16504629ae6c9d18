"""What a bucket's settings mean for training files: what stops a run, what costs money, what to know.

Belongs here: retention, holds, who pays, namespace, places, as findings with a cure, which ``bqx store init``
and ``bqx doctor`` show alike. Does not: lifecycle rules (``bucket_rules``), setting anything (``lifecycle``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import StoreError
from bqx_assets.base.store.naming import GCS_SCHEME
from bqx_assets.base.store.protocol import BucketPolicy
from bqx_assets.release.bucket_rules import Kept, Rule, harm_of, moves_published

Level = Literal["stops", "costs", "note"]
"""``stops``: runs fail until it is changed. ``costs``: money beyond the usual. ``note``: good to know."""
About = Literal[
    "retention",
    "holds",
    "object retention",
    "requester pays",
    "soft delete",
    "place",
    "storage class",
    "public access",
    "lifecycle",
]
"""Which of a bucket's settings a finding is about."""
_DAY_SECONDS = 86_400
_WITHIN = {"US": "US-", "EU": "EUROPE-", "ASIA": "ASIA-"}
"""Multi-regions, and how the regions within begin. **Source**: cloud.google.com/storage/docs/locations, 2026-11."""
_OUTSIDE = {"EUROPE-WEST2", "EUROPE-WEST6"}
"""London and Zurich: EU has places of the European Union's member states only."""


class Finding(Record):
    """One thing about a bucket."""

    level: Level
    about: About
    what: str
    cure: str


def refuse_unfit(uri: str, policy: BucketPolicy) -> None:
    """Refuse a bucket that can never keep versions. Raises StoreError."""
    if policy.hierarchical:
        raise StoreError(
            uri,
            got="a bucket with a hierarchical namespace, which keeps no versions",
            expected="a bucket whose earlier versions stay",
            cure=f"It cannot be changed later: gcloud storage buckets create gs://NEW_BUCKET --location "
            f"{policy.location or 'LOCATION'} --uniform-bucket-level-access, and set BQX_OUTPUT to it.",
        )


def findings(
    uri: str, policy: BucketPolicy, others: Sequence[Rule], kept: Kept, *, data_location: str | None = None
) -> tuple[Finding, ...]:
    """Return what an operator should know of a bucket, what stops runs first."""
    found = [*of_settings(uri, policy, data_location=data_location), *of_rules(others, kept)]
    order: list[Level] = ["stops", "costs", "note"]
    return tuple(sorted(found, key=lambda each: order.index(each.level)))


def of_settings(uri: str, policy: BucketPolicy, *, data_location: str | None = None) -> Iterator[Finding]:
    """Yield what an operator should know of a bucket's settings other than its lifecycle rules."""
    bucket = uri.removeprefix(GCS_SCHEME).split("/", maxsplit=1)[0]
    yield from _keeping(bucket, policy)
    yield from _paying(bucket, policy, data_location)


def _keeping(bucket: str, policy: BucketPolicy) -> Iterator[Finding]:
    """Settings under which objects cannot be replaced or deleted."""
    update = f"gcloud storage buckets update gs://{bucket}"
    if policy.retention_seconds:
        days = policy.retention_seconds / _DAY_SECONDS
        cure = (
            "It is locked and stays: use another bucket for training files."
            if policy.retention_locked
            else f"Remove it: {update} --clear-retention-period"
        )
        what = f"a retention policy: no object can be replaced or deleted for {days:g} days, unfinished ones included"
        yield Finding(level="stops", about="retention", what=what, cure=cure)
    if policy.default_hold:
        what = "a default event-based hold: no new object can be replaced or deleted"
        yield Finding(
            level="stops", about="holds", what=what, cure=f"Remove it: {update} --no-default-event-based-hold"
        )
    if policy.object_retention:
        what = "object retention is enabled: an object that somebody gives a time to cannot be replaced before it"
        yield Finding(level="note", about="object retention", what=what, cure="Give training files none.")


def _paying(bucket: str, policy: BucketPolicy, data_location: str | None) -> Iterator[Finding]:
    """Who pays, what for, and who may look."""
    update = f"gcloud storage buckets update gs://{bucket}"
    if policy.requester_pays:
        what = "requester pays: every call must name a project that pays, and this program names none"
        yield Finding(
            level="stops", about="requester pays", what=what, cure=f"Switch it off: {update} --no-requester-pays"
        )
    if policy.soft_delete_seconds:
        days = policy.soft_delete_seconds / _DAY_SECONDS
        what = f"soft delete: what is deleted, all staged objects included, is charged for {days:g} days more"
        cure = f"If kept versions are enough: {update} --clear-soft-delete"
        yield Finding(level="costs", about="soft delete", what=what, cure=cure)
    if data_location and policy.location and not same_place(policy.location, data_location):
        what = f"the bucket lies in {policy.location}, the tables in {data_location.upper()}"
        cure = (
            "Reading across places is charged by the GiB: make a bucket where the tables are, gcloud storage buckets "
            f"create gs://NEW_BUCKET --location {data_location}, and run the jobs in a region within."
        )
        yield Finding(level="costs", about="place", what=what, cure=cure)
    if policy.location and policy.storage_class not in {"", "STANDARD", "MULTI_REGIONAL", "REGIONAL"}:
        what = f"new objects are {policy.storage_class}: reading is charged, and deleting before their minimum time"
        yield Finding(
            level="costs", about="storage class", what=what, cure=f"{update} --default-storage-class STANDARD"
        )
    if policy.location and not policy.public_access_prevented:
        what = "nothing prevents that the bucket is opened to everybody"
        yield Finding(level="note", about="public access", what=what, cure=f"{update} --public-access-prevention")


def of_rules(others: Sequence[Rule], kept: Kept) -> Iterator[Finding]:
    """Yield the rules of others that delete nothing that has to stay, and are felt all the same."""
    for rule in others:
        condition = dict(rule.get("condition") or {})
        if harm_of(rule, kept) == "staged objects":
            what = f"another rule deletes staged objects before their {kept.staging_days} days: {condition}"
            cure = "Let its owner limit it by matchesPrefix: a run that takes longer loses its checkpoints."
            yield Finding(level="stops", about="lifecycle", what=what, cure=cure)
        elif storage_class := moves_published(rule, kept.prefix):
            what = f"another rule moves published files to {storage_class}, where each reading is charged: {condition}"
            yield Finding(level="costs", about="lifecycle", what=what, cure="Let its owner limit it by matchesPrefix.")


def same_place(bucket: str, data: str) -> bool:
    """Return whether reading between two places is not charged: the same, or a region within the multi-region."""
    one, other = bucket.upper(), data.upper()
    return one == other or any(
        region not in _OUTSIDE and region.startswith(_WITHIN.get(whole, "-"))
        for whole, region in ((one, other), (other, one))
    )
