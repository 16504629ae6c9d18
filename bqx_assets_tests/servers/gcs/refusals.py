"""Refusals in Cloud Storage's own forms, and the refusals that a bucket's state brings about.

**Source**: the status codes of the JSON API, and bodies measured on production in September 2026 (kmoneil/zig-gcp). On
the wire a hold is ``forbidden``, requester pays is ``required``: the documented words differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from bqx_assets_tests.servers.gcs.bucket import Bucket, Refused, Stored
from bqx_assets_tests.servers.gcs.requests import Answer, Request

ACCOUNT = "bqx-ml-pipeline@bqx-ml.iam.gserviceaccount.com"
_REASONS = {
    400: "invalid", 401: "authError", 403: "forbidden", 404: "notFound", 408: "uploadBrokenConnection", 409: "conflict",
    412: "conditionNotMet", 413: "uploadTooLarge", 416: "requestedRangeNotSatisfiable", 429: "rateLimitExceeded",
    500: "internalError", 502: "backendError", 503: "backendError", 504: "gatewayTimeout",
}  # fmt: skip
_DOMAINS = {"rateLimitExceeded": "usageLimits", "accessNotConfigured": "usageLimits"}
PERMISSIONS = {
    "bucket.get": "storage.buckets.get",
    "bucket.patch": "storage.buckets.update",
    "object.list": "storage.objects.list",
    "object.get": "storage.objects.get",
    "object.media": "storage.objects.get",
    "xml.get": "storage.objects.get",
    "xml.head": "storage.objects.get",
    "object.insert": "storage.objects.create",
    "object.start": "storage.objects.create",
    "object.compose": "storage.objects.create",
    "object.delete": "storage.objects.delete",
}
"""The permission that each call needs."""
_WRITES = {"object.insert", "object.start", "object.compose", "object.delete"}


def refusal(error: Refused, request: Request) -> Answer:
    """Return a refusal as Cloud Storage sends it: JSON; plain text for a download; no body for a lost session."""
    if error.status in {410, 499} and not error.reason:
        return Answer(error.status)
    if request.query.get("alt") == "media" and error.status not in {401, 403}:
        return Answer(error.status, error.message.encode(), {"Content-Type": "text/html; charset=UTF-8"})
    reason = error.reason or _REASONS.get(error.status, "invalid")
    entry = {"message": error.message, "domain": _DOMAINS.get(reason, "global"), "reason": reason}
    document = {"error": {"code": error.status, "message": error.message, "errors": [entry]}}
    return Answer(error.status, json.dumps(document).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def check_access(operation: str, bucket: Bucket | None, name: str, denied: frozenset[str]) -> None:
    """Refuse what the account may not do; overwriting an object also needs the right to delete it."""
    wanted = [PERMISSIONS.get(operation, "")]
    if operation in _WRITES and bucket is not None and name in bucket.live:
        wanted.append("storage.objects.delete")
    for permission in wanted:
        if permission in denied:
            thing = "bucket" if permission.startswith("storage.buckets") else "object"
            raise Refused(
                403,
                "forbidden",
                f"{ACCOUNT} does not have {permission} access to the Google Cloud Storage {thing}. Permission "
                f"'{permission}' denied on resource (or it may not exist).",
            )


def check_state(operation: str, bucket: Bucket, name: str, query: Mapping[str, str]) -> None:
    """Refuse what the bucket's settings do not allow: requester pays, and objects under retention or hold."""
    if bucket.settings.get("billing", {}).get("requesterPays") and "userProject" not in query:
        raise Refused(400, "required", "Bucket is requester pays bucket but no user project provided.")
    live = bucket.live.get(name) if operation in _WRITES else None
    if live is not None:
        _check_kept(bucket, live)


def _check_kept(bucket: Bucket, live: Stored) -> None:
    subject = f"Object '{bucket.name}/{live.name}'"
    kept = timedelta(seconds=int(bucket.settings.get("retentionPolicy", {}).get("retentionPeriod", 0)))
    until = live.updated + kept
    if until > datetime.now(UTC):
        raise Refused(
            403,
            "retentionPolicyNotMet",
            f"{subject} is subject to bucket's retention policy or object retention and cannot be deleted or "
            f"overwritten until {until.isoformat()}",
        )
    if live.held:
        raise Refused(
            403,
            "forbidden",
            f"{subject} is under active {live.held} hold and cannot be deleted, overwritten or archived until hold is "
            "removed.",
        )


def check_patch(bucket: Bucket, changes: Mapping[str, object]) -> None:
    """Refuse changes that a bucket with a hierarchical namespace, or with a locked retention, does not allow."""
    hierarchical = bucket.settings.get("hierarchicalNamespace", {}).get("enabled")
    versioning = changes.get("versioning")
    if hierarchical and isinstance(versioning, dict) and versioning.get("enabled"):  # pyright: ignore[reportUnknownMemberType]
        raise Refused(400, "invalid", "Object versioning cannot be enabled on a bucket with hierarchical namespace.")
    if "retentionPolicy" in changes and bucket.settings.get("retentionPolicy", {}).get("isLocked"):
        raise Refused(
            403,
            "retentionPolicyNotMet",
            f"Bucket '{bucket.name}' has a locked Retention Policy which cannot be removed.",
        )
