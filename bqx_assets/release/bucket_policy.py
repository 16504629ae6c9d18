"""Judges a bucket's settings and lifecycle rules: those that stop runs, cost money, or delete objects to be kept.

``bqx store init`` and ``bqx doctor`` show the same findings. Setting the package's own rules is ``lifecycle``'s work.

**Source**: cloud.google.com/storage/docs/lifecycle, 2026-11: all conditions of a rule must hold; a rule matches a name
that begins with any of ``matchesPrefix`` and ends with any of ``matchesSuffix``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import StoreError
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.store.naming import bucket_and_prefix
from bqx_assets.base.store.protocol import BucketPolicy
from bqx_assets.base.store.staging_names import SLABS, STAGED_PREFIXES
from bqx_assets.release.published import COMPANION_SUFFIXES, COMPANIONS

LifecycleRule = Mapping[str, Any]
Harm = Literal["published files", "kept versions", "staged objects", "slabs"]
"""The objects that a rule of somebody else can delete, the worst case first."""

PUBLISHED_PREFIXES = tuple(f"training_{pair}." for pair in ALL_PAIRS)
"""The beginnings of the names of published objects."""
COMPANION_FOLDERS = tuple(f"{COMPANIONS}{pair}/" for pair in ALL_PAIRS)
"""The beginnings of the names of their companions: manifests, reports and expectations."""
_COMPANION_ENDS = tuple(COMPANION_SUFFIXES.values())
_PUBLISHED_ENDS = ("parquet", *(end.removeprefix(".") for end in _COMPANION_ENDS))
_STAGED_ENDS = (".parquet", ".json", ".lease")
_DIGITS = frozenset("0123456789abcdef")
"""Digits of the hexadecimal numbers at the end of the names of other staged objects."""
_NONCURRENT = frozenset({"numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore"})
"""Conditions that hold for versions that were replaced or deleted, never for a live object."""
_CUSTOM_TIME = frozenset({"daysSinceCustomTime", "customTimeBefore"})
"""Conditions on a time that a writer may give an object. This package gives none, so they never hold."""
_STANDARD = frozenset({"STANDARD", "MULTI_REGIONAL", "REGIONAL"})
"""Three names of the same class; the last two are from before 2019."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The objects that have to stay in a bucket."""

    prefix: str
    """The store's prefix, with which every name begins."""
    staging_days: int
    keep_versions: int
    classes: frozenset[str]
    """Storage classes that our objects can have: the bucket's default, and those to which rules move them."""
    oldest: datetime | None
    """The time of the oldest published object or kept version; None if there is none."""


def canonical(rule: LifecycleRule) -> dict[str, Any]:
    """Return a rule in one form for comparison: Cloud Storage sorts lists, quotes numbers, adds empty fields."""
    action = cast("Mapping[str, Any]", rule.get("action") or {})
    condition = cast("Mapping[str, Any]", rule.get("condition") or {})
    plain = {name: _plain(value) for name, value in condition.items()}
    wanted = {name: value for name, value in plain.items() if value not in ([], "", None)}
    found: dict[str, Any] = {"type": str(action.get("type", "")), "condition": wanted}
    return found | ({"class": action["storageClass"]} if action.get("storageClass") else {})


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return sorted({str(each) for each in cast("Iterable[object]", value)})
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def classes_of(rules: Iterable[LifecycleRule], default: str) -> frozenset[str]:
    """Return the storage classes that objects of a bucket can be in, by its default class and its rules."""
    moved = {
        str(rule["class"]) for rule in map(canonical, rules) if rule["type"] == "SetStorageClass" and "class" in rule
    }
    found = {default.upper() or "STANDARD", *moved}
    return frozenset(found | _STANDARD if found & _STANDARD else found)


def harm_of(rule: LifecycleRule, kept: Kept) -> Harm | None:
    """Return the worst harm that a rule can do to the objects that have to stay; None if it can do none.

    A condition that this package does not know is taken to limit nothing.
    """
    found = canonical(rule)
    condition: Mapping[str, Any] = found["condition"]
    if found["type"] != "Delete" or condition.keys() & _CUSTOM_TIME:
        return None
    classes = condition.get("matchesStorageClass")
    if classes is not None and not kept.classes & {str(each).upper() for each in classes}:
        return None
    published = _reaches_published(condition, kept.prefix)
    companions = _reaches_any(condition, [f"{kept.prefix}{each}" for each in COMPANION_FOLDERS], _COMPANION_ENDS)
    if (published or companions) and _ever_before(condition, "createdBefore", kept.oldest):
        if not _spares_live(condition):
            return "published files"
        if published and _breaks_versions(condition, kept):
            return "kept versions"
    staged = _reaches_any(condition, [f"{kept.prefix}{each}" for each in STAGED_PREFIXES], _STAGED_ENDS)
    age = condition.get("age")
    if staged and not _spares_live(condition) and isinstance(age, int) and age < kept.staging_days:
        return "staged objects"
    slabs = _reaches_any(condition, [f"{kept.prefix}{SLABS}"], _STAGED_ENDS)
    return "slabs" if slabs and not _spares_live(condition) and isinstance(age, int) else None


def moves_published(rule: LifecycleRule, prefix: str) -> str | None:
    """Return the storage class to which a rule moves published files; None where it moves none."""
    found = canonical(rule)
    moved = found["type"] == "SetStorageClass" and found.get("class") not in _STANDARD
    if not moved or found["condition"].keys() & _CUSTOM_TIME or _spares_live(found["condition"]):
        return None
    return found.get("class") if _reaches_published(found["condition"], prefix) else None


def _means(condition: Mapping[str, Any], begins: Callable[[str], bool], ends: Callable[[str], bool]) -> bool:
    """Return whether a rule's prefixes and suffixes match a name; a rule without prefixes or suffixes matches any."""
    return any(map(begins, condition.get("matchesPrefix") or [""])) and any(
        map(ends, condition.get("matchesSuffix") or [""])
    )


def _reaches_published(condition: Mapping[str, Any], prefix: str) -> bool:
    names = [f"{prefix}{head}{end}" for head in PUBLISHED_PREFIXES for end in _PUBLISHED_ENDS]
    return any(_means(condition, name.startswith, name.endswith) for name in names)


def _reaches_any(condition: Mapping[str, Any], heads: Iterable[str], ends: Sequence[str]) -> bool:
    """Return whether a rule can match a name with one of ``heads``, any text, then one of ``ends`` or a number."""

    def begins(name: str) -> bool:
        return any(head.startswith(name) or name.startswith(head) for head in heads)

    def finishes(name: str) -> bool:
        return set(name) <= _DIGITS or any(end.endswith(name) or name.endswith(end) for end in ends)

    return _means(condition, begins, finishes)


def _spares_live(condition: Mapping[str, Any]) -> bool:
    newer = condition.get("numNewerVersions")
    spared = condition.keys() & _NONCURRENT - {"numNewerVersions"} or (isinstance(newer, int) and newer > 0)
    return bool(spared) or condition.get("isLive") is False


def _breaks_versions(condition: Mapping[str, Any], kept: Kept) -> bool:
    """Return whether a rule deletes one of the last ``keep_versions`` earlier versions, which are kept."""
    if kept.keep_versions == 0 or not _ever_before(condition, "noncurrentTimeBefore", kept.oldest):
        return False
    newer = condition.get("numNewerVersions")
    return not (isinstance(newer, int) and newer > kept.keep_versions)


def _ever_before(condition: Mapping[str, Any], name: str, oldest: datetime | None) -> bool:
    """Return whether a condition on a date can hold: the date is in the future, or something to keep is older."""
    date = condition.get(name)
    if date is None:
        return True
    try:
        limit = datetime.fromisoformat(str(date)).replace(tzinfo=UTC)
    except ValueError:
        return True
    return limit > datetime.now(UTC) or (oldest is not None and oldest < limit)


Level = Literal["stops", "costs", "note"]
"""``stops``: runs fail until it is changed. ``costs``: it costs more than usual. ``note``: for information."""
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
"""The setting of a bucket that a finding is about."""
_DAY_SECONDS = 86_400
_WITHIN = {"US": "US-", "EU": "EUROPE-", "ASIA": "ASIA-"}
"""Multi-regions, and the beginnings of their regions' names.

**Source**: cloud.google.com/storage/docs/locations, 2026-11.
"""
_OUTSIDE = {"EUROPE-WEST2", "EUROPE-WEST6"}
"""London and Zurich, because EU contains only places in member states of the European Union."""


class BucketFinding(Record):
    """One fact about a bucket, with its cure."""

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
    uri: str, policy: BucketPolicy, others: Sequence[LifecycleRule], kept: Kept, *, data_location: str | None = None
) -> tuple[BucketFinding, ...]:
    """Return the findings about a bucket for its operator; those that stop runs come first."""
    found = [*of_settings(uri, policy, data_location=data_location), *of_rules(others, kept)]
    order: list[Level] = ["stops", "costs", "note"]
    return tuple(sorted(found, key=lambda each: order.index(each.level)))


def of_settings(uri: str, policy: BucketPolicy, *, data_location: str | None = None) -> Iterator[BucketFinding]:
    """Yield the findings about a bucket's settings other than its lifecycle rules."""
    bucket, _ = bucket_and_prefix(uri)
    yield from _keeping(bucket, policy)
    yield from _paying(bucket, policy, data_location)


def _keeping(bucket: str, policy: BucketPolicy) -> Iterator[BucketFinding]:
    """Yield the settings under which objects cannot be replaced or deleted."""
    update = f"gcloud storage buckets update gs://{bucket}"
    if policy.retention_seconds:
        days = policy.retention_seconds / _DAY_SECONDS
        cure = (
            "It is locked and stays: use another bucket for training files."
            if policy.retention_locked
            else f"Remove it: {update} --clear-retention-period"
        )
        what = f"a retention policy: no object can be replaced or deleted for {days:g} days, unfinished ones included"
        yield BucketFinding(level="stops", about="retention", what=what, cure=cure)
    if policy.default_hold:
        what = "a default event-based hold: no new object can be replaced or deleted"
        yield BucketFinding(
            level="stops", about="holds", what=what, cure=f"Remove it: {update} --no-default-event-based-hold"
        )
    if policy.object_retention:
        what = "object retention is enabled: an object with a retention time cannot be replaced before that time"
        yield BucketFinding(level="note", about="object retention", what=what, cure="Give training files no such time.")


def _paying(bucket: str, policy: BucketPolicy, data_location: str | None) -> Iterator[BucketFinding]:
    """Yield the settings that cost money, and whether the bucket may be made public."""
    update = f"gcloud storage buckets update gs://{bucket}"
    if policy.requester_pays:
        what = "requester pays: every call must name a project that pays, and this program names none"
        yield BucketFinding(
            level="stops", about="requester pays", what=what, cure=f"Switch it off: {update} --no-requester-pays"
        )
    if policy.soft_delete_seconds:
        days = policy.soft_delete_seconds / _DAY_SECONDS
        what = f"soft delete: deleted objects, including all staged ones, are charged for {days:g} days more"
        cure = f"If kept versions are enough: {update} --clear-soft-delete"
        yield BucketFinding(level="costs", about="soft delete", what=what, cure=cure)
    if data_location and policy.location and not same_place(policy.location, data_location):
        what = f"the bucket lies in {policy.location}, the tables in {data_location.upper()}"
        cure = (
            "Reading across places is charged by the GiB: make a bucket where the tables are, gcloud storage buckets "
            f"create gs://NEW_BUCKET --location {data_location}, and run the jobs in a region within."
        )
        yield BucketFinding(level="costs", about="place", what=what, cure=cure)
    if policy.location and policy.storage_class not in {"", "STANDARD", "MULTI_REGIONAL", "REGIONAL"}:
        what = f"new objects are {policy.storage_class}: reading is charged, and deleting before their minimum time"
        yield BucketFinding(
            level="costs", about="storage class", what=what, cure=f"{update} --default-storage-class STANDARD"
        )
    if policy.location and not policy.public_access_prevented:
        what = "nothing prevents that the bucket is made public"
        yield BucketFinding(level="note", about="public access", what=what, cure=f"{update} --public-access-prevention")


def of_rules(others: Sequence[LifecycleRule], kept: Kept) -> Iterator[BucketFinding]:
    """Yield the rules of others that cost runs or money although they delete no published file or kept version."""
    for rule in others:
        condition = dict(rule.get("condition") or {})
        if harm_of(rule, kept) == "staged objects":
            what = f"another rule deletes staged objects before their {kept.staging_days} days: {condition}"
            cure = "Let its owner limit it by matchesPrefix: a run that takes longer loses its checkpoints."
            yield BucketFinding(level="stops", about="lifecycle", what=what, cure=cure)
        elif harm_of(rule, kept) == "slabs":
            what = f"another rule deletes slabs, and each refresh reads again what is gone: {condition}"
            cure = "Let its owner limit it by matchesPrefix."
            yield BucketFinding(level="costs", about="lifecycle", what=what, cure=cure)
        elif storage_class := moves_published(rule, kept.prefix):
            what = f"another rule moves published files to {storage_class}, where each reading is charged: {condition}"
            yield BucketFinding(
                level="costs", about="lifecycle", what=what, cure="Let its owner limit it by matchesPrefix."
            )


def same_place(bucket: str, data: str) -> bool:
    """Return whether reading between two places is not charged: the same, or a region within the multi-region."""
    one, other = bucket.upper(), data.upper()
    return one == other or any(
        region not in _OUTSIDE and region.startswith(_WITHIN.get(whole, "-"))
        for whole, region in ((one, other), (other, one))
    )
