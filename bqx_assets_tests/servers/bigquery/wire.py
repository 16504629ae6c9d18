"""Reads frames over the wire, by the product's BigQuery warehouse and a Storage Read server that can fail."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

import pyarrow as pa
import pytest

from bqx_assets.base.retry import RetryPolicy
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import open_clients
from bqx_assets.extract.warehouse import MonthState
from bqx_assets_tests.frames import FrameWarehouse
from bqx_assets_tests.servers.bigquery.faults import FaultyReads, served


class WireWarehouse(BigQueryWarehouse):
    """The product's warehouse with the catalogue of frames; its rows come over the wire."""

    def __init__(self, address: str, frames: FrameWarehouse, policy: RetryPolicy | None = None) -> None:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9")  # nothing asks it
            clients = open_clients("bqx-ml", address)
        super().__init__(clients, max_open_streams=8, policy=policy)
        self._frames = frames

    def describe(self) -> Sequence[TableDescription]:
        """Return the descriptions of the frames."""
        return self._frames.describe()

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """Return the states of the frames' months."""
        return self._frames.months(tables)

    def snapshot(self) -> datetime:
        """Return the snapshot time of the frames."""
        return self._frames.snapshot()

    def close(self) -> None:
        """Close its connections."""
        self._clients.reads.transport.close()


@contextmanager
def wired(frames: FrameWarehouse, policy: RetryPolicy | None = None) -> Generator[tuple[WireWarehouse, FaultyReads]]:
    """Serve frames; give the warehouse that reads them, and the server."""
    tables = {name: _as_of_bigquery(frame.to_arrow()) for (_, name), frame in frames.frames.items()}
    reads = FaultyReads(tables)
    with served(reads) as address:
        warehouse = WireWarehouse(address, frames, policy)
        try:
            yield warehouse, reads
        finally:
            warehouse.close()


def _as_of_bigquery(table: pa.Table) -> pa.Table:
    """Return the table with texts of the kind that BigQuery sends; Polars has two others."""
    texts = {str(pa.large_string()), str(pa.string_view())}
    fields = cast("list[Any]", table.schema)
    return table.cast(
        pa.schema([(each.name, pa.string() if str(each.type) in texts else each.type) for each in fields])
    )
