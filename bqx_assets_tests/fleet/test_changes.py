"""Which pairs are made anew after a look at the tables, and which ones wait; the time is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bqx_assets.fleet.changes import (
    APART,
    PATIENCE,
    TARGETS,
    Group,
    Memory,
    Runs,
    Verdict,
    asked,
    in_words,
    judged,
    noted,
    version,
)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
IDLE = Runs(frozenset(), frozenset())
PAIRS = ("eurusd", "gbpusd")


class Tables:
    """A warehouse's tables, which change, and the memory of the looks at them."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, int]] = {
            TARGETS: dict.fromkeys(map(str, PAIRS), 0),
            "own": dict.fromkeys(map(str, PAIRS), 0),
            "shared": {"all": 0},
        }
        self.memory, self.now = Memory(), NOON
        self.look()

    def change(self, family: str, owner: str) -> None:
        self.states[family][owner] += 1

    def look(self, runs: Runs = IDLE) -> list[Verdict]:
        """An hourly look, after which the requests were made."""
        groups = self.groups()
        before, after = self.memory, noted(self.memory, groups, self.now)
        found = judged(before, after, groups, runs, self.now)
        self.memory = Memory.model_validate_json(asked(after, found, self.now).model_dump_json(exclude_defaults=True))
        self.now += HOUR
        return found

    def groups(self) -> list[Group]:
        return [
            Group(family, owner, PAIRS if owner == "all" else (owner,), {"a": "same", "b": str(count)})
            for family, owners in self.states.items()
            for owner, count in owners.items()
        ]


def _asked(verdicts: Sequence[Verdict]) -> list[str]:
    return [each.pair for each in verdicts if each.asked]


def test_the_first_look_asks_for_nothing_and_neither_does_a_look_that_finds_nothing_new() -> None:
    tables = Tables()
    assert tables.look() == []
    assert {*tables.memory.pairs} == {*PAIRS}


@pytest.mark.parametrize("family", [TARGETS, "own"])
def test_a_changed_pair_is_asked_for_alone_once_a_look_finds_no_further_change(family: str) -> None:
    tables = Tables()
    tables.change(family, "gbpusd")
    (waiting,) = tables.look()
    assert (waiting.pair, waiting.asked) == ("gbpusd", "")
    assert f"1 change of tables since 2026-01-05 13:00 UTC (1 {family}); it runs after a look" in waiting.reason
    (found,) = tables.look()
    assert (found.pair, found.asked, found.changes) == ("gbpusd", "gbpusd:2026-01-05T14:00:00Z", 1)
    assert tables.look() == []


def test_a_load_that_takes_hours_and_a_shared_table_make_one_run_of_each_pair_after_it() -> None:
    tables = Tables()
    for _ in range(5):
        tables.change("shared", "all")
        tables.change("own", "eurusd")
        assert _asked(tables.look()) == []
    found = tables.look()
    assert _asked(found) == [*PAIRS]
    assert [each.changes for each in found] == [10, 5]
    assert tables.look() == []


def test_a_table_that_changes_every_hour_makes_a_run_a_day() -> None:
    tables = Tables()
    hours: list[int] = []
    for hour in range(80):
        tables.change(TARGETS, "eurusd")
        if _asked(tables.look()):
            hours.append(hour)
    assert hours == [24, 49, 74]
    assert timedelta(hours=24) == PATIENCE


def test_a_pair_is_not_asked_for_again_before_its_time_though_its_tables_change_and_rest() -> None:
    tables = Tables()
    hours: list[int] = []
    for hour in range(20):
        if hour % 2 == 0:
            tables.change("own", "eurusd")
        if _asked(tables.look()):
            hours.append(hour)
    assert hours == [1, 7, 13, 19]
    assert timedelta(hours=6) == APART


def test_a_pair_whose_run_is_at_work_waits_for_it_and_keeps_its_changes() -> None:
    tables = Tables()
    tables.change("own", "eurusd")
    tables.look()
    for _ in range(3):
        (found,) = tables.look(Runs(frozenset({"eurusd"}), frozenset()))
        assert not found.asked
        assert "a run of it is queued or at work" in found.reason
    assert _asked(tables.look()) == ["eurusd"]


def test_a_request_whose_run_failed_is_repeated_once_and_then_only_after_a_change() -> None:
    tables = Tables()
    tables.change("own", "eurusd")
    tables.look()
    (first,) = tables.look()
    failed = Runs(frozenset(), frozenset({first.asked}))
    (again,) = tables.look(failed)
    assert (again.asked, again.repeated) == (first.asked, True)
    for _ in range(9):
        assert tables.look(failed) == []
    tables.change("own", "eurusd")
    assert _asked(tables.look(failed)) == []
    (other,) = tables.look(failed)
    assert other.asked not in ("", first.asked)


def test_a_pair_that_appears_is_asked_for_and_one_that_vanishes_is_forgotten() -> None:
    tables = Tables()
    for owners in (tables.states[TARGETS], tables.states["own"]):
        owners["usdjpy"] = 0
    assert [each.pair for each in tables.look()] == ["usdjpy"]
    assert _asked(tables.look()) == ["usdjpy"]
    for owners in (tables.states[TARGETS], tables.states["own"]):
        del owners["usdjpy"]
    assert tables.look() == []
    assert "usdjpy" not in tables.memory.pairs


def test_a_day_without_a_look_loses_no_change() -> None:
    tables = Tables()
    tables.change("own", "eurusd")
    tables.now += timedelta(days=1)
    assert _asked(tables.look()) == []
    assert _asked(tables.look()) == ["eurusd"]


def test_pairs_that_wait_for_the_same_share_a_sentence() -> None:
    verdicts = [Verdict(pair, "it waits") for pair in ("a", "b", "c", "d", "e", "f", "g")]
    assert in_words([*verdicts, Verdict("h", "it rests")]) == "a, b, c, d, e and 2 more: it waits. h: it rests."


def test_a_group_names_what_changed_and_its_version_follows_every_table() -> None:
    before = Group("own", "eurusd", ("eurusd",), {"a": "1", "b": "1"})
    after = Group("own", "eurusd", ("eurusd",), {"a": "1", "b": "2", "c": "1"})
    assert after.changed(before.signs) == ["b", "c"]
    assert before.changed(before.signs) == []
    assert version([before]) != version([after])
    assert len(version([before])) == 16
