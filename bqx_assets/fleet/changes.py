"""Follows the warehouse's tables from look to look, and says which pairs are to be made anew, or what they wait for.

A look asks for the states of tables; nothing is read or billed. Times are passed in. Dagster's sensor keeps the memory.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from bqx_assets.base.artifacts import Record, fingerprint
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import some_of
from bqx_assets.catalogue.families import (
    FEATURES_DATASET,
    TARGETS_DATASET,
    expected_tables,
    family_of,
    is_shared,
    targets_table,
)
from bqx_assets.extract.warehouse import Warehouse
from bqx_assets.pipeline import Pipeline

TARGETS = "targets"
"""What the group of a pair's one targets table is called, beside the families of feature tables."""
PATIENCE = timedelta(hours=24)
"""Longest wait of a changed pair for a look without a further change: some table may change every hour."""
APART = timedelta(hours=6)
"""Least time between two requests of one pair."""
_SIGN_CHARACTERS = 4
"""Of a table's name and state, 24 bits are remembered: the memory of 28 pairs' 7,607 tables takes 31 KB."""
_SHOWN = 5

Place = tuple[str, str]
"""A table's dataset and name."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tables that concern the same pairs: a pair's targets or one family of it, or a family that pairs share."""

    family: str
    owner: str
    """The pair, or the name of the warehouse whose pairs share the family."""
    pairs: tuple[str, ...]
    states: Mapping[str, str]
    """The present state of each table that exists, by its name."""

    @property
    def name(self) -> str:
        """The group's name in the memory."""
        return f"{self.family} {self.owner}"

    @property
    def signs(self) -> str:
        """The signs of all tables, in order."""
        return "".join(sorted(_sign(*each) for each in self.states.items()))

    def changed(self, noted: str) -> list[str]:
        """Return the tables that are not in the signs of an earlier look as they are now."""
        before = {*_cut(noted)}
        return sorted(table for table, state in self.states.items() if _sign(table, state) not in before)


class Watched(Record):
    """One pair in the memory: the changes that no run was requested for yet, and the last request."""

    since: datetime | None = None
    """The look that found the first of these changes; None if there are none."""
    changes: dict[str, int] = Field(default_factory=dict[str, int])
    """Number of changes by family. A table that changed between three looks counts twice."""
    asked_at: datetime | None = None
    asked: str = ""
    """Name of the last request; the same for the one repetition after a failure."""
    repeated: bool = False


class Memory(Record):
    """The facts that are kept from one look to the next."""

    signs: dict[str, str] = Field(default_factory=dict[str, str])
    """The signs of each group's tables at the last answered look; empty before the first one."""
    pairs: dict[str, Watched] = Field(default_factory=dict[str, Watched])
    unanswered: int = 0
    """Number of looks in a row that the warehouse did not answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a look for one pair that is not up to date: a request, or the reason to wait."""

    pair: str
    reason: str
    asked: str = ""
    """Name of the request; empty for a pair that waits."""
    repeated: bool = False
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of pairs, as far as a look needs to know them."""

    at_work: frozenset[str]
    """Pairs with a run that is queued or at work, whoever launched it."""
    failed: frozenset[str]
    """Names of requests whose run is the pair's last one, failed, and is not launched again by Dagster."""


def look(pipeline: Pipeline) -> list[Group]:
    """Return the groups of all pairs that have targets, in their present state.

    **Cost**: the metadata of each table, once for all pairs that share it: 7,607 for 28 pairs. It is free in BigQuery.

    Raises:
        TransientReadError: the warehouse does not answer. Others as ``Pipeline.warehouses`` and ``Warehouse.states``.
    """
    return [group for each in pipeline.warehouses() for group in _groups(pipeline, *each)]


def _groups(pipeline: Pipeline, warehouse: Warehouse, pairs: Sequence[Pair]) -> list[Group]:
    """Return the groups of one warehouse; pairs without a targets table in it are left out."""
    targets = {pair: (TARGETS_DATASET, targets_table(pair)) for pair in pairs}
    states = warehouse.states(targets.values())
    there = [pair for pair in pairs if targets[pair] in states]
    places: dict[tuple[str, str], set[Place]] = {}
    for pair in there:
        for family, table in _tables(pair, pipeline.expectations(pair).accepted_tables):
            owner = warehouse.name if is_shared(family) else pair.name
            places.setdefault((family, owner), set()).add((FEATURES_DATASET, table))
    states |= warehouse.states({place for some in places.values() for place in some})
    names = tuple(pair.name for pair in there)
    found = [Group(TARGETS, pair.name, (pair.name,), {targets_table(pair): states[targets[pair]]}) for pair in there]
    for (family, owner), some in places.items():
        own = {table: states[dataset, table] for dataset, table in some if (dataset, table) in states}
        found.append(Group(family, owner, names if is_shared(family) else (owner,), own))
    return found


def _tables(pair: Pair, accepted: Iterable[str]) -> list[tuple[str, str]]:
    """Return family and name of each table that an extraction of the pair may read."""
    more = [(family, name) for name in accepted if (family := family_of(name, pair)) is not None]
    return [*((each.family, each.table) for each in expected_tables(pair)), *more]


def noted(memory: Memory, groups: Sequence[Group], now: datetime) -> Memory:
    """Return the memory after an answered look: with the groups' present signs, and each pair's changes since before.

    At the first look nothing counts as changed. Of a pair that appears later, everything does.
    """
    pairs = {name: memory.pairs.get(name, Watched()) for group in groups for name in group.pairs}
    for group in groups if memory.signs else ():
        count = _changes(memory.signs.get(group.name, ""), group.signs)
        for name in group.pairs if count else ():
            watched = pairs[name]
            changes = watched.changes | {group.family: watched.changes.get(group.family, 0) + count}
            pairs[name] = watched.model_copy(update={"since": watched.since or now, "changes": changes})
    return Memory(signs={group.name: group.signs for group in groups}, pairs=pairs)


def judged(before: Memory, after: Memory, groups: Sequence[Group], runs: Runs, now: datetime) -> list[Verdict]:
    """Return a verdict on each pair of ``after`` that has changes, or whose requested run failed, in its order."""
    restless = {
        name for group in groups if before.signs and before.signs.get(group.name) != group.signs for name in group.pairs
    }
    found: list[Verdict] = []
    for name, watched in after.pairs.items():
        if watched.since is not None:
            found.append(_of_changed(name, watched, runs, now, restless=name in restless))
        elif watched.asked in runs.failed and not watched.repeated:
            reason = "its run failed; it is requested once more, and then only after a change"
            found.append(Verdict(name, reason, watched.asked, repeated=True))
    return found


def _of_changed(pair: str, watched: Watched, runs: Runs, now: datetime, *, restless: bool) -> Verdict:
    since, what = watched.since or now, _in_words(watched)
    if pair in runs.at_work:
        return Verdict(pair, f"{what}; a run of it is queued or at work")
    if watched.asked_at is not None and now - watched.asked_at < APART:
        return Verdict(pair, f"{what}; a pair is requested again {_hours(APART)} h after its last request")
    if restless and now - since < PATIENCE:
        return Verdict(
            pair, f"{what}; it runs after a look that finds no further change, or {_hours(PATIENCE)} h after the first"
        )
    return Verdict(pair, what, f"{pair}:{now:%Y-%m-%dT%H:%M:%SZ}", changes=sum(watched.changes.values()))


def asked(memory: Memory, verdicts: Iterable[Verdict], now: datetime) -> Memory:
    """Return the memory after the requests among the verdicts were made."""
    pairs = dict(memory.pairs)
    for each in verdicts:
        if each.asked:
            pairs[each.pair] = Watched(asked_at=now, asked=each.asked, repeated=each.repeated)
    return memory.model_copy(update={"pairs": pairs})


def in_words(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as sentences; pairs of the same reason share one."""
    pairs: dict[str, list[str]] = {}
    for each in verdicts:
        pairs.setdefault(each.reason, []).append(each.pair)
    return " ".join(f"{some_of(names, _SHOWN)}: {reason}." for reason, names in pairs.items())


def version(groups: Iterable[Group]) -> str:
    """Return the data version of groups of one family: another one whenever a table of them changes."""
    return fingerprint({group.name: dict(group.states) for group in groups})[:16]


def _in_words(watched: Watched) -> str:
    count = sum(watched.changes.values())
    families = ", ".join(f"{number:,} {family}" for family, number in watched.changes.items())
    return f"{count:,} change{'s' * (count != 1)} of tables since {watched.since:%Y-%m-%d %H:%M} UTC ({families})"


def _hours(span: timedelta) -> int:
    return span // timedelta(hours=1)


def _changes(before: str, now: str) -> int:
    """Return the number of tables that changed, appeared or vanished between two signs of a group."""
    old, new = Counter(_cut(before)), Counter(_cut(now))
    return max((old - new).total(), (new - old).total())


def _cut(signs: str) -> list[str]:
    return [signs[place : place + _SIGN_CHARACTERS] for place in range(0, len(signs), _SIGN_CHARACTERS)]


def _sign(table: str, state: str) -> str:
    size_bytes = _SIGN_CHARACTERS * 3 // 4
    return urlsafe_b64encode(hashlib.blake2b(f"{table} {state}".encode(), digest_size=size_bytes).digest()).decode()
