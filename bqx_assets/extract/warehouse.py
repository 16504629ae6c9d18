"""The warehouse protocol, which BigQuery and the embedded warehouse implement, and the outage that its reads share.

A network that fails is gone for all 667 tables of a pair; each table alone would need 97 seconds to find that out. So
the time since rows last arrived is known to all reads of a warehouse, and one place ends them all. Which failures may
pass, and how often one read is tried, is the adapter's decision.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import pyarrow as pa

from bqx_assets.base.errors import ReadsEnded
from bqx_assets.catalogue.discovery import TableDescription


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The rows and columns that are read of one table, and the snapshot time."""

    table: TableDescription
    columns: tuple[str, ...]
    """The wanted columns in order, the key first."""
    snapshot_time: datetime
    start: datetime | None = None
    end: datetime | None = None
    """Bounds on ``interval_time``, both inclusive."""
    pair: str | None = None
    """Only rows with this value in column ``pair`` are read; None for a table without that column."""
    period: str = ""
    """The name of the period that the range lies in, such as ``2026-01``; empty for a read of the whole table."""
    state: str = ""
    """The state of the table in that period; empty where only the table's own, its etag, is known."""
    whole: tuple[datetime, datetime] | None = None
    """The range of all reads of this table in the period, of which this is one; None if there is no other."""


@dataclass(frozen=True, slots=True)
class AheadRead:
    """A read of a table that will follow, and the names that its columns have in the training file."""

    request: ReadRequest
    """The whole range; the table is then read in one slice of it or in several."""
    names: Mapping[str, str]
    """The name in the training file by the table's own name, without the key."""
    rows: int
    """Number of the spine's keys in that range."""

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.request.table.table


@dataclass(frozen=True, slots=True)
class MonthState:
    """The state of a table's rows of one calendar month, UTC."""

    state: str
    """A short text, which is another one whenever rows of the month may have changed."""
    rows: int
    size_bytes: int
    modified: datetime | None
    """The last change of these rows; None where the warehouse knows only that of the table."""


class Warehouse(Protocol):
    """A read-only set of tables. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """The name in logs and manifests: a folder, or a project."""
        ...

    @property
    def read_bytes(self) -> int:
        """Bytes that this object has read so far, as the warehouse bills them; 0 if reading is free."""
        ...

    @property
    def outage(self) -> Outage:
        """State that all reads share: whether anything arrives, and the way to end them all."""
        ...

    def describe(self) -> Sequence[TableDescription]:
        """Return every table of the feature and targets datasets, ordered by name, in one batched query."""
        ...

    def states(self, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the present state of tables by (dataset, table), in the form of ``TableDescription.etag``.

        A missing table is left out. Only metadata is requested, table by table, and no query is run.

        Raises:
            WarehouseError: as ``describe`` does. A refused table is an error, not left out.
        """
        ...

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """Return, by (dataset, table), the state of each month (UTC, such as ``2026-01``) that may have rows.

        A table whose months are not known is left out: its etag then stands for all of them. Asked for between
        ``describe`` and ``snapshot``: what changes in between is read at once, and read again by the next run.

        Raises:
            WarehouseError: nobody answers, as for ``describe``. A refusal is told by ``months_refused`` instead.
        """
        ...

    @property
    def months_refused(self) -> str:
        """The reason, in sentences, for which the last call of ``months`` knew no table; empty if it was answered."""
        ...

    def snapshot(self) -> datetime:
        """Return the time, UTC, at which all reads of a run see the tables."""
        ...

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in any order.

        Raises:
            TransientReadError: a retry may help.
            WarehouseUnavailable: no table of the warehouse can be read.
            ReadsEnded: ``outage`` has ended all reads.
            TableMissing, TableUnreadable, TableChanged: a retry will not help.
        """
        ...


class InFront:
    """A warehouse in front of another one, which answers everything but how rows are read."""

    def __init__(self, inner: Warehouse) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """The name of the inner warehouse."""
        return self._inner.name

    @property
    def outage(self) -> Outage:
        """The outage of the inner warehouse."""
        return self._inner.outage

    @property
    def read_bytes(self) -> int:
        """The bytes that the inner warehouse bills: those of the rows that it was asked for."""
        return self._inner.read_bytes

    def describe(self) -> Sequence[TableDescription]:
        """Return the tables of the inner warehouse."""
        return self._inner.describe()

    def states(self, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the states of tables in the inner warehouse."""
        return self._inner.states(tables)

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """Return the states of the months of tables in the inner warehouse."""
        return self._inner.months(tables)

    @property
    def months_refused(self) -> str:
        """The reason for which the inner warehouse knew no month of any table."""
        return self._inner.months_refused

    def snapshot(self) -> datetime:
        """Return the snapshot time of the inner warehouse."""
        return self._inner.snapshot()


@runtime_checkable
class ReadsAhead(Protocol):
    """A warehouse that can fetch the rows of many tables together by queries, if it is told before they are read."""

    @property
    def queried_bytes(self) -> int:
        """Bytes that its queries have scanned so far, as the warehouse bills them."""
        ...

    def ahead(self, reads: Sequence[AheadRead]) -> AbstractContextManager[None]:
        """Fetch the rows of these reads, and keep them for the block.

        A failure of one table, or of all, is raised by ``read``, not here.

        Raises:
            FolderBusy: another run has fetched rows of the pair and still reads them.
            BaseException: the run was interrupted.
        """
        ...


FIRST_SECONDS = 30.0
"""Time without an answer, before any row has arrived, after which an outage counts as lasting. Nothing is lost then."""
LASTING_SECONDS = 150.0
"""The same after rows have arrived, while every call fails: longer than any passing fault of BigQuery that was seen."""
_FEWEST_FAILURES = 2
"""Failures of one read before an outage can count as lasting: the first may have been a request that hung."""


class Outage:
    """State that the reads of a warehouse share: when anything last arrived, and whether they are to end.

    Safe to use from several threads.
    """

    def __init__(self, *, first_seconds: float = FIRST_SECONDS, lasting_seconds: float = LASTING_SECONDS) -> None:
        self._first_seconds, self._lasting_seconds = first_seconds, lasting_seconds
        self._arrived: float | None = None
        self._since: float | None = None
        self._why = ""
        self._lasts = False
        self._ended = threading.Event()

    @property
    def lasts(self) -> bool:
        """Return whether nothing has arrived for so long that the outage counts as lasting."""
        return self._lasts

    @property
    def now(self) -> bool:
        """Return whether a call has failed since anything last arrived from anywhere."""
        return self._since is not None

    def words(self) -> str:
        """Return for how long nothing has arrived and the meaning of the last failure; empty while rows arrive."""
        since = self._since
        return "" if since is None else f"nothing arrived for {time.monotonic() - since:.0f} s ({self._why})"

    def arrived(self) -> None:
        """Note that rows of some table have arrived: earlier failures have passed."""
        self._arrived = time.monotonic()
        self._since = None

    def answered(self) -> None:
        """Note that a call without rows was answered: this outage is over; the limit of a later one stays as it is."""
        self._since = None

    def failed(self, why: str, *, began: float, failures: int, busy: bool = False) -> bool:
        """Note the failure of a call that ``began`` at that monotonic time; return whether the outage is a lasting one.

        ``failures`` counts the failures of this read in a row. ``busy``: the service answers that its rate limits are
        exceeded; they are counted by the minute, so this may take longer than ``FIRST_SECONDS`` and still pass.
        """
        self._why = why
        if self._since is None:
            self._since = max(began, self._arrived or began)
        limit = self._first_seconds if self._arrived is None and not busy else self._lasting_seconds
        if failures >= _FEWEST_FAILURES and time.monotonic() - self._since >= limit:
            self._lasts = True
        return self._lasts

    def end(self) -> None:
        """End every read, whatever it waits for; no further read begins."""
        self._ended.set()

    def wait(self, seconds: float) -> None:
        """Wait before the next attempt. Raises ReadsEnded at once when the run ends."""
        self._ended.wait(seconds)
        self.go_on()

    def go_on(self) -> None:
        """Do nothing unless reads are to end.

        Raises:
            ReadsEnded: the run ends.
        """
        if self._ended.is_set():
            raise ReadsEnded(
                "warehouse",
                got="the run ends, because of a refusal that concerns all tables or of an interruption",
                expected="a run that continues",
                cure="Finished tables are saved; run the same command again.",
            )
