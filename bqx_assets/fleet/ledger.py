"""Keeps the ledger in the output store: one small Parquet object for each stage of each run, joined by the month later.

An entry is written when its stage begins and once more when it ends, so a stage whose process was killed is there as
``began``. A run that publishes joins entries older than two days into one object a month. A reader may come across a
joining in progress: it reads the single objects first, because each is deleted only after the month's object has its
entry.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AwareDatetime

from bqx_assets.base.errors import BudgetExceeded, CheckpointCorrupt, ObjectMissing, PreconditionFailed
from bqx_assets.base.printable import some_of
from bqx_assets.base.store.protocol import ABSENT, Condition, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.threads import in_threads
from bqx_assets.fleet.entry import COMMAND, LONGEST, Entry

PREFIX = "ledger/"
"""The beginning of the names of the ledger's objects in the output store."""
_AT_ONCE = 16
_JOINED_AFTER = timedelta(days=2)
"""Age at which an entry is joined into its month: longer than any run."""
_ARROW: dict[object, pa.DataType] = {int: pa.int64(), float: pa.float64(), AwareDatetime: pa.timestamp("us", "UTC")}
"""Types of the columns by the fields' types; all others are texts."""
_SCHEMA = pa.schema(
    [pa.field(name, _ARROW.get(each.annotation, pa.string())) for name, each in Entry.model_fields.items()]
)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of the ledger, oldest first, and the names of objects that could not be read."""

    entries: list[Entry]
    unread: list[str]

    def month(self, now: datetime) -> Month:
        """Return the calendar month (UTC) of ``now``; entries of the month before it show what its runs come to.

        The page has all entries of both months; earlier ones are not looked at.
        """
        first, compared = _first_of_month(now), _previous_month(now)
        recent = [entry for entry in self.entries if entry.began_at >= compared]
        usd = sum(entry.usd for entry in recent if entry.began_at >= first)
        return Month(usd, unended_usd(recent, now), [name for name in self.unread if name >= _month_name(first)])


class Month(NamedTuple):
    """The cost of the runs of a calendar month (UTC), by the ledger."""

    usd: float
    """USD of the stages that have ended."""
    unended_usd: float
    """About what the stages without an end come to."""
    unread: list[str]
    """The names of objects that could not be read."""

    @property
    def forecast_usd(self) -> float:
        """USD once the runs at work have ended; this counts against the budget."""
        return self.usd + self.unended_usd


class Ledger:
    """The ledger of an output store. Many processes may write and read it at once."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def begin(self, entry: Entry) -> ObjectInfo:
        """Write the entry of a stage that begins. Raises StoreError, OSError."""
        name = f"{_month_name(entry.began_at)}/{entry.began_at:%dT%H%M%S}-{entry.pair}-{entry.stage}"
        return self._store.put_bytes(f"{name}-{secrets.token_hex(4)}.parquet", _encoded([entry]), only_if=ABSENT)

    def end(self, entry: Entry, begun: ObjectInfo) -> None:
        """Write the entry of a stage that ends, in the place of the one that began it. Raises StoreError, OSError."""
        try:
            self._store.put_bytes(begun.name, _encoded([entry]), only_if=begun.version)
        except PreconditionFailed:  # joined into its month meanwhile; of two entries of a stage the ended one counts
            self._store.put_bytes(begun.name, _encoded([entry]), only_if=ABSENT)

    def withdraw(self, begun: ObjectInfo) -> None:
        """Remove the entry of a stage that was refused. Raises StoreError, OSError."""
        self._delete(begun)

    def read(self, since: datetime | None = None) -> Page:
        """Return the entries of stages that began at or after ``since``; all entries without it.

        **Cost**: one listing, one read for each month and for each entry of the last two days.

        Raises:
            StoreError: the store does not answer.
        """
        first = "" if since is None else _month_name(since)
        infos = [info for info in self._store.list_objects(PREFIX) if info.name >= first]
        single = [info.name for info in infos if not _is_month(info.name)]
        months = sorted({_month_of(info.name) for info in infos})
        found = [*in_threads(self._entries, single, _AT_ONCE, "ledger")]
        found += in_threads(self._entries, months, _AT_ONCE, "ledger")
        unread = [name for name, entries in zip([*single, *months], found, strict=True) if entries is None]
        entries = _latest(entry for entries in found for entry in entries or ())
        return Page([each for each in entries if since is None or each.began_at >= since], unread)

    def month(self, now: datetime) -> Month:
        """Return what the calendar month (UTC) of ``now`` has cost. Raises as ``read``."""
        return self.read(_previous_month(now)).month(now)

    def join(self, now: datetime) -> None:
        """Join entries older than two days into one object a month. Safe beside writers, readers and other joins.

        Raises:
            StoreError: the store does not answer, or may not be written.
        """
        infos = [info for info in self._store.list_objects(PREFIX) if not _is_month(info.name)]
        old = [info for info in infos if info.updated < now - _JOINED_AFTER]
        for month in sorted({_month_of(info.name) for info in old}):
            self._join(month, [info for info in old if _month_of(info.name) == month])

    def _join(self, month: str, infos: list[ObjectInfo]) -> None:
        found = in_threads(lambda info: self._entries(info.name, info.version), infos, _AT_ONCE, "ledger")
        read = [(info, entries) for info, entries in zip(infos, found, strict=True) if entries]
        before = self._store.head(month)
        kept = [] if before is None else self._entries(month, before.version)
        if kept is None or not read:  # what cannot be read is not replaced
            return
        joined = _latest([*kept, *(entry for _, entries in read for entry in entries)])
        try:
            self._store.put_bytes(month, _encoded(joined), only_if=version_of(before))
        except PreconditionFailed:  # another process joins this month
            return
        for _ in in_threads(self._delete, [info for info, _ in read], _AT_ONCE, "ledger"):
            pass

    def _delete(self, info: ObjectInfo) -> None:
        with suppress(ObjectMissing, PreconditionFailed):  # ended meanwhile: the next join takes it
            self._store.delete(info.name, only_if=info.version)

    def _entries(self, name: str, version: Condition | None = None) -> list[Entry] | None:
        """Return the entries of an object; none if it is gone, None if it cannot be read."""
        try:
            data = self._store.read(name, only_if=version)
        except (ObjectMissing, PreconditionFailed):
            return []
        try:
            return list(_decoded(data))
        except (CheckpointCorrupt, pa.ArrowException, ArithmeticError, LookupError, OSError, TypeError, ValueError):
            return None  # pyarrow has all of these for bytes that are no Parquet


def refuse_spent(ledger: Ledger, budget_usd: float, now: datetime, run: str = "") -> Month:
    """Refuse to begin a run in a month whose runs have cost ``budget_usd``, or will when those at work have ended.

    Returns what they have cost. A ``run`` that has an entry of this month or of the month before has begun already, and
    is not refused.

    Raises:
        BudgetExceeded: they have. Nothing was read or changed.
        CheckpointCorrupt: what they have cost is not known, because an object of the ledger cannot be read.
        StoreError: the store does not answer.
    """
    page = ledger.read(_previous_month(now))
    month = page.month(now)
    if any(entry.run == run for entry in page.entries):
        return month
    if month.unread:
        raise CheckpointCorrupt(
            "the ledger",
            got=f"objects that cannot be read: {some_of(month.unread, 3)}",
            expected=f"entries of all runs of {now:%B %Y}, because BQX_MONTHLY_BUDGET_USD is set",
            cure="Nothing was read. Use the latest version of bqx-assets that writes to this output. If it cannot read "
            "them either, remove them: each holds one stage, or a month whose name it has.",
        )
    if month.forecast_usd >= budget_usd:
        following = (now.replace(day=1) + timedelta(days=31)).replace(day=1)
        at_work = f", and about {month.unended_usd:,.2f} of stages without an end" if month.unended_usd > 0 else ""
        raise BudgetExceeded(
            f"runs of {now:%B %Y}",
            got=f"{month.usd:,.2f} USD by the ledger{at_work}",
            expected=f"less than {budget_usd:,.2f} USD (BQX_MONTHLY_BUDGET_USD) before a run begins",
            cure=f"Nothing was read. Raise the budget, or wait until {following:%-d %B} (UTC); "
            "what it was spent on: bqx cost --actual --by pair",
        )
    return month


def unended_usd(entries: Sequence[Entry], now: datetime) -> float:
    """Return the USD that stages of the month without an end will come to, or came to before they were killed.

    ``entries`` by begin, those before the month as well. A killed stage, or one of a command, counts as the pair's last
    one that ended; nothing where none has. A run at work counts as all stages of the pair; of a pair that has none, as
    the mean of the others. So runs that begin together do not all find the budget unspent.
    """
    last = {(entry.pair, entry.stage): entry.usd for entry in entries if entry.outcome == "done"}
    whole: dict[str, float] = {}
    for (pair, stage), usd in last.items():
        whole[pair] = whole.get(pair, 0.0) + usd * (stage != "extract")  # of a command: spine and slabs once more
    mean = sum(whole.values()) / len(whole) if whole else 0.0
    runs: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        runs.setdefault((entry.run, entry.pair), []).append(entry)
    total, first = 0.0, _first_of_month(now)
    for (run, pair), whole_run in runs.items():
        own = [entry for entry in whole_run if entry.began_at >= first]
        if not own:
            continue
        at_work = own[-1].outcome == "began" and now - own[-1].began_at <= LONGEST
        if at_work and not run.startswith(COMMAND):
            total += max(0.0, whole.get(pair, mean) - sum(entry.usd for entry in whole_run))
        else:
            total += sum(last.get((pair, entry.stage), 0.0) for entry in own if entry.outcome == "began")
    return total


def _latest(entries: Iterable[Entry]) -> list[Entry]:
    """Return one entry for each stage, ordered by its begin; one that ended replaces the one that began it."""
    found: dict[tuple[str, str, str, datetime], Entry] = {}
    for entry in entries:
        key = (entry.run, entry.pair, entry.stage, entry.began_at)
        if key not in found or found[key].outcome == "began":
            found[key] = entry
    return sorted(found.values(), key=lambda each: (each.began_at, each.pair, each.stage, each.run))


def _first_of_month(moment: datetime) -> datetime:
    """Return the first moment of the calendar month of ``moment``."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _previous_month(now: datetime) -> datetime:
    """Return the first moment of the calendar month before that of ``now``."""
    return _first_of_month(_first_of_month(now) - timedelta(days=1))


def _month_name(moment: datetime) -> str:
    return f"{PREFIX}{moment:%Y-%m}"


def _month_of(name: str) -> str:
    """Return the name of the month's object that an entry belongs to; of a month's object its own."""
    return name if _is_month(name) else f"{name.rpartition('/')[0]}.parquet"


def _is_month(name: str) -> bool:
    return "/" not in name.removeprefix(PREFIX)


def _encoded(entries: list[Entry]) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist([entry.model_dump() for entry in entries], _SCHEMA), out, write_page_checksum=True
    )
    return out.getvalue().to_pybytes()


def _decoded(data: bytes) -> Iterator[Entry]:
    for row in pq.read_table(pa.BufferReader(data), page_checksum_verification=True).to_pylist():
        yield Entry.model_validate(row)
