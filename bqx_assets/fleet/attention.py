"""Orders what needs attention in the fleet: the worst first, each with a sentence and the command that helps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from bqx_assets.base.artifacts import Record
from bqx_assets.base.printable import some_of
from bqx_assets.fleet.entry import LONGEST
from bqx_assets.fleet.state import FleetState, PairState, is_ahead
from bqx_assets.quality.report import count
from bqx_assets.release.status import PairStatus

Kind = Literal["damaged", "failed check", "failed table", "failed run", "unreadable", "stale", "unfinished", "missing"]
_ORDER: tuple[Kind | Literal["budget"], ...] = (
    "damaged",
    "unreadable",
    "failed check",
    "failed table",
    "failed run",
    "budget",
    "stale",
    "unfinished",
    "missing",
)
_NAMED = 3
NEAR_BUDGET = 0.8
"""Share of the month's budget from which on it is nearly spent."""


class Attention(Record):
    """One matter that needs attention."""

    pair: str
    """Empty for a matter of the whole fleet."""
    kind: Kind | Literal["budget"]
    sentence: str
    command: str
    """What helps; empty where only a person can decide."""


def attention(state: FleetState) -> list[Attention]:
    """Return what needs attention, the worst first; within a kind in market order."""
    begun = [pair for pair in state.pairs if not pair.is_untouched]
    found = [matter for pair in begun if (matter := _of_pair(pair, state)) is not None]
    found += _of_budget(state)
    found += _of_untouched([pair.status.pair for pair in state.pairs if pair.is_untouched])
    return sorted(found, key=lambda each: _ORDER.index(each.kind))


def summary(state: FleetState) -> str:
    """Return a sentence on the whole fleet: how many pairs are good, and what is the worst."""
    good, matters = sum(pair.is_good for pair in state.pairs), attention(state)
    text = f"{good} of {len(state.pairs)} pairs published, verified and fresh in {state.output}"
    return f"{text}; first: {matters[0].sentence}" if matters else text


def _of_untouched(names: list[str]) -> Iterator[Attention]:
    """Yield one matter for all pairs of which nothing exists."""
    if names:
        sentence = f"{count(len(names), 'pair')} never run: {some_of(names, _NAMED)}"
        yield Attention(pair="", kind="missing", sentence=sentence, command="bqx fleet run --stale")


def _of_pair(pair: PairState, state: FleetState) -> Attention | None:
    """Return the worst matter of a pair."""
    name = pair.status.pair
    for kind, sentence, command in _matters(pair, state):
        return Attention(pair=name, kind=kind, sentence=f"{name}: {sentence}", command=command)
    return None


def _matters(pair: PairState, state: FleetState) -> Iterator[tuple[Kind, str, str]]:
    """Yield a pair's matters with the command that helps, the worst first."""
    yield from _failures(pair, state.at)
    yield from _lacks(pair, state)


def _failures(pair: PairState, at: datetime) -> Iterator[tuple[Kind, str, str]]:
    status, name, again = pair.status, pair.status.pair, f"bqx run {pair.status.pair}"
    if status.published == "failed":
        yield "damaged", "the published file is not as its manifest states", f"bqx verify {name}"
    if status.problem:
        yield "unreadable", status.problem.partition("\n")[0], ""
    if status.failed_checks:
        there = "; an earlier file is published" if status.published not in {"none", "failed"} else ""
        what = some_of(status.failed_checks, _NAMED)
        yield "failed check", f"failed {count(len(status.failed_checks), 'check')}, {what}{there}", again
    if status.failed_tables:
        why = f": {status.failed_why}" if status.failed_why else ""
        yield "failed table", f"no slab of {some_of(status.failed_tables, _NAMED)}{why}", again
    failed = [stage for stage in pair.stages if stage.outcome == "failed"]
    if failed and failed[-1] == pair.stages[-1]:
        last = failed[-1]
        yield "failed run", f"{last.stage} failed on {last.began_at:%-d %b}: {last.error}, {last.message}", again
    if pair.stages and pair.stages[-1].outcome == "began" and at - pair.stages[-1].began_at > LONGEST:
        last = pair.stages[-1]
        yield "failed run", f"{last.stage} began on {last.began_at:%-d %b %H:%M} UTC and never ended: killed", again


def _lacks(pair: PairState, state: FleetState) -> Iterator[tuple[Kind, str, str]]:
    status, name, again = pair.status, pair.status.pair, f"bqx run {pair.status.pair}"
    if pair.snapshot_time is not None and is_ahead(pair.snapshot_time, state.at):
        told = f"its data are of {pair.snapshot_time:%-d %b %H:%M} UTC, which this machine's clock has not reached"
        yield "stale", told, "bqx doctor --only network"
    if pair.fresh is False and pair.snapshot_time is not None:
        days = (state.at - pair.snapshot_time).total_seconds() / 86_400
        yield "stale", f"its data are {days:,.1f} days old, {state.fresh_days:g} are allowed", again
    if pair.source == "changed":
        yield "stale", "its source has changed since it was read", again
    if status.published == "stale":
        yield "unfinished", "a newer file is merged and not published", f"bqx publish {name}"
    if status.merged == "stale" and status.published != "none":
        yield "unfinished", "its slabs are newer than its file", again
    if status.published in {"partial", "unverified"}:
        command = f"bqx publish {name}" if status.published == "partial" else f"bqx verify {name}"
        yield "unfinished", f"the published file is {status.published}", command
    if status.published == "none":
        yield "missing", f"begun, and not published: {_reached(status)}", again
    if pair.source_error:
        reason = pair.source_error.partition("\n")[0]
        yield "unfinished", f"whether its source changed is not known: {reason}", f"bqx plan {name}"


def _reached(status: PairStatus) -> str:
    """Return how far a pair that is not published has come."""
    if status.merged != "none":
        return "it is merged" if status.merged == "done" else "its slabs are newer than its merged file"
    if status.slabs_done:
        return f"{status.slabs_done:,} of {status.slabs_expected:,} slabs are made"
    return "it stopped at its spine"


def _of_budget(state: FleetState) -> Iterator[Attention]:
    budget = state.month_budget_usd
    if state.unread:
        so = "" if budget is None else "; no run begins while any of this month is unread"
        sentence = (
            f"{count(len(state.unread), 'object')} of the ledger cannot be read, {some_of(state.unread, _NAMED)}{so}"
        )
        yield Attention(pair="", kind="unreadable", sentence=sentence, command="bqx cost --actual")
    if budget is not None and state.month_forecast_usd >= NEAR_BUDGET * budget:
        will = "is" if state.month_usd >= budget else "will be"
        spent = f"{will} spent: no further run begins" if state.is_spent else "is nearly spent"
        unended = f", and about {state.month_unended_usd:,.2f} of stages without an end" * (state.month_unended_usd > 0)
        sentence = f"the budget of {state.at:%B} {spent}: {state.month_usd:,.2f} of {budget:,.2f} USD{unended}"
        yield Attention(pair="", kind="budget", sentence=sentence, command="bqx cost --actual --by pair")
