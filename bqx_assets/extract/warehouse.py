"""What extraction may ask of a warehouse; BigQuery and the embedded one both answer.

Belongs here: the protocol. Does not: an adapter, or retrying.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.outage import Outage


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
