"""BigQuery's own catalogue, in one query a dataset, becomes the descriptions that the tables have."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from bqx_assets.base.errors import BqxError, TableMissing, TableUnreadable, WarehouseUnavailable
from bqx_assets.base.names import KEY
from bqx_assets.base.retry import RETRIES
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.bigquery.catalogue import describe_dataset, server_time, table_states
from bqx_assets.extract.bigquery.client import Rest
from bqx_assets.extract.warehouse import Outage
from bqx_assets_tests.frames import frame_warehouse, type_name
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery
from bqx_assets_tests.servers.bigquery.rest import Refusal, RestServer, rest_served

FRAMES = frame_warehouse(30, ["mkt_vol"]).frames


def _rest(client: bigquery.Client, silent_seconds: float = 30.0) -> Rest:
    return Rest(
        client, Outage(), replace(RETRIES["bigquery"], first_wait_seconds=0.01, patience_seconds=silent_seconds)
    )


@contextmanager
def _client(rest: RestServer) -> Generator[bigquery.Client]:
    options = {"api_endpoint": rest.url}
    with closing(bigquery.Client(PROJECT, credentials=AnonymousCredentials(), client_options=options)) as client:
        yield client


@pytest.fixture
def client(bigquery_server: LocalBigQuery) -> Iterator[bigquery.Client]:
    client = bigquery_server.client()
    yield client
    client.close()


def test_tables_are_described_with_columns_rows_bytes_and_time_as_they_are_now_and_views_are_left_out(
    client: bigquery.Client, bigquery_server: LocalBigQuery
) -> None:
    frame = FRAMES[FEATURES_DATASET, "mkt_vol"]
    bigquery_server.load({("shelf", "mkt_vol"): frame, ("shelf", "a_table"): frame})
    client.query_and_wait("CREATE OR REPLACE VIEW shelf.b_view AS SELECT * FROM shelf.mkt_vol")
    before = describe_dataset(_rest(client), PROJECT, "shelf")
    assert [(each.dataset, each.table) for each in before] == [("shelf", "a_table"), ("shelf", "mkt_vol")]
    table = client.get_table("shelf.mkt_vol")
    assert before[1].columns == tuple((name, type_name(dtype)) for name, dtype in frame.schema.items())
    assert (before[1].rows, before[1].size_bytes, before[1].last_modified) == (30, table.num_bytes, table.modified)

    client.query_and_wait("CREATE OR REPLACE TABLE shelf.mkt_vol AS SELECT * FROM shelf.mkt_vol LIMIT 20")
    after = describe_dataset(_rest(client), PROJECT, "shelf")
    assert after[0] == before[0]
    assert (after[1].rows, after[1].columns) == (20, before[1].columns)
    assert after[1].last_modified > before[1].last_modified
    assert after[1].etag != before[1].etag


def test_the_snapshot_is_the_servers_own_present_in_whole_milliseconds(client: bigquery.Client) -> None:
    now = server_time(_rest(client), PROJECT)
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=30)
    assert now.microsecond % 1000 == 0


DESCRIBED = (
    ("table_id", "STRING"),
    ("row_count", "INTEGER"),
    ("size_bytes", "INTEGER"),
    ("creation_time", "INTEGER"),
    ("last_modified_time", "INTEGER"),
)
COLUMN_FIELDS = [{"name": "name", "type": "STRING"}, {"name": "type", "type": "STRING"}]


def _described(table: str, *columns: tuple[str, str]) -> list[object]:
    cells = [{"v": {"f": [{"v": name}, {"v": kind}]}} for name, kind in columns]
    return [table, "5", "40", "1000", "2000", cells]


def test_ten_thousand_tables_come_in_pages_from_where_the_dataset_is() -> None:
    rows = [_described(f"t_{number:05}", (KEY, "TIMESTAMP")) for number in range(10_000)]
    server = RestServer(columns=DESCRIBED, rows=rows, nested=COLUMN_FIELDS, page_rows=3_000)
    with rest_served(server) as rest, _client(rest) as client:
        found = describe_dataset(_rest(client), PROJECT, "shelf")
    assert [each.table for each in found] == [f"t_{number:05}" for number in range(10_000)]
    assert found[-1].columns == ((KEY, "TIMESTAMP"),)
    assert found[-1].etag == "1000-2000"
    pages = [parameters for _, path, parameters in rest.calls if path.endswith("/queries/job_1")]
    assert {page["location"] for page in pages} == {"EU"}
    assert [page["pageToken"] for page in pages if "pageToken" in page] == ["3000", "6000", "9000"]


def test_hidden_and_system_columns_are_not_asked_for_and_bigquerys_own_are_left_out() -> None:
    own = [(name, "TIMESTAMP") for name in ("_PARTITIONTIME", "_partitiondate", "_ROW_TIMESTAMP", "_CHANGE_TYPE")]
    rows = [_described("mkt_vol", *own, (KEY, "TIMESTAMP"), ("_level", "FLOAT64"))]
    with rest_served(RestServer(columns=DESCRIBED, rows=rows, nested=COLUMN_FIELDS)) as rest, _client(rest) as client:
        (table,) = describe_dataset(_rest(client), PROJECT, "shelf")
    assert table.columns == ((KEY, "TIMESTAMP"), ("_level", "FLOAT64"))
    sql = rest.bodies[0]["query"]
    assert all(
        words in sql for words in ("ordinal_position IS NOT NULL", "is_hidden = 'NO'", "is_system_defined = 'NO'")
    )


def test_states_are_the_etags_of_the_description_and_tables_that_are_not_there_are_left_out(
    client: bigquery.Client, bigquery_server: LocalBigQuery
) -> None:
    frame = FRAMES[FEATURES_DATASET, "mkt_vol"]
    bigquery_server.load({("states", "a_table"): frame, ("states", "b_table"): frame})
    described = {(each.dataset, each.table): each.etag for each in describe_dataset(_rest(client), PROJECT, "states")}
    asked = [("states", "a_table"), ("states", "b_table"), ("states", "no_table")]
    assert table_states(_rest(client), PROJECT, asked) == described


def test_states_are_asked_for_by_tables_get_alone() -> None:
    names = [("targets", f"targets_{number}") for number in range(28)]
    tables = {(PROJECT, *name): (1_000, 2_000 + number) for number, name in enumerate(names[:-1])}
    with rest_served(RestServer(tables=tables)) as rest, _client(rest) as client:
        states = table_states(_rest(client), PROJECT, names)
    assert states == {name: f"1000-{2_000 + number}" for number, name in enumerate(names[:-1])}
    path = f"/bigquery/v2/projects/{PROJECT}/datasets/targets/tables/targets_"
    assert {(method, path.rstrip("0123456789")) for method, path, _ in rest.calls} == {("GET", path)}
    assert len(rest.calls) == 28


@pytest.mark.parametrize(
    ("refusal", "expected", "text"),
    [
        (None, TableMissing, r"bqx-ml\.nowhere\.a.*Not found: Dataset bqx-ml:nowhere"),
        (
            Refusal(403, "accessDenied", "Access Denied: Permission bigquery.tables.get denied on table T"),
            TableUnreadable,
            r"bigquery\.tables\.get",
        ),
    ],
)
def test_a_state_that_is_refused_is_no_table_left_out(
    refusal: Refusal | None, expected: type[BqxError], text: str
) -> None:
    server = rest_served(RestServer(lasting=refusal))
    with server as rest, _client(rest) as client, pytest.raises(expected, match=text):
        table_states(_rest(client), PROJECT, [("nowhere", "a")])


@pytest.mark.parametrize(
    ("status", "reason", "expected", "text"),
    [
        (403, "accessDenied", TableUnreadable, r"bqx-ml\.shelf: Forbidden: .*injected"),
        (404, "notFound", TableMissing, r"bqx-ml\.shelf: NotFound: .*injected"),
        (503, "backendError", WarehouseUnavailable, r"bqx-ml\.shelf: ServiceUnavailable: .*injected"),
        (400, "invalidQuery", TableUnreadable, r"bqx-ml\.shelf: BadRequest: .*injected"),
    ],
)
def test_a_refused_query_names_the_dataset(status: int, reason: str, expected: type[BqxError], text: str) -> None:
    server = rest_served(RestServer(lasting=Refusal(status, reason)))
    with server as rest, _client(rest) as client, pytest.raises(expected, match=text):
        describe_dataset(_rest(client, 1.5), PROJECT, "shelf")


@pytest.mark.parametrize("view", ["__TABLES__", "INFORMATION_SCHEMA.COLUMNS"])
def test_a_refused_view_of_bigquerys_own_names_the_permission_and_the_dataset_that_it_is_granted_on(view: str) -> None:
    table = f"bqx-ml:shelf.{view}"
    refused = f"User does not have permission to query table {table}, or perhaps it does not exist."
    words = f"Access Denied: Table {table}: {refused}"
    server = rest_served(RestServer(lasting=Refusal(403, "accessDenied", words)))
    with server as rest, _client(rest) as client, pytest.raises(TableUnreadable) as caught:
        describe_dataset(_rest(client), PROJECT, "shelf")
    assert "the permission bigquery.tables." in caught.value.expected
    assert "GRANT `roles/bigquery.dataViewer` ON SCHEMA `bqx-ml.shelf`" in caught.value.cure


def test_an_api_that_is_off_is_switched_on_in_the_project_that_the_answer_names() -> None:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": "bigquery.googleapis.com", "consumer": "projects/123456789012"},
    }
    words = "BigQuery API has not been used in project 123456789012 before or it is disabled."
    off = Refusal(403, "accessNotConfigured", words, "PERMISSION_DENIED", [info])
    server = rest_served(RestServer(lasting=off))
    with server as rest, _client(rest) as client, pytest.raises(WarehouseUnavailable) as caught:
        describe_dataset(_rest(client), PROJECT, "shelf")
    assert "gcloud services enable bigquery.googleapis.com --project 123456789012" in caught.value.cure
    assert len(rest.calls) == 1
