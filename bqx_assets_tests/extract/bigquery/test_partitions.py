"""BigQuery's own view of partitions becomes the state of each month, and whatever it cannot tell apart changes all."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting, WarehouseUnavailable
from bqx_assets.base.names import KEY
from bqx_assets.base.retry import RETRIES
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.bigquery import partitions
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import Rest, open_clients
from bqx_assets.extract.bigquery.partitions import months_sql, partition_months
from bqx_assets.extract.warehouse import MonthState, Outage
from bqx_assets_tests.frames import frame_warehouse
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery
from bqx_assets_tests.servers.bigquery.rest import Refusal, RestServer, rest_served

MADE = 1_767_225_600_000
NOW = datetime(2026, 1, 5, tzinfo=UTC)
PATIENT = replace(RETRIES["bigquery"], first_wait_seconds=0.01)
QUICK = replace(PATIENT, patience_seconds=1.5, attempts=2)
ANSWER = (
    ("table_schema", "STRING"),
    ("table_name", "STRING"),
    ("month", "STRING"),
    ("total_rows", "INTEGER"),
    ("size_bytes", "INTEGER"),
    ("modified", "TIMESTAMP"),
    ("state", "STRING"),
)
REFUSED = (
    "Access Denied: Table bqx-ml:shelf.INFORMATION_SCHEMA.PARTITIONS: User does not have permission to query table"
)


def _table(name: str, dataset: str = "shelf", rows: int = 0) -> TableDescription:
    return TableDescription(dataset, name, ((KEY, "TIMESTAMP"),), rows, 8 * rows, NOW, f"{MADE}-{MADE + 9}")


def _rest(client: bigquery.Client) -> Rest:
    return Rest(client, Outage(), PATIENT)


@contextmanager
def _answered(*rows: tuple[str, str, int, str], **faults: Any) -> Generator[tuple[Rest, RestServer]]:
    """A server whose answer to the query has these tables, months, rows and states."""
    cells = [["shelf", table, month, str(count), str(8 * count), 1.7e9, state] for table, month, count, state in rows]
    with rest_served(RestServer(columns=ANSWER, rows=cells, **faults)) as rest:
        options = {"api_endpoint": rest.url}
        with closing(bigquery.Client(PROJECT, credentials=AnonymousCredentials(), client_options=options)) as client:
            yield _rest(client), rest


def _months(*rows: tuple[str, str, int, str], table: TableDescription | None = None) -> Mapping[str, MonthState]:
    with _answered(*rows) as (rest, _):
        return partition_months(rest, PROJECT, [table or _table("t")])["shelf", "t"]


Parts = Mapping[tuple[str, str], Mapping[str, int]]
"""The time of the last change of each partition of each (dataset, table)."""


@pytest.fixture(scope="module")
def views(bigquery_server: LocalBigQuery) -> Iterator[_Views]:
    with closing(bigquery_server.client()) as client:
        yield _Views(bigquery_server, client)


class _Views:
    """The product's query on tables that stand for both views: local-bigquery's own has no times and no bytes."""

    def __init__(self, server: LocalBigQuery, client: bigquery.Client) -> None:
        self._server, self._client = server, client

    def months(self, parts: Parts, *unkeyed: str) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """The months of tables with these partitions; ``unkeyed`` are not partitioned by the key."""
        names = {"table_schema": pl.String, "table_name": pl.String}
        partition = {"partition_id": pl.String, "total_rows": pl.Int64, "total_logical_bytes": pl.Int64}
        rows = [
            (*name, part, 10, 80, NOW + timedelta(seconds=changed))
            for name, found in parts.items()
            for part, changed in found.items()
        ]
        keys = [(*name, KEY, "NO" if name[1] in unkeyed else "YES") for name in parts]
        times = {"last_modified_time": pl.Datetime("us", "UTC")}
        facts = pl.DataFrame(rows, names | partition | times, orient="row")
        by_key = {"column_name": pl.String, "is_partitioning_column": pl.String}
        keyed = pl.DataFrame(keys, names | by_key, orient="row")
        datasets = {dataset for dataset, _ in parts}
        mine = {each: pl.col("table_schema") == each for each in datasets}
        self._server.load({(each, "PARTS"): facts.filter(mine[each]) for each in datasets})
        self._server.load({(each, "COLS"): keyed.filter(mine[each]) for each in datasets})
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(partitions, "months_sql", self._sql)
            return partition_months(_rest(self._client), PROJECT, [_table(name, dataset) for dataset, name in parts])

    @staticmethod
    def _sql(project: str, tables: Any) -> str:
        sql = months_sql(project, tables)
        return sql.replace("INFORMATION_SCHEMA.PARTITIONS", "PARTS").replace("INFORMATION_SCHEMA.COLUMNS", "COLS")


def test_partitions_of_every_length_are_put_into_their_months_by_the_server(views: _Views) -> None:
    found = views.months(
        {
            ("shelf", "days"): {"20251231": 1, "20260101": 2, "20260102": 3},
            ("shelf", "hours"): {"2026010100": 1, "2026010123": 2, "2026020100": 1},
            ("shelf", "months"): {"202512": 1, "202601": 4},
            ("desk", "years"): {"2025": 1},
            ("desk", "arrivals"): {"20260101": 1},
        },
        "arrivals",
    )
    counts = {name: {month: each.rows for month, each in months.items()} for name, months in found.items()}
    assert counts.pop(("desk", "years")) == {f"2025-{month:02}": 0 for month in range(1, 13)}
    assert counts == {
        ("shelf", "days"): {"2025-12": 10, "2026-01": 20},
        ("shelf", "hours"): {"2026-01": 20, "2026-02": 10},
        ("shelf", "months"): {"2025-12": 10, "2026-01": 10},
    }
    january = found["shelf", "days"]["2026-01"]
    assert (january.size_bytes, january.modified) == (160, NOW + timedelta(seconds=3))


DAYS = [f"{NOW - timedelta(days=4 * number):%Y%m%d}" for number in range(24)]
PARTITIONS = st.dictionaries(st.sampled_from(DAYS), st.integers(0, 2), min_size=1)


@settings(max_examples=3)
@given(tables=st.lists(st.tuples(PARTITIONS, PARTITIONS), min_size=12, max_size=12))
def test_any_partitions_that_change_come_or_vanish_change_their_months_and_no_others(
    views: _Views, tables: list[tuple[dict[str, int], dict[str, int]]]
) -> None:
    names = [("shelf", f"t{number}") for number in range(len(tables))]
    before = views.months({name: parts for name, (parts, _) in zip(names, tables, strict=True)})
    after = views.months({name: parts for name, (_, parts) in zip(names, tables, strict=True)})
    for name, (old, new) in zip(names, tables, strict=True):
        changed = {part for part in old.keys() | new.keys() if old.get(part) != new.get(part)}
        months = before[name].keys() | after[name].keys()
        assert {month for month in months if before[name].get(month) != after[name].get(month)} == {
            f"{part[:4]}-{part[4:6]}" for part in changed
        }


@pytest.mark.parametrize("part", ["__NULL__", "__UNPARTITIONED__", "__STREAMING_UNPARTITIONED__"])
def test_rows_of_no_known_time_change_every_month_until_now(views: _Views, part: str) -> None:
    days = {"20250901": 1, "20251101": 1}
    one, two = (views.months({("shelf", "t"): days | {part: at}})["shelf", "t"] for at in (1, 2))
    without = views.months({("shelf", "t"): days})["shelf", "t"]
    assert {*without} == {"2025-09", "2025-11"}
    assert {"2025-09", "2025-10", "2025-11", "2025-12", "2026-01", f"{datetime.now(UTC):%Y-%m}"} <= {*one}
    assert not any(one[month].state == two[month].state for month in one)
    assert not any(one[month].state == without[month].state for month in without)
    assert [one[month].rows for month in ("2025-09", "2025-10")] == [10, 0]


def test_a_table_made_again_or_with_other_columns_is_new_in_every_month() -> None:
    table = _table("t")
    again = replace(table, etag=f"{MADE + 1}-{MADE + 9}")
    wider = replace(table, columns=(*table.columns, ("x", "FLOAT64")))
    states = [_months(("t", "202601", 5, "a"), table=each)["2026-01"].state for each in (table, again, wider)]
    assert len({*states}) == 3
    later = replace(table, etag=f"{MADE}-{MADE + 99}")
    assert _months(("t", "202601", 5, "a"), table=later)["2026-01"].state == states[0]


def test_a_table_of_which_the_view_knows_too_few_rows_no_time_or_nothing_is_left_out() -> None:
    tables = [_table("t", rows=11), _table("u", rows=5), _table("v"), _table("w")]
    with _answered(("t", "202601", 10, "a"), ("u", "202601", 6, "a"), ("w", "", 6, "a")) as (rest, _):
        assert {*partition_months(rest, PROJECT, tables)} == {("shelf", "u")}


def test_one_query_asks_for_at_most_a_thousand_tables_by_name_under_the_cap_of_the_catalogue() -> None:
    tables = [_table(f"t{number:04}", ("shelf", "desk")[number % 2]) for number in range(1_001)]
    with _answered() as (rest, server):
        assert partition_months(rest, PROJECT, tables) == {}
    asked = [{*re.findall(r"'(t\d{4})'", body["query"])} for body in server.bodies]
    assert [len(names) for names in asked] == [1_000, 1]
    assert set.union(*asked) == {table.table for table in tables}
    assert {body["maximumBytesBilled"] for body in server.bodies} == {str(1 << 30)}
    assert "location" not in server.bodies[0]  # BigQuery runs it where the datasets lie


def test_hostile_names_are_refused() -> None:
    for project, name in ((PROJECT, ("shelf", "t') OR TRUE --")), (PROJECT, ("s`", "t")), ("p`.q", ("shelf", "t"))):
        with pytest.raises(BadSetting):
            months_sql(project, [name])


@contextmanager
def _warehouse(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> Generator[BigQueryWarehouse]:
    with rest_served(RestServer(lasting=refusal)) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        clients = open_clients(PROJECT, "http://127.0.0.1:9")
        yield BigQueryWarehouse(clients, max_open_streams=1, policy=QUICK)
        clients.catalogue.close()
        clients.reads.transport.close()


def test_where_the_view_is_refused_no_month_is_known_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with _warehouse(Refusal(403, "accessDenied", REFUSED), monkeypatch) as warehouse:
        assert warehouse.months_refused == ""
        assert warehouse.months([_table("t")]) == {}
        assert "does not have permission to query table" in warehouse.months_refused
        assert "GRANT `roles/bigquery.dataViewer` ON SCHEMA `bqx-ml.shelf`" in warehouse.months_refused
    with _warehouse(Refusal(400, "invalidQuery", "Unrecognized name: last_modified_time"), monkeypatch) as warehouse:
        assert warehouse.months([_table("t")]) == {}
        assert "Unrecognized name" in warehouse.months_refused


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(503, "backendError"),
        Refusal(
            403, "accessDenied", f"Access Denied: User does not have bigquery.jobs.create permission in {PROJECT}."
        ),
    ],
    ids=["outage", "no queries"],
)
def test_what_concerns_every_call_stays_an_error(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    with _warehouse(refusal, monkeypatch) as warehouse, pytest.raises(WarehouseUnavailable):
        warehouse.months([_table("t")])


def test_a_server_without_the_views_times_knows_no_month(
    bigquery_server: LocalBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = frame_warehouse(30, ["mkt_vol"]).frames
    bigquery_server.load(frames)
    for name, value in bigquery_server.environment().items():
        monkeypatch.setenv(name, value)
    clients = open_clients(PROJECT, bigquery_server.grpc_url)
    warehouse = BigQueryWarehouse(clients, max_open_streams=1)
    assert warehouse.months(warehouse.describe()) == {}
    assert "total_logical_bytes" in warehouse.months_refused
