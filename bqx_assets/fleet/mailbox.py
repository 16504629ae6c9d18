"""Decides what a receiver is told at a moment: each fault once, faults of one cause together, few messages an hour.

A mailbox holds what one receiver was told. It follows from faults as they are, not from events, so that a message that
could not be sent, or a daemon that was away, loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Self, TypeVar

from pydantic import Field

from bqx_assets.base.artifacts import Record
from bqx_assets.fleet.messages import Fault, Message, Told, mended_cause, of_faults, of_mended, together

PERIOD = timedelta(hours=1)
"""Time in which one cause is told once and messages are counted: pairs that fail one by one, as a queue starts them,
become one more message and not 27."""


_Told = TypeVar("_Told", Fault, Told)


class Sent(Record):
    """A message that was delivered."""

    cause: str
    at: datetime


class Mailbox(Record):
    """A receiver's memory: the faults that it was told of, and the last messages."""

    told: Mapping[str, Told] = Field(default_factory=dict[str, Told])
    """Faults by their key, until the receiver was told that they are mended."""
    sent: tuple[Sent, ...] = ()
    """The messages of the last period."""
    not_before: datetime | None = None
    """The moment until which the receiver asked not to be called."""
    failures: int = 0
    """Number of attempts in a row that were not answered or refused."""

    def due(self, faults: Mapping[str, Fault], now: datetime, most: int) -> list[Message]:
        """Return the messages that may be sent now, at most ``most`` in each period."""
        recent = [each for each in self.sent if now - each.at < PERIOD]
        held, free = {each.cause for each in recent}, most - len(recent)
        news = [fault for fault in faults.values() if self._is_new(fault)]
        mended = [told for key, told in self.told.items() if key not in faults]
        made = [of_faults(each) for cause, each in _by_cause(news, lambda fault: fault.cause) if cause not in held]
        made += [of_mended(each) for cause, each in _by_cause(mended, mended_cause) if cause not in held]
        if len(made) <= free:
            return made
        return [*made[: free - 1], together(made[free - 1 :])] if free > 0 else []

    def _is_new(self, fault: Fault) -> bool:
        told = self.told.get(fault.key)
        return told is None or not {*fault.parts} <= {*told.parts}

    def waiting(self, faults: Mapping[str, Fault]) -> int:
        """Return the number of faults, new or mended, that the receiver is still to be told of."""
        return sum(map(self._is_new, faults.values())) + len(self.told.keys() - faults.keys())

    def following(self, faults: Mapping[str, Fault], kinds: frozenset[str]) -> Self:
        """Return the mailbox without what is no longer wrong in part, and without kinds that are no longer told."""
        told: dict[str, Told] = {}
        for key, each in self.told.items():
            if each.kind in kinds:
                parts = tuple(part for part in each.parts if key not in faults or part in faults[key].parts)
                told[key] = each.model_copy(update={"parts": parts})
        return self.model_copy(update={"told": told})

    def after(self, message: Message, now: datetime) -> Self:
        """Return the mailbox after a message was delivered."""
        told = {key: each for key, each in self.told.items() if key not in message.mends}
        for fault in message.tells:
            told[fault.key] = Told(kind=fault.kind, subject=fault.subject, what=fault.what, parts=fault.parts)
        recent = tuple(each for each in self.sent if now - each.at < PERIOD)
        sent = (*recent, Sent(cause=message.cause, at=now))
        return self.model_copy(update={"told": told, "sent": sent, "not_before": None, "failures": 0})

    def refused(self, now: datetime, asked_seconds: float) -> Self:
        """Return the mailbox after a message was not delivered; the receiver may ask not to be called for a time."""
        wait = now + timedelta(seconds=asked_seconds) if asked_seconds > 0 else None
        return self.model_copy(update={"not_before": wait, "failures": self.failures + 1})


def _by_cause(members: Iterable[_Told], cause: Callable[[_Told], str]) -> Iterable[tuple[str, list[_Told]]]:
    groups: dict[str, list[_Told]] = {}
    for each in members:
        groups.setdefault(cause(each), []).append(each)
    return groups.items()
