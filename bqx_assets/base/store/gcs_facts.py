"""Translates the facts of a bucket and of an object, as Google's client loads them, into this package's own types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from bqx_assets.base.checksums import from_base64
from bqx_assets.base.store.protocol import BucketPolicy, ObjectInfo, Verified

WRITER = "bqx-writer"
"""Metadata key of the token by which a writer recognizes its own write, and this package all of its objects."""


def policy_of(bucket: Any) -> BucketPolicy:  # noqa: ANN401 -- the client is untyped
    """Return the facts of a loaded bucket. A setting that an older server does not report counts as not set."""
    facts = cast("Mapping[str, Any]", bucket._properties)  # noqa: SLF001 -- the JSON; properties do not cover all of it
    retention = _part(facts, "retentionPolicy")
    iam = _part(facts, "iamConfiguration")
    return BucketPolicy(
        rules=tuple(dict(rule) for rule in _part(facts, "lifecycle").get("rule") or ()),
        versioning=_part(facts, "versioning").get("enabled") is True,
        soft_delete_seconds=int(_part(facts, "softDeletePolicy").get("retentionDurationSeconds") or 0),
        metageneration=int(facts["metageneration"]),
        retention_seconds=int(retention.get("retentionPeriod") or 0),
        retention_locked=retention.get("isLocked") is True,
        object_retention=_part(facts, "objectRetention").get("mode") == "Enabled",
        default_hold=facts.get("defaultEventBasedHold") is True,
        requester_pays=_part(facts, "billing").get("requesterPays") is True,
        hierarchical=_part(facts, "hierarchicalNamespace").get("enabled") is True,
        public_access_prevented=iam.get("publicAccessPrevention") == "enforced",
        location=str(facts.get("location") or "").upper(),
        storage_class=str(facts.get("storageClass") or ""),
        kms_key=str(_part(facts, "encryption").get("defaultKmsKeyName") or ""),
    )


def info_of(blob: Any, prefix: str) -> ObjectInfo:  # noqa: ANN401 -- the client is untyped
    """Return the facts of a loaded object; its name is without the store's ``prefix``."""
    metadata: dict[str, str] = blob.metadata or {}
    return ObjectInfo(
        name=blob.name.removeprefix(prefix),
        size_bytes=int(blob.size),
        crc32c=from_base64(blob.crc32c),
        version=str(blob.generation),
        updated=blob.updated,
        metadata={key: value for key, value in metadata.items() if key != WRITER},
        own=WRITER in metadata,
        verified=Verified(datetime.now(UTC), "store checksum"),
    )


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = facts.get(name)
    return cast("Mapping[str, Any]", part) if isinstance(part, Mapping) else {}
