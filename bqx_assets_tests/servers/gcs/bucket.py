"""Buckets and objects as Cloud Storage keeps them: generations, preconditions, versions, lifecycle."""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import google_crc32c

Json = dict[str, Any]
MOST_SOURCES = 32
_CONDITIONS = {
    "age", "isLive", "matchesPrefix", "matchesSuffix", "numNewerVersions", "daysSinceNoncurrentTime", "createdBefore",
    "customTimeBefore", "daysSinceCustomTime", "noncurrentTimeBefore", "matchesStorageClass",
}  # fmt: skip
_ACTIONS = {"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}


class Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, reason: str, message: str = "") -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message or reason


@dataclass
class Stored:
    """One generation of one object."""

    name: str
    data: bytes
    generation: int
    metadata: dict[str, str]
    components: int = 0
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    noncurrent_since: datetime | None = None
    held: str = ""
    """``Temporary`` or ``Event-Based``: the object can be neither replaced nor deleted until it is released."""

    @property
    def crc32c(self) -> str:
        """Return the checksum as the JSON API writes it."""
        return base64.b64encode(google_crc32c.value(self.data).to_bytes(4, "big")).decode()

    def resource(self, bucket: str) -> Json:
        """Return the object resource; that of a composed object has no MD5."""
        found: Json = {
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": bucket,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            "size": str(len(self.data)),
            "crc32c": self.crc32c,
            "etag": f"etag-{self.generation}",
            "timeCreated": _zulu(self.updated),
            "updated": _zulu(self.updated),
        }
        if self.metadata:
            found["metadata"] = dict(self.metadata)
        if self.components:
            found["componentCount"] = self.components
        else:
            found["md5Hash"] = base64.b64encode(hashlib.md5(self.data, usedforsecurity=False).digest()).decode()
        if self.noncurrent_since:
            found["timeDeleted"] = _zulu(self.noncurrent_since)
        return found


class Bucket:
    """A bucket; all its methods are atomic."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.live: dict[str, Stored] = {}
        self.noncurrent: list[Stored] = []
        self.settings: Json = {"versioning": {"enabled": False}, "lifecycle": {}}
        self.metageneration = 1
        self.lock = threading.RLock()
        self._generations = itertools.count(1_700_000_000_000_000)

    def resource(self) -> Json:
        """Return the bucket resource."""
        return {
            "kind": "storage#bucket",
            "name": self.name,
            "id": self.name,
            "location": "US",
            "locationType": "multi-region",
            "storageClass": "STANDARD",
            "metageneration": str(self.metageneration),
            "softDeletePolicy": {"retentionDurationSeconds": "604800"},
            **self.settings,
        }

    def patch(self, changes: Json, query: Mapping[str, str]) -> Json:
        """Change settings; refuse lifecycle rules that Cloud Storage does not take."""
        with self.lock:
            expected = query.get("ifMetagenerationMatch")
            if expected is not None and int(expected) != self.metageneration:
                raise Refused(412, "conditionNotMet")
            for rule in changes.get("lifecycle", {}).get("rule", ()):
                condition = rule.get("condition", {})
                if not condition or condition.keys() - _CONDITIONS or rule["action"]["type"] not in _ACTIONS:
                    raise Refused(400, "invalid", "lifecycle rule")
            self.settings |= changes
            self.metageneration += 1
            return self.resource()

    def find(self, name: str, generation: int | None = None) -> Stored:
        """Return the live object, or one of its generations."""
        with self.lock:
            live = self.live.get(name)
            known = [each for each in (live, *self.noncurrent) if each and each.name == name]
            for each in known:
                if (each is live) if generation is None else (each.generation == generation):
                    return each
        raise Refused(404, "notFound", f"No such object: {self.name}/{name}")

    def check(self, name: str, conditions: Mapping[str, Any]) -> None:
        """Refuse the call if a precondition does not hold."""
        live = self.live.get(name)
        generation = live.generation if live else 0
        wanted, unwanted = conditions.get("ifGenerationMatch"), conditions.get("ifGenerationNotMatch")
        if (wanted is not None and int(wanted) != generation) or (unwanted is not None and int(unwanted) == generation):
            raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")

    def put(  # noqa: PLR0913 -- a request of many parts
        self,
        name: str,
        data: bytes,
        conditions: Mapping[str, Any],
        *,
        metadata: Mapping[str, str] | None = None,
        crc32c: str | None = None,
        md5: str | None = None,
        components: int = 0,
    ) -> Stored:
        """Give the object a new generation, once checksums and preconditions hold."""
        with self.lock:
            self.check(name, conditions)
            made = self._stored(name, data, metadata or {}, components)
            if crc32c is not None and crc32c != made.crc32c:
                raise Refused(400, "invalid", f"Provided CRC32C {crc32c} doesn't match calculated {made.crc32c}.")
            if md5 is not None and md5 != made.resource("").get("md5Hash"):
                raise Refused(400, "invalid", "Provided MD5 hash doesn't match.")
            self._retire(name)
            self.live[name] = made
            return made

    def compose(self, name: str, request: Json, conditions: Mapping[str, Any]) -> Stored:
        """Concatenate 1 to 32 objects."""
        with self.lock:
            sources: Sequence[Json] = request.get("sourceObjects", ())
            if not 1 <= len(sources) <= MOST_SOURCES:
                raise Refused(400, "invalid", f"The number of source components ({len(sources)}) exceeds the maximum")
            found: list[Stored] = []
            for source in sources:
                generation = source.get("generation")
                self.check(source["name"], source.get("objectPreconditions", {}))
                found.append(self.find(source["name"], int(generation) if generation else None))
            components = sum(each.components or 1 for each in found)
            metadata = request.get("destination", {}).get("metadata")
            return self.put(name, self._joined(found), conditions, metadata=metadata, components=components)

    def delete(self, name: str, query: Mapping[str, str]) -> None:
        """Delete the live object, or one generation for good."""
        with self.lock:
            generation = query.get("generation")
            found = self.find(name, int(generation) if generation else None)
            self.check(name, query)
            if generation is None:
                self._retire(name)
            elif found is self.live.get(name):
                del self.live[name]
            else:
                self.noncurrent.remove(found)

    def listing(self, prefix: str, *, versions: bool) -> list[Stored]:
        """Return the objects, sorted by name and generation."""
        with self.lock:
            every = [*self.live.values(), *(self.noncurrent if versions else ())]
            return sorted(
                (each for each in every if each.name.startswith(prefix)), key=lambda each: (each.name, each.generation)
            )

    def age(self, days: float) -> list[str]:
        """Make all objects ``days`` older and apply the lifecycle rules; return the deleted names."""
        with self.lock:
            for each in (*self.live.values(), *self.noncurrent):
                each.updated -= timedelta(days=days)
                if each.noncurrent_since:
                    each.noncurrent_since -= timedelta(days=days)
            rules = self.settings.get("lifecycle", {}).get("rule", ())
            conditions = [rule["condition"] for rule in rules if rule["action"]["type"] == "Delete"]
            gone = [each.name for each in list(self.noncurrent) if any(self._due(each, one) for one in conditions)]
            self.noncurrent = [each for each in self.noncurrent if not any(self._due(each, one) for one in conditions)]
            for name in [name for name, each in self.live.items() if any(self._due(each, one) for one in conditions)]:
                self._retire(name)
                gone.append(name)
            return gone

    def _due(self, stored: Stored, condition: Json) -> bool:
        now, since = datetime.now(UTC), stored.noncurrent_since
        newer = [each for each in (self.live.get(stored.name), *self.noncurrent) if each and each.name == stored.name]
        facts = {
            "age": lambda: now - stored.updated >= timedelta(days=condition["age"]),
            "isLive": lambda: condition["isLive"] is (since is None),
            "matchesPrefix": lambda: any(stored.name.startswith(word) for word in condition["matchesPrefix"]),
            "matchesSuffix": lambda: any(stored.name.endswith(word) for word in condition["matchesSuffix"]),
            "numNewerVersions": lambda: (
                sum(each.generation > stored.generation for each in newer) >= condition["numNewerVersions"]
            ),
            "daysSinceNoncurrentTime": lambda: (
                since is not None and now - since >= timedelta(days=condition["daysSinceNoncurrentTime"])
            ),
            "createdBefore": lambda: f"{stored.updated:%Y-%m-%d}" < condition["createdBefore"],
            "noncurrentTimeBefore": lambda: (
                since is not None and f"{since:%Y-%m-%d}" < condition["noncurrentTimeBefore"]
            ),
            "matchesStorageClass": lambda: "STANDARD" in condition["matchesStorageClass"],
            # Of an object that has no custom time: nobody here sets one.
            "customTimeBefore": lambda: False,
            "daysSinceCustomTime": lambda: False,
        }
        return all(facts[name]() for name in condition)

    def _stored(self, name: str, data: bytes, metadata: Mapping[str, str], components: int) -> Stored:
        """Return a new generation; only here and in ``_joined`` it matters how content is kept."""
        return Stored(name, data, next(self._generations), dict(metadata), components)

    def _joined(self, sources: Sequence[Stored]) -> bytes:
        return b"".join(each.data for each in sources)

    def _retire(self, name: str) -> None:
        old = self.live.pop(name, None)
        if old is not None and self.settings["versioning"]["enabled"]:
            old.noncurrent_since = datetime.now(UTC)
            self.noncurrent.append(old)


def _zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
