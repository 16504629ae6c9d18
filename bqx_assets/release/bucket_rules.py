"""Lifecycle rules of a bucket: in one form whoever wrote them, and what each can really reach.

Belongs here: reading a rule, whether it deletes published files, kept versions or what is staged. Does not: which rules
are ours and setting them (``lifecycle``).

**Source**: cloud.google.com/storage/docs/lifecycle, 2026-11: all conditions of a rule must hold; a name is meant that
begins with any of ``matchesPrefix`` and ends with any of ``matchesSuffix``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.store.staged import STAGED_PREFIXES
from bqx_assets.release.published import COMPANIONS

Rule = Mapping[str, Any]
Harm = Literal["published files", "kept versions", "staged objects"]
"""What a rule of somebody else's deletes, the worst first."""

PUBLISHED = tuple(f"training_{pair}." for pair in ALL_PAIRS)
"""How the names of published objects begin."""
COMPANION_FOLDERS = tuple(f"{COMPANIONS}{pair}/" for pair in ALL_PAIRS)
"""And those of their manifests and reports."""
_PUBLISHED_ENDS = ("parquet", "manifest.json", "report.json", "expectations.toml")
_COMPANION_ENDS = (".manifest.json", ".report.json")
_STAGED_ENDS = (".parquet", ".json", ".lease")
_DIGITS = frozenset("0123456789abcdef")
"""Of the numbers that other staged objects' names end with."""
_NONCURRENT = frozenset({"numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore"})
"""Conditions that hold for versions that were replaced or deleted, never for a live object."""
_CUSTOM_TIME = frozenset({"daysSinceCustomTime", "customTimeBefore"})
"""Conditions on a time that a writer gives an object. This package gives none, and then they do not hold."""
_STANDARD = frozenset({"STANDARD", "MULTI_REGIONAL", "REGIONAL"})
"""Three names of one class: the last two are from before 2019."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What has to stay, and what is known of it."""

    prefix: str
    """The store's own, before every name."""
    staging_days: int
    keep_versions: int
    classes: frozenset[str]
    """Storage classes that our objects can be in: the bucket's default, and where rules move them."""
    oldest: datetime | None
    """When the oldest published object or kept version was written; None: there is none."""


def canonical(rule: Rule) -> dict[str, Any]:
    """Return a rule as it is compared: Cloud Storage sorts lists, writes numbers as texts, and adds empty fields."""
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


def classes_of(rules: Iterable[Rule], default: str) -> frozenset[str]:
    """Return the storage classes that objects of a bucket can be in, by its default class and its rules."""
    moved = {
        str(rule["class"]) for rule in map(canonical, rules) if rule["type"] == "SetStorageClass" and "class" in rule
    }
    found = {default.upper() or "STANDARD", *moved}
    return frozenset(found | _STANDARD if found & _STANDARD else found)


def harm_of(rule: Rule, kept: Kept) -> Harm | None:
    """Return the worst that a rule does to what has to stay; None where it cannot reach any of it.

    A condition that is not known here limits nothing: what it may mean is not guessed.
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
    return None


def moves_published(rule: Rule, prefix: str) -> str | None:
    """Return the class that a rule moves published files to, if it does."""
    found = canonical(rule)
    moved = found["type"] == "SetStorageClass" and found.get("class") not in _STANDARD
    if not moved or found["condition"].keys() & _CUSTOM_TIME or _spares_live(found["condition"]):
        return None
    return found.get("class") if _reaches_published(found["condition"], prefix) else None


def _means(condition: Mapping[str, Any], begins: Callable[[str], bool], ends: Callable[[str], bool]) -> bool:
    """Whether one of a rule's prefixes and one of its suffixes allow a name: none of either allow any."""
    return any(map(begins, condition.get("matchesPrefix") or [""])) and any(
        map(ends, condition.get("matchesSuffix") or [""])
    )


def _reaches_published(condition: Mapping[str, Any], prefix: str) -> bool:
    names = [f"{prefix}{head}{end}" for head in PUBLISHED for end in _PUBLISHED_ENDS]
    return any(_means(condition, name.startswith, name.endswith) for name in names)


def _reaches_any(condition: Mapping[str, Any], heads: Iterable[str], ends: Sequence[str]) -> bool:
    """Whether a name can be meant that has one of ``heads``, then whatever, then one of ``ends`` or a number."""

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
    """Whether a rule about earlier versions deletes one of those that are kept: the last ``keep_versions``."""
    if kept.keep_versions == 0 or not _ever_before(condition, "noncurrentTimeBefore", kept.oldest):
        return False
    newer = condition.get("numNewerVersions")
    return not (isinstance(newer, int) and newer > kept.keep_versions)


def _ever_before(condition: Mapping[str, Any], name: str, oldest: datetime | None) -> bool:
    """Whether a condition on a date can hold: it is to come, or something that has to stay is as old."""
    date = condition.get(name)
    if date is None:
        return True
    try:
        limit = datetime.fromisoformat(str(date)).replace(tzinfo=UTC)
    except ValueError:
        return True
    return limit > datetime.now(UTC) or (oldest is not None and oldest < limit)
