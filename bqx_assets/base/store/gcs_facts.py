"""Translates facts of buckets and objects, as Google's client loads them, and its requests, as Google bills them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from bqx_assets.base.checksums import from_base64
from bqx_assets.base.store.protocol import BucketPolicy, ObjectInfo, Verified
from bqx_assets.base.usage import Usage, count

WRITER = "bqx-writer"
"""Metadata key of the token by which a writer recognizes its own write, and this package all of its objects."""
_LISTING = re.compile(r"/b/[^/]+/o/?|/b/?")
_CLASS_A, _CLASS_B, _FREE = Usage(class_a=1), Usage(class_b=1), Usage()
"""What a request is billed as. **Source**: cloud.google.com/storage/pricing, "Operation charges", JSON API."""
_FIRST_REFUSAL = 400
"""Answers from this status on are free. **Source**: the same page; not read again, as it could not be opened."""


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


class CountingAdapter(HTTPAdapter):
    """Sends requests, and counts those that Google bills: refused ones are free, and repeated ones count each time."""

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:  # noqa: ANN401 -- the base's
        """Send a request as the base does, then count it."""
        response = super().send(request, *args, **options)
        if response.status_code < _FIRST_REFUSAL:
            count(operation(request.method or "", request.url or ""))
        return response


def operation(method: str, url: str) -> Usage:
    """Return what a request is billed as.

    Writing, composing, listing and the start of a resumable upload are of class A, reading of an object or of its facts
    is of class B; deleting, and sending the bytes of an upload that was started, are free.
    """
    if method in {"DELETE", "PUT"}:
        return _FREE
    if method == "GET":
        _, _, path = urlsplit(url).path.partition("/v1")
        return _CLASS_A if _LISTING.fullmatch(path) else _CLASS_B
    return _CLASS_A
