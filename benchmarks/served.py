"""The pair that ``reads_server`` serves, seen from the client: its catalogue, its requests, the product's warehouse."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read import client as product_client
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from benchmarks.columns import keys
from benchmarks.folders import PAIR, chosen_tables
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import FORWARD_PREFIX, TableDescription
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import (
    FEATURES_DATASET,
    PAIR_COLUMN,
    TARGETS_DATASET,
    ExpectedTable,
    expected_tables,
    targets_table,
)
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import Clients
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import MonthState, ReadRequest, Warehouse

PROJECT = "benchmark-project"
MODIFIED = datetime(2026, 1, 1, tzinfo=UTC)
Kind = tuple[tuple[str, str], ...]
"""Names and types of a table's columns that are read besides the key."""
TARGETS_KIND: Kind = tuple((name, "FLOAT64") for name in load_expectations().targets())
BQX_KIND: Kind = tuple((f"bqx_{window}", "FLOAT64") for window in sorted(map(str, load_expectations().windows)))


def read_columns(table: ExpectedTable) -> Kind:
    """Return the columns that extraction reads besides the key: those whose names do not look forward."""
    return tuple((name, kind) for name, kind in table.columns if not name.startswith(FORWARD_PREFIX))


def served_tables(count: int) -> dict[str, Kind]:
    """Return the targets table and ``count`` feature tables by name."""
    return {targets_table(PAIR): TARGETS_KIND} | {each.table: read_columns(each) for each in chosen_tables(count)}


def descriptions(count: int, rows: int) -> list[TableDescription]:
    """Return the tables as a catalogue query does, with columns that look forward."""
    targets = (TARGETS_DATASET, targets_table(PAIR), ((KEY, "TIMESTAMP"), *TARGETS_KIND))
    types = {KEY: "TIMESTAMP", PAIR_COLUMN: "STRING"}
    features = [
        (FEATURES_DATASET, each.table, (*((key, types[key]) for key in each.keys), *each.columns))
        for each in chosen_tables(count)
    ]
    return [
        TableDescription(dataset, table, columns, rows, 8 * rows * len(columns), MODIFIED, etag="1")
        for dataset, table, columns in (targets, *features)
    ]


class ServedWarehouse(BigQueryWarehouse):
    """The product's BigQuery warehouse without its REST queries: catalogue and clock are given, months are not."""

    def __init__(self, address: str, count: int, rows: int) -> None:
        settings = Settings()
        super().__init__(_clients(address), max_open_streams=settings.bigquery_streams)
        self._descriptions = descriptions(count, rows)

    def describe(self) -> Sequence[TableDescription]:
        """Return the served tables."""
        return self._descriptions

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """Return nothing: no month is known."""
        del tables
        return {}

    def snapshot(self) -> datetime:
        """Return the time of the call."""
        return datetime.now(UTC)


def requests(count: int, rows: int) -> list[ReadRequest]:
    """Return a read of each served table, as extraction makes them."""
    bounds = keys(rows)
    columns = {name: (KEY, *(column for column, _ in kind)) for name, kind in served_tables(count).items()}
    return [
        ReadRequest(each, columns[each.table], datetime.now(UTC), start=bounds[0], end=bounds[-1])
        for each in descriptions(count, rows)
    ]


def job(warehouse: Warehouse, settings: Settings, count: int, rows: int, slabs: Slabs) -> Extraction:
    """Return the pair's extraction."""
    return Extraction(PAIR, warehouse, slabs, settings, expected(count, rows), Silent())


def expected(count: int, rows: int) -> Expectations:
    """Return the packaged expectations without what a smaller run leaves out."""
    found = load_expectations()
    there = {each.table for each in chosen_tables(count)}
    absent = {each.table: "not served" for each in expected_tables(PAIR) if each.table not in there}
    columns = 50 + sum(len(read_columns(each)) for each in chosen_tables(count))
    least = {"min_rows": min(rows, found.min_rows), "min_columns": min(columns, found.min_columns)}
    return found.model_copy(update={"known_absent": absent, **least})


def read_client(address: str) -> BigQueryReadClient:
    """Return a client of the server as Google's documentation makes it."""
    return BigQueryReadClient(transport=_transport(address))


def _clients(address: str) -> Clients:
    """Return the product's two clients; the REST one is never used."""
    rest = bigquery.Client(project=PROJECT, credentials=AnonymousCredentials())
    return Clients(PROJECT, PROJECT, rest, product_client.BigQueryReadClient(transport=_transport(address)))


def _transport(address: str) -> BigQueryReadGrpcTransport:
    options = [("grpc.max_receive_message_length", -1)]
    return BigQueryReadGrpcTransport(channel=grpc.insecure_channel(address.removeprefix("http://"), options=options))


def home_of(folder: str, output: str | None = None) -> Settings:
    """Return the settings of a run in ``folder``."""
    return Settings(home=Path(folder), output=output)
