"""Shows what runs really cost, by the ledger: sums by pair, stage, day or month, beside the estimate of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

from rich.table import Table

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import BqxError
from bqx_assets.base.printable import some_of
from bqx_assets.cli import results
from bqx_assets.cli.bill import Way, estimated_run
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import Ledger

_NAMED = 5
Axis = Literal["pair", "stage", "day", "month"]
_KEYS: dict[Axis, Callable[[Entry], str]] = {
    "pair": lambda entry: entry.pair,
    "stage": lambda entry: entry.stage,
    "day": lambda entry: f"{entry.began_at:%Y-%m-%d}",
    "month": lambda entry: f"{entry.began_at:%Y-%m}",
}
_HEAD = ("runs", "hours", "CPU h", "GB read", "GB queried", "GB written", "class A", "class B", "USD")


class Sums(Record):
    """The sums of some entries of the ledger. **Units** are in the names."""

    name: str
    runs: int
    published: int
    """Publications that were done."""
    failed_stages: int
    unreported_stages: int
    """Stages without an end: they are at work, or their process was killed."""
    seconds: float
    cpu_seconds: float
    read_bytes: int
    queried_bytes: int
    written_bytes: int
    class_a: int
    class_b: int
    compute_usd: float
    bigquery_usd: float
    storage_usd: float
    usd: float


class Actual(Record):
    """The ledger, summed along one axis."""

    by: Axis
    groups: tuple[Sums, ...]
    all: Sums
    unended: tuple[str, ...]
    """Stages without an end, which are not priced: pair, stage and begin (UTC)."""
    month_usd: float
    """USD of this calendar month (UTC)."""
    unended_usd: float
    """What the stages of this month without an end come to; it is in no sum, and counts against the budget."""
    unread: tuple[str, ...]
    """Names of the ledger's objects that could not be read."""
    estimated_run: Way
    """A run of one pair on Cloud Run as `bqx cost` estimates it, for comparison."""


def actual_cost(ledger: Ledger, by: Axis, now: datetime) -> Actual:
    """Return the sums of the whole ledger; entries older than two days are joined into their months first.

    Raises:
        StoreError: the store does not answer.
    """
    with suppress(BqxError, OSError):  # a ledger that may not be written can be read all the same
        ledger.join(now)
    page = ledger.read()
    month = page.month(now)
    groups: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in page.entries:
        groups[_KEYS[by](entry)].append(entry)
    return Actual(
        by=by,
        groups=tuple(_sums(name, entries) for name, entries in sorted(groups.items())),
        all=_sums("all", page.entries),
        unended=tuple(
            f"{each.pair}/{each.stage} of {each.began_at:%Y-%m-%d %H:%M}"
            for each in page.entries
            if each.outcome == "began"
        ),
        month_usd=month.usd,
        unended_usd=month.unended_usd,
        unread=tuple(page.unread),
        estimated_run=estimated_run(),
    )


def actual_table(found: Actual) -> Table:
    """Return one line for each group, and their sum."""
    table = results.plain_table(found.by, numbers=_HEAD)
    for each in found.groups:
        table.add_row(each.name, *_cells(each))
    table.add_section()
    table.add_row("all", *_cells(found.all), style="bold")
    return table


def comparison_table(found: Actual) -> Table:
    """Return what a published file has taken on the average, all stages and failures together, beside the estimate."""
    table = results.plain_table("a published file", numbers=("measured", "estimated, read in full"))
    done, way = found.all, found.estimated_run
    for name, measured, estimated, scale in (
        ("seconds", done.seconds, way.seconds, 1.0),
        ("GB read", done.read_bytes, way.storage_read_bytes, 1e9),
        ("class A", done.class_a, way.class_a, 1.0),
        ("class B", done.class_b, way.class_b, 1.0),
        ("USD, compute", done.compute_usd, way.compute_usd, 1.0),
        ("USD, BigQuery", done.bigquery_usd, way.bigquery_usd, 1.0),
        ("USD, storage", done.storage_usd, way.storage_usd, 1.0),
        ("USD", done.usd, way.total_usd, 1.0),
    ):
        places = 4 if name.startswith("USD") else 2
        average = f"{measured / done.published / scale:,.{places}f}" if done.published else "none yet"
        table.add_row(name, average, f"{estimated / scale:,.{places}f}")
    return table


def actual_lines(found: Actual) -> list[str]:
    """Return notes about what is in the sums and what is not."""
    lines = [
        "USD are measured quantities by the list prices of their day; a machine of your own is not counted.",
    ]
    if found.unended:
        stages = f"{len(found.unended):,} stage{'s' * (len(found.unended) != 1)} not ended, not priced"
        lines.append(f"{stages}: at work, or killed: {some_of(found.unended, _NAMED)}.")
        lines.append(
            f"By the last ones that ended those of this month come to about {found.unended_usd:,.4f} USD, which the "
            "budget counts."
        )
    if found.unread:
        lines.append(f"{len(found.unread):,} objects of the ledger could not be read: {', '.join(found.unread[:3])}")
    return lines


def month_line(usd: float, now: datetime, budget_usd: float | None) -> str:
    """Return a sentence about the USD of this month."""
    of = "no budget is set" if budget_usd is None else f"of a budget of {budget_usd:,.2f} USD"
    return f"{now:%B %Y} (UTC): {usd:,.2f} USD, {of}."


def _sums(name: str, entries: Sequence[Entry]) -> Sums:
    def total(of: Callable[[Entry], float]) -> float:
        return sum(of(entry) for entry in entries)

    return Sums(
        name=name,
        runs=len({(entry.run, entry.pair) for entry in entries}),
        published=sum(entry.stage == "publish" and entry.outcome == "done" for entry in entries),
        failed_stages=_count(entries, "failed"),
        unreported_stages=_count(entries, "began"),
        seconds=total(lambda each: each.seconds),
        cpu_seconds=total(lambda each: each.cpu_seconds),
        read_bytes=sum(each.read_bytes for each in entries),
        queried_bytes=sum(each.queried_bytes for each in entries),
        written_bytes=sum(each.written_bytes for each in entries),
        class_a=sum(each.class_a for each in entries),
        class_b=sum(each.class_b for each in entries),
        compute_usd=total(lambda each: each.compute_usd),
        bigquery_usd=total(lambda each: each.bigquery_usd),
        storage_usd=total(lambda each: each.storage_usd),
        usd=total(lambda each: each.usd),
    )


def _count(entries: Iterable[Entry], outcome: str) -> int:
    return sum(entry.outcome == outcome for entry in entries)


def _cells(sums: Sums) -> list[str]:
    hours = [f"{seconds / 3600:,.2f}" for seconds in (sums.seconds, sums.cpu_seconds)]
    giga = [f"{size / 1e9:,.2f}" for size in (sums.read_bytes, sums.queried_bytes, sums.written_bytes)]
    return [f"{sums.runs:,}", *hours, *giga, f"{sums.class_a:,}", f"{sums.class_b:,}", f"{sums.usd:,.4f}"]
