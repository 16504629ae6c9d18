"""Sets and verifies the output bucket's lifecycle rules, for ``bqx store init``.

Staged objects but slabs are deleted after days, published objects never, and their earlier versions are kept.
``bucket_policy`` judges the rules of others and the bucket's other settings; ``retention`` removes what this package
removes itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import StoreError
from bqx_assets.base.store.protocol import STAGING, BucketPolicy, Governed, ObjectStore
from bqx_assets.base.store.staging_names import JOINS, STAGED_PREFIXES, TEMPORARY_PREFIXES
from bqx_assets.release.bucket_policy import (
    COMPANION_FOLDERS,
    PUBLISHED_PREFIXES,
    BucketFinding,
    Kept,
    LifecycleRule,
    canonical,
    classes_of,
    findings,
    harm_of,
    refuse_unfit,
)
from bqx_assets.release.published import COMPANIONS

_EARLIER_PREFIXES = (
    (STAGING,),
    ("training_",),
    tuple(each for each in STAGED_PREFIXES if each != JOINS),
    tuple(each for each in TEMPORARY_PREFIXES if each != JOINS),
)
"""Prefixes in the rules of earlier versions. Those up to 0.1.0 reached files of others too, the next no companions, and
both slabs of any age; then there were no files of joins."""
_DATED = {"createdBefore", "noncurrentTimeBefore"}


class StorePolicy(Record):
    """The rules in force in a store, verified by reading them back."""

    uri: str
    staging_days: int
    keep_versions: int
    versioning: bool
    """False for a folder: there the package itself keeps versions, and sweeps staged files after a publication."""
    soft_delete_days: float
    """Days for which Cloud Storage keeps deleted objects and charges for them, as the bucket's owner set them."""
    changed: bool
    findings: tuple[BucketFinding, ...] = ()
    """The findings about the bucket's other settings."""


def init_store(
    store: ObjectStore, *, staging_days: int, keep_versions: int, data_location: str | None = None
) -> StorePolicy:
    """Set and verify the store's rules; other rules of the bucket stay. A second call changes nothing.

    ``data_location`` is where the tables lie: reading them from another place costs money, and is reported.

    Raises:
        StoreError: the bucket refused, did not keep the rules, has a rule that would delete published files or kept
            versions, or can keep no versions at all.
        PreconditionFailed: somebody else changed the bucket meanwhile.
    """
    uri = store.uri("x")[:-1]
    if not isinstance(store, Governed):
        return StorePolicy(
            uri=uri,
            staging_days=staging_days,
            keep_versions=keep_versions,
            versioning=False,
            soft_delete_days=0,
            changed=False,
        )
    ours = rules(_prefix(uri), staging_days=staging_days, keep_versions=keep_versions)
    before = store.policy()
    refuse_unfit(uri, before)
    kept = refuse_deletion(store, before, staging_days=staging_days, keep_versions=keep_versions)
    others = others_of(before.rules, _prefix(uri))
    wanted = replace(before, rules=(*others, *ours), versioning=True)
    changed = not before.versioning or not _same(before.rules, wanted.rules)
    if changed:
        store.set_policy(wanted)
    after = store.policy()
    if not after.versioning or not _same(after.rules, wanted.rules):
        raise StoreError(
            uri,
            got=f"versioning {after.versioning}, rules {after.rules}",
            expected=f"versioning and {ours}",
            cure="Run again: bqx store init",
        )
    return StorePolicy(
        uri=uri,
        staging_days=staging_days,
        keep_versions=keep_versions,
        versioning=after.versioning,
        soft_delete_days=after.soft_delete_seconds / 86_400,
        changed=changed,
        findings=findings(uri, after, others, kept, data_location=data_location),
    )


def rules(prefix: str, *, staging_days: int, keep_versions: int) -> tuple[LifecycleRule, ...]:
    """Return the lifecycle rules of a bucket whose objects' names begin with ``prefix``.

    **Source**: cloud.google.com/storage/docs/lifecycle, 2026-11.
    """
    staging = [f"{prefix}{each}" for each in STAGED_PREFIXES]
    return (
        _delete({"age": staging_days, "matchesPrefix": [f"{prefix}{each}" for each in TEMPORARY_PREFIXES]}),
        # With versioning, a deleted object becomes noncurrent and would be charged for ever.
        _delete(
            {
                "daysSinceNoncurrentTime": 1,
                "matchesPrefix": [*staging, *(f"{prefix}{each}" for each in COMPANION_FOLDERS)],
            }
        ),
        # One more, because the live object counts as a newer version too.
        _delete(
            {
                "numNewerVersions": keep_versions + 1,
                "isLive": False,
                "matchesPrefix": [f"{prefix}{each}" for each in PUBLISHED_PREFIXES],
            }
        ),
    )


def others_of(found: Sequence[LifecycleRule], prefix: str) -> tuple[LifecycleRule, ...]:
    """Return the rules of a bucket that are not ours, neither in today's form nor in an earlier one."""
    ours = rules(prefix, staging_days=0, keep_versions=0)
    reached = [[f"{prefix}{each}" for each in prefixes] for prefixes in _EARLIER_PREFIXES]
    earlier = [
        {**rule, "condition": {**rule["condition"], "matchesPrefix": names}} for rule in ours for names in reached
    ]
    forms = [_form(rule) for rule in (*ours, *earlier)]
    return tuple(rule for rule in found if _form(rule) not in forms)


def _delete(condition: dict[str, object]) -> LifecycleRule:
    return {"action": {"type": "Delete"}, "condition": condition}


def _prefix(uri: str) -> str:
    return uri.split("/", 3)[3]


def _form(rule: LifecycleRule) -> tuple[object, ...]:
    found = canonical(rule)
    condition = found["condition"]
    return found["type"], condition.get("isLive"), sorted(condition), condition.get("matchesPrefix", [])


def _same(found: Sequence[LifecycleRule], wanted: Sequence[LifecycleRule]) -> bool:
    return len(found) == len(wanted) and has_rules(found, wanted)


def has_rules(found: Sequence[LifecycleRule], wanted: Sequence[LifecycleRule]) -> bool:
    """Return whether all the rules are among those found, however Cloud Storage writes them."""
    compared = [canonical(rule) for rule in found]
    return all(canonical(rule) in compared for rule in wanted)


def refuse_deletion(store: ObjectStore, policy: BucketPolicy, *, staging_days: int, keep_versions: int) -> Kept:
    """Return the objects that have to stay, after refusing a rule of somebody else that would delete some of them.

    Raises:
        StoreError: there is such a rule. It is named and not removed.
    """
    uri = store.uri("x")[:-1]
    others = others_of(policy.rules, _prefix(uri))
    dated = any(canonical(rule)["condition"].keys() & _DATED for rule in others)
    kept = Kept(
        prefix=_prefix(uri),
        staging_days=staging_days,
        keep_versions=keep_versions,
        classes=classes_of(policy.rules, policy.storage_class),
        oldest=_oldest(store) if dated else None,
    )
    for rule in others:
        harm = harm_of(rule, kept)
        if harm in {"published files", "kept versions"}:
            versions = f", or keep no versions: BQX_KEEP_VERSIONS=0 (now {keep_versions})"
            raise StoreError(
                uri,
                got=f"a lifecycle rule that deletes {harm}: {dict(rule.get('condition') or {})}",
                expected=f"{harm} to stay",
                cure="Let the bucket's owner limit the rule by matchesPrefix to names of others"
                f"{versions if harm == 'kept versions' else ''}, then run again: bqx store init",
            )
    return kept


def _oldest(store: ObjectStore) -> datetime | None:
    """Return the time of the oldest published object, companion or kept version. **Cost**: listings."""
    live = [info for head in ("training_", COMPANIONS) for info in store.list_objects(head)]
    versions = [old for info in live if info.name.startswith(PUBLISHED_PREFIXES) for old in store.earlier(info.name)]
    return min((info.updated for info in (*live, *versions)), default=None)
