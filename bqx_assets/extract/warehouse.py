"""What extraction may ask of a warehouse; BigQuery and the embedded one both answer.

Belongs here: the protocol. Does not: an adapter, or retrying.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from bqx_assets.base.errors import ReadsEnded
from bqx_assets.catalogue.tables import TableDescription


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Which rows and columns of one table, at which moment."""

    table: TableDescription
    columns: tuple[str, ...]
    """In the order they are wanted, the key first."""
    snapshot_time: datetime
    start: datetime | None = None
    end: datetime | None = None
    """Bounds on ``interval_time``, both inclusive."""
    pair: str | None = None
    """Only rows whose ``pair`` column has this value; None where the table has no such column."""


class Warehouse(Protocol):
    """A read-only set of tables. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """What logs and manifests call it: a folder, or ``project.dataset``."""
        ...

    @property
    def read_bytes(self) -> int:
        """Bytes read so far by this object as the warehouse bills them; 0 where reading is free."""
        ...

    @property
    def outage(self) -> Outage:
        """What its reads know of each other: whether anybody answers, and the way to end them all."""
        ...

    def describe(self) -> Sequence[TableDescription]:
        """Return every table of the feature and targets datasets, by name, in one batched query."""
        ...

    def states(self, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the present state of tables by (dataset, table): what ``describe`` gives as their etag.

        A table that is not there is left out. Only metadata is asked for, table by table, and no query is run.

        Raises:
            WarehouseError: as ``describe`` does; nothing is left out for being refused.
        """
        ...

    def snapshot(self) -> datetime:
        """Return the moment all reads of a run shall see the tables at, UTC."""
        ...

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in any order.

        Raises:
            TransientReadError: when trying again may help.
            WarehouseUnavailable: when no table of it can be read.
            ReadsEnded: when ``outage`` was told to end them all.
            TableMissing, TableUnreadable, TableChanged: when it will not.
        """
        ...


FIRST_SECONDS = 30.0
"""Without an answer before any row has arrived. A run that has nothing yet loses nothing by ending."""
LASTING_SECONDS = 150.0
"""Without a row from any table, while every call fails: longer than any passing fault of BigQuery's that was seen."""
_FEWEST_FAILURES = 2
"""Of one read: the first of them may have been a request that hung."""


class Outage:
    """What the reads of a warehouse know of each other. For several threads."""

    def __init__(self, *, first_seconds: float = FIRST_SECONDS, lasting_seconds: float = LASTING_SECONDS) -> None:
        self._first_seconds, self._lasting_seconds = first_seconds, lasting_seconds
        self._arrived: float | None = None
        self._since: float | None = None
        self._why = ""
        self._lasts = False
        self._ended = threading.Event()

    @property
    def lasts(self) -> bool:
        """Whether nothing arrived for so long that it is taken as lasting."""
        return self._lasts

    @property
    def now(self) -> bool:
        """Whether a call has failed since anything last arrived from anywhere."""
        return self._since is not None

    def words(self) -> str:
        """Return for how long nothing has arrived, and why by the last failure; empty while rows flow."""
        since = self._since
        return "" if since is None else f"nothing arrived for {time.monotonic() - since:.0f} s ({self._why})"

    def arrived(self) -> None:
        """Rows arrived, from any table: whatever failed before has passed."""
        self._arrived = time.monotonic()
        self._since = None

    def answered(self) -> None:
        """A call was answered that brings no rows: it ends a silence, and does not make one to come last longer."""
        self._since = None

    def failed(self, why: str, *, began: float, failures: int, busy: bool = False) -> bool:
        """Note the failure of a call that ``began`` then (monotonic); return whether the outage is a lasting one.

        ``failures`` counts those of this read in a row. ``busy``: the service answers, and asks to be called less
        often. Its limits are counted by the minute, so this may last longer than ``FIRST_SECONDS`` and pass.
        """
        self._why = why
        if self._since is None:
            self._since = max(began, self._arrived or began)
        limit = self._first_seconds if self._arrived is None and not busy else self._lasting_seconds
        if failures >= _FEWEST_FAILURES and time.monotonic() - self._since >= limit:
            self._lasts = True
        return self._lasts

    def end(self) -> None:
        """End every read, wherever it waits; no further one begins."""
        self._ended.set()

    def wait(self, seconds: float) -> None:
        """Wait before a next try. Raises ReadsEnded as :meth:`go_on` does, at once."""
        self._ended.wait(seconds)
        self.go_on()

    def go_on(self) -> None:
        """Do nothing while reads may go on.

        Raises:
            ReadsEnded: the run ends.
        """
        if self._ended.is_set():
            raise ReadsEnded(
                "warehouse",
                got="the run ends, by a refusal that holds for all its tables or by an interruption",
                expected="a run that goes on",
                cure="What is finished is saved; run the same command again.",
            )
