"""The output bucket's own rules: staged objects go after days, published ones never, their versions stay.

Belongs here: what the rules are, setting and verifying them (``bqx store init``). Does not: removals this package
makes itself (``retention``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import StoreError
from bqx_assets.base.objects.protocol import STAGING, Governed, ObjectStore
from bqx_assets.base.objects.staged import STAGED_PREFIXES
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.release.published import COMPANIONS

Rule = Mapping[str, Any]
_PUBLISHED = tuple(f"training_{pair}." for pair in ALL_PAIRS)
"""How the names of published objects begin."""
_COMPANIONS = tuple(f"{COMPANIONS}{pair}/" for pair in ALL_PAIRS)
"""And those of their manifests and reports."""
_EARLIER_PREFIXES = (STAGING, "training_")
"""What the rules of versions up to 0.1.0 reached: files of others as well."""
_ONLY_EARLIER = {"numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore"}
"""Conditions that hold for versions that were replaced or deleted, never for a live object."""


class StorePolicy(Record):
    """What holds for a store, verified by reading it back."""

    uri: str
    staging_days: int
    keep_versions: int
    versioning: bool
    """False for a folder: its versions are the store's own work, its staging is swept after a publication."""
    soft_delete_days: float
    """How long Cloud Storage itself keeps, and charges for, what was deleted. Left as the bucket's owner set it."""
    changed: bool


def init_store(store: ObjectStore, *, staging_days: int, keep_versions: int) -> StorePolicy:
    """Set and verify the store's rules; other rules of the bucket stay. Doing it twice changes nothing.

    Raises:
        StoreError: the bucket refused, did not keep the rules, or has a rule that would delete published files.
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
    others = _others(before.rules, [*ours, *_earlier(ours, _prefix(uri))])
    wanted = replace(before, rules=(*others, *ours), versioning=True)
    refuse_deletion(uri, wanted.rules)
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
    )


def rules(prefix: str, *, staging_days: int, keep_versions: int) -> tuple[Rule, ...]:
    """Return the lifecycle rules of a bucket whose objects' names begin with ``prefix``.

    **Source**: cloud.google.com/storage/docs/lifecycle, 2026-11.
    """
    staging = [f"{prefix}{each}" for each in STAGED_PREFIXES]
    published = [f"{prefix}{each}" for each in _PUBLISHED]
    return (
        _delete({"age": staging_days, "matchesPrefix": staging}),
        # Under versioning a deleted component is only noncurrent, and would be charged for ever.
        _delete(
            {"daysSinceNoncurrentTime": 1, "matchesPrefix": [*staging, *(f"{prefix}{each}" for each in _COMPANIONS)]}
        ),
        # The live one is newer than every version that is kept.
        _delete({"numNewerVersions": keep_versions + 1, "isLive": False, "matchesPrefix": published}),
    )


def _delete(condition: dict[str, object]) -> Rule:
    return {"action": {"type": "Delete"}, "condition": condition}


def _prefix(uri: str) -> str:
    return uri.split("/", 3)[3]


def _earlier(ours: Sequence[Rule], prefix: str) -> list[Rule]:
    """Our rules as they were set before: the same conditions, on names of whatever is there."""
    reached = [[f"{prefix}{each}"] for each in _EARLIER_PREFIXES]
    return [
        {**rule, "condition": {**rule["condition"], "matchesPrefix": prefixes}} for rule in ours for prefixes in reached
    ]


def _others(found: Sequence[Rule], ours: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules that are not an earlier form of ours, with other numbers."""
    forms = [_form(rule) for rule in ours]
    return tuple(rule for rule in found if _form(rule) not in forms)


def _form(rule: Rule) -> tuple[object, ...]:
    condition: Mapping[str, Any] = rule["condition"]
    return rule["action"]["type"], sorted(condition), sorted(condition.get("matchesPrefix", ()))


def _same(found: Sequence[Rule], wanted: Sequence[Rule]) -> bool:
    return len(found) == len(wanted) and all(rule in found for rule in wanted)


def refuse_deletion(uri: str, found: Sequence[Rule]) -> None:
    """Do nothing, unless a rule of somebody else's would delete published files: it is named, not removed.

    Raises:
        StoreError: there is one.
    """
    published = [f"{_prefix(uri)}{each}" for each in (*_PUBLISHED, *_COMPANIONS)]
    for rule in found:
        condition: Mapping[str, Any] = rule["condition"]
        spared = condition.keys() & _ONLY_EARLIER or condition.get("isLive") is False
        reached = any(
            name.startswith(each) or each.startswith(name)
            for name in published
            for each in condition.get("matchesPrefix", [""])
        )
        if rule["action"]["type"] == "Delete" and reached and not spared:
            raise StoreError(
                uri,
                got=f"a lifecycle rule that deletes published files: {dict(condition)}",
                expected="published files to stay",
                cure="Let the bucket's owner limit the rule by matchesPrefix, then run again: bqx store init",
            )
