"""Loads the table of refusals (``refusals.toml``) and finds the row for an answer and the grant for a permission."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from bqx_assets.base.artifacts import Record
from bqx_assets.base.refusals.facts import Facts, plain
from bqx_assets.base.refusals.words import permission_in

Again = Literal["never", "later", "new_session", "new_snapshot", "new_job"]
"""A condition under which the same call may succeed: never; later; with a new session, snapshot time or job."""
Service = Literal[
    "bigquery", "storage_read", "cloud_storage", "cloud_run", "secret_manager", "cloud_sql", "artifact_registry", "iam"
]

_NOT_FOUND = 404
_OF_USERS: frozenset[Service] = frozenset({"bigquery", "storage_read", "cloud_storage"})
"""Services whose 404 is hardly more than a name that users chose, and so may contain any words."""


class Match(Record):
    """The conditions that an answer must fulfil, all of them, to belong to a row."""

    reasons: frozenset[str] = frozenset()
    words: str = ""
    codes: frozenset[int] = frozenset()
    classes: frozenset[str] = frozenset()
    services: frozenset[Service] = frozenset()
    credentials: bool = False
    permission: bool = False

    @field_validator("reasons")
    @classmethod
    def _as_compared(cls, reasons: frozenset[str]) -> frozenset[str]:
        return frozenset(map(plain, reasons))

    def found(self, facts: Facts, service: Service) -> Mapping[str, str] | None:
        """Return the named parts of the words; None if the answer does not fulfil all conditions."""
        by_words_alone = not (self.codes or self.reasons or self.classes or self.credentials or self.permission)
        if by_words_alone and facts.code == _NOT_FOUND and service in _OF_USERS:
            return None
        if (
            (self.services and service not in self.services)
            or (self.codes and facts.code not in self.codes)
            or (self.credentials and not facts.credentials)
            or (self.reasons and not self.reasons & facts.reasons)
            or (self.classes and not self.classes & facts.classes)
            or (self.permission and not (facts.metadata.get("permission") or permission_in(facts.words)))
        ):
            return None
        found = re.search(self.words, facts.words, re.IGNORECASE)
        return (
            None if found is None else {name: text.rstrip(".,:;") for name, text in found.groupdict().items() if text}
        )


class Row(Record):
    """One reason: the answers that have it, its meaning, and what helps."""

    reason: str
    match: tuple[Match, ...]
    sentence: str
    cure: str
    permission: str | None = None
    """The missing permission, for answers that do not name it."""
    again: Again = "never"
    everywhere: bool = False
    source: str
    sure: Literal["M", "D", "S", "R", "inf", "mem"]
    """The reliability of the row. It and ``source`` are for people; ``refusals.toml`` explains the marks."""


class Grant(Record):
    """The smallest role that has a permission, and the command that grants it."""

    permission: str
    """The whole permission, or its beginning."""
    role: str
    command: str
    everywhere: bool = False


class Table(Record):
    """The content of ``refusals.toml``."""

    refusal: tuple[Row, ...]
    grant: tuple[Grant, ...]


@cache
def table() -> Table:
    """Return the table. The file is read once in a process."""
    return Table.model_validate(tomllib.loads(Path(__file__).with_name("refusals.toml").read_text(encoding="utf-8")))


def row_of(facts: Facts, service: Service) -> tuple[Row, Mapping[str, str]]:
    """Return the first row that fits the answer, and the named parts of the words. The last row fits every answer."""
    for row in table().refusal:
        found = [named for match in row.match if (named := match.found(facts, service)) is not None]
        if found:
            return row, {name: text for named in reversed(found) for name, text in named.items()}
    raise AssertionError


def grant_of(permission: str) -> Grant | None:
    """Return the grant of a permission. Case does not count, because Cloud Run writes some in small letters."""
    return next((each for each in table().grant if permission.lower().startswith(each.permission.lower())), None)
