"""BigQuery's own catalogue, in one query a dataset, becomes the descriptions that the tables have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from bqx_assets.base.errors import BqxError, TableMissing, TableUnreadable, TransientReadError
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.bigquery import catalogue
from bqx_assets.extract.bigquery.catalogue import describe_dataset, server_time
from bqx_assets_tests.frames import NAMES, frame_warehouse
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery

FRAMES = frame_warehouse(30, ["mkt_vol"]).frames


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
    before = describe_dataset(client, PROJECT, "shelf")
    assert [(each.dataset, each.table) for each in before] == [("shelf", "a_table"), ("shelf", "mkt_vol")]
    table = client.get_table("shelf.mkt_vol")
    assert before[1].columns == tuple((name, NAMES[dtype.base_type()]) for name, dtype in frame.schema.items())
    assert (before[1].rows, before[1].size_bytes, before[1].last_modified) == (30, table.num_bytes, table.modified)

    client.query_and_wait("CREATE OR REPLACE TABLE shelf.mkt_vol AS SELECT * FROM shelf.mkt_vol LIMIT 20")
    after = describe_dataset(client, PROJECT, "shelf")
    assert after[0] == before[0]
    assert (after[1].rows, after[1].columns) == (20, before[1].columns)
    assert after[1].last_modified > before[1].last_modified
    assert after[1].etag != before[1].etag


def test_the_snapshot_is_the_servers_own_present_in_whole_milliseconds(client: bigquery.Client) -> None:
    now = server_time(client, PROJECT)
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=30)
    assert now.microsecond % 1000 == 0


@pytest.mark.parametrize(
    ("status", "reason", "expected", "text"),
    [
        (403, "accessDenied", TableUnreadable, r"bqx-ml\.shelf: Forbidden: .*injected.*BigQuery Read Session User"),
        (404, "notFound", TableMissing, r"bqx-ml\.shelf: NotFound: .*injected"),
        (503, "backendError", TransientReadError, r"bqx-ml\.shelf: RetryError: .*injected"),
        (400, "invalidQuery", TableUnreadable, r"bqx-ml\.shelf: BadRequest: .*injected"),
    ],
)
def test_a_refused_query_names_the_dataset(
    monkeypatch: pytest.MonkeyPatch, status: int, reason: str, expected: type[BqxError], text: str
) -> None:
    monkeypatch.setattr(catalogue, "_ALL_SECONDS", 0.5)

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            error = {"code": status, "message": "injected", "errors": [{"reason": reason}]}
            body = json.dumps({"error": error}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        options = {"api_endpoint": f"http://127.0.0.1:{server.server_port}"}
        client = bigquery.Client(PROJECT, credentials=AnonymousCredentials(), client_options=options)
        try:
            with pytest.raises(expected, match=text):
                describe_dataset(client, PROJECT, "shelf")
        finally:
            client.close()
            server.shutdown()
