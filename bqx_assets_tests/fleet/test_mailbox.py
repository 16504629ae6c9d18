"""Each fault is told once until it changes or is mended, faults of one cause together, and few messages an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.fleet.mailbox import PERIOD, Mailbox
from bqx_assets.fleet.messages import Fault

NOW = datetime(2026, 1, 4, 5, tzinfo=UTC)
WHAT = "feature_slabs failed: TableMissing"
KINDS = frozenset({"run", "check"})


def _faults(
    *pairs: str, what: str = "feature_slabs failed: TableMissing", parts: tuple[str, ...] = ("one",)
) -> dict[str, Fault]:
    made = [Fault(kind="run", subject=pair, what=what, parts=parts, got=f"{pair} lacks a table") for pair in pairs]
    return {each.key: each for each in made}


class Reader:
    """A receiver that always takes what is due."""

    def __init__(self, most: int = 6) -> None:
        self.box, self.now, self.most = Mailbox(), NOW, most

    def look(self, faults: dict[str, Fault], *, later: timedelta = timedelta(minutes=1)) -> list[str]:
        """Titles of what is told at a look."""
        self.now += later
        self.box = Mailbox.model_validate_json(self.box.following(faults, KINDS).model_dump_json())
        due = self.box.due(faults, self.now, self.most)
        for message in due:
            self.box = self.box.after(message, self.now)
        return [each.title for each in due]


def test_the_same_fault_is_told_once_and_its_end_once() -> None:
    reader = Reader()
    assert reader.look(_faults("eurusd")) == ["eurusd: feature_slabs failed: TableMissing"]
    assert reader.look(_faults("eurusd"), later=PERIOD) == []
    assert reader.look({}, later=PERIOD) == ["eurusd: good again"]
    assert reader.look({}, later=PERIOD) == []


def test_a_fault_that_changes_is_told_again_and_one_that_shrinks_is_not() -> None:
    reader = Reader()
    reader.look(_faults("eurusd", parts=("a", "b")))
    assert reader.look(_faults("eurusd", parts=("a",)), later=PERIOD) == []
    assert len(reader.look(_faults("eurusd", parts=("a", "b")), later=PERIOD)) == 1, "b was good in between"
    assert len(reader.look(_faults("eurusd", parts=("c",)), later=PERIOD)) == 1


def test_28_pairs_that_fail_for_one_reason_are_one_message_that_names_them() -> None:
    faults = _faults(*(pair.name for pair in ALL_PAIRS))
    (message,) = Mailbox().due(faults, NOW, 6)
    assert message.title == "28 pairs: feature_slabs failed: TableMissing"
    text = message.payload("http://localhost:3000")["text"]
    assert all(pair.name in str(text) for pair in ALL_PAIRS)
    assert "Got (eurusd): `eurusd lacks a table`" in str(text), "of one pair, for those of others differ"
    assert len(str(text)) < 2_000


def test_pairs_that_fail_one_after_another_become_two_messages_in_an_hour() -> None:
    reader, said = Reader(), list[str]()
    for count in range(1, 29):
        said += reader.look(_faults(*(pair.name for pair in ALL_PAIRS[:count])))
    said += reader.look(_faults(*(pair.name for pair in ALL_PAIRS)), later=PERIOD)
    assert said == [
        "eurusd: feature_slabs failed: TableMissing",
        "27 pairs: feature_slabs failed: TableMissing",
    ]


def test_no_more_than_so_many_messages_an_hour_and_none_is_lost() -> None:
    reader, faults = Reader(most=3), dict[str, Fault]()
    for number, pair in enumerate(ALL_PAIRS):
        faults |= _faults(pair.name, what=f"reason {number}")
    assert reader.look(faults) == ["eurusd: reason 0", "gbpusd: reason 1", "26 kinds of news of the fleet"]
    assert len(reader.box.told) == 28
    faults |= _faults("eurusd", what="another", parts=("another",))
    assert reader.look(faults) == []
    assert reader.box.waiting(faults) == 1
    assert reader.look(faults, later=PERIOD) == ["eurusd: another"]


def test_a_fault_that_is_over_before_anybody_was_told_is_not_told() -> None:
    reader = Reader()
    reader.box = reader.box.refused(NOW, 0)
    assert reader.look({}) == []


def test_a_refused_message_is_due_again_and_failures_are_counted_in_a_row() -> None:
    faults = _faults("eurusd")
    box = Mailbox().refused(NOW, 0).refused(NOW, 600)
    assert (box.failures, box.not_before) == (2, NOW + timedelta(seconds=600))
    (message,) = box.due(faults, NOW, 6)
    assert box.after(message, NOW).failures == 0


def test_a_kind_that_is_no_longer_told_does_not_count_as_mended() -> None:
    reader = Reader()
    reader.look(_faults("eurusd"))
    assert reader.box.following({}, frozenset({"check"})).due({}, NOW + PERIOD, 6) == []
