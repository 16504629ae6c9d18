"""Each fault on the way from BigQuery ends in the whole table once, or in one error that names the table."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import polars as pl
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types
from google.rpc.error_details_pb2 import ErrorInfo
from polars.testing import assert_frame_equal

from bqx_assets.base.errors import (
    BqxError,
    BudgetExceeded,
    ReadsEnded,
    TableChanged,
    TableMissing,
    TableUnreadable,
    TransientReadError,
    WarehouseUnavailable,
)
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.retry import RETRIES, RetryPolicy
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.bigquery import bigquery_warehouse
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import Clients, open_clients
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.warehouse import Outage, ReadRequest
from bqx_assets_tests.frames import START, minutes
from bqx_assets_tests.servers.bigquery.faults import Fault, FaultyReads, served

ROWS = 100
FRAME = pl.DataFrame(
    [minutes(ROWS), pl.Series("scope", ["all", "some"] * (ROWS // 2)), pl.Series("level", range(ROWS), pl.Float64)]
)
TABLE = TableDescription(
    FEATURES_DATASET,
    "mkt_vol",
    ((KEY, "TIMESTAMP"), ("scope", "STRING"), ("level", "FLOAT64")),
    ROWS,
    2_400,
    START,
    "etag",
)
REQUEST = ReadRequest(
    TABLE, ("level", KEY), datetime(2026, 1, 6, tzinfo=UTC), START, START + timedelta(days=9), "eurusd"
)
QUICK = replace(RETRIES["bigquery"], call_seconds=20, attempts=3, first_wait_seconds=0.001, longest_wait_seconds=0.002)
UNAVAILABLE = Fault("status")


@pytest.fixture
def reads() -> FaultyReads:
    return FaultyReads({"mkt_vol": pa.Table.from_pydict(FRAME.to_dict(as_series=False), schema=_schema())})


@pytest.fixture
def clients(reads: FaultyReads, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9")  # nothing answers the catalogue here
    with served(reads) as address:
        clients = open_clients("bqx-ml", address)
        yield clients
        clients.reads.transport.close()


def _schema() -> pa.Schema:
    return pa.schema({KEY: pa.timestamp("us", tz="UTC"), "scope": pa.string(), "level": pa.float64()})


def _warehouse(clients: Clients, policy: RetryPolicy = QUICK, **limits: int) -> BigQueryWarehouse:
    return BigQueryWarehouse(clients, policy=policy, **({"max_open_streams": 8} | limits))


def _read(clients: Clients, policy: RetryPolicy = QUICK) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_batches(_warehouse(clients, policy).read(REQUEST)))
    assert isinstance(frame, pl.DataFrame)
    return frame.select(KEY, "level").sort(KEY)


def test_rows_of_several_streams_are_the_tables_own(reads: FaultyReads, clients: Clients) -> None:
    assert_frame_equal(_read(clients), FRAME.select(KEY, "level"))
    assert {read.read_stream for read in reads.reads} == {"0/mkt_vol/0", "0/mkt_vol/1"}


def test_a_session_asks_for_the_wanted_columns_rows_moment_and_compression(
    reads: FaultyReads, clients: Clients
) -> None:
    _read(clients)
    session = reads.sessions[0].read_session
    assert session.table == f"projects/bqx-ml/datasets/{FEATURES_DATASET}/tables/mkt_vol"
    assert session.data_format == types.DataFormat.ARROW
    assert list(session.read_options.selected_fields) == ["level", KEY]
    assert session.read_options.row_restriction == (
        "(interval_time >= TIMESTAMP '2024-01-02 00:00:00+00:00'"
        " AND interval_time <= TIMESTAMP '2024-01-11 00:00:00+00:00' OR interval_time IS NULL) AND pair = 'eurusd'"
    )
    assert session.table_modifiers.snapshot_time == REQUEST.snapshot_time
    codec = session.read_options.arrow_serialization_options.buffer_compression
    assert codec == types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
def test_a_stream_broken_in_the_middle_is_resumed_at_its_offset(
    reads: FaultyReads, clients: Clients, code: str
) -> None:
    reads.streams = 1
    status = grpc.StatusCode[code]
    reads.read_faults = [Fault("status", status, batches=3), Fault("status", status, batches=2)]
    assert_frame_equal(_read(clients), FRAME.select(KEY, "level"))
    assert [read.offset for read in reads.reads] == [0, 30, 50]
    assert len(reads.sessions) == 1


@pytest.mark.parametrize("kind", ["cut", "damaged", "miscounted"])
def test_a_stream_that_arrives_short_or_damaged_is_read_on_from_the_last_good_row(
    reads: FaultyReads, clients: Clients, kind: str
) -> None:
    reads.streams = 1
    reads.read_faults = [Fault(kind, batches=4)]  # type: ignore[arg-type]
    assert_frame_equal(_read(clients), FRAME.select(KEY, "level"))
    assert [read.offset for read in reads.reads] == [0, 40]


def test_a_hanging_stream_is_left_at_its_deadline_and_resumed(reads: FaultyReads, clients: Clients) -> None:
    reads.streams = 1
    reads.read_faults = [Fault("hang", batches=2)]
    policy = replace(RETRIES["bigquery"], call_seconds=0.5, attempts=3, first_wait_seconds=0.001)
    assert_frame_equal(_read(clients, policy), FRAME.select(KEY, "level"))
    assert [read.offset for read in reads.reads] == [0, 20]


def test_a_stream_without_progress_ends_as_a_transient_error_of_its_table(reads: FaultyReads, clients: Clients) -> None:
    reads.streams = 1
    reads.read_faults = [Fault("status", batches=1), *[Fault("status", batches=0)] * 5]
    with pytest.raises(TransientReadError, match=r"bqx_ml_v3_features_v2\.mkt_vol: ServiceUnavailable"):
        _read(clients)
    assert [read.offset for read in reads.reads] == [0, 10, 10]


def test_progress_gives_a_stream_its_tries_back(reads: FaultyReads, clients: Clients) -> None:
    reads.streams = 1
    reads.read_faults = [Fault("status", batches=1)] * 9
    assert_frame_equal(_read(clients), FRAME.select(KEY, "level"))
    assert len(reads.reads) == 10


def test_the_wait_a_server_asks_for_is_waited(reads: FaultyReads, clients: Clients) -> None:
    reads.read_faults = [Fault("status", grpc.StatusCode.RESOURCE_EXHAUSTED, batches=0, wait_seconds=0.4)]
    began = time.monotonic()
    _read(clients)
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize(("code", "lasts"), [("RESOURCE_EXHAUSTED", False), ("UNAVAILABLE", True)])
def test_a_limit_of_a_minute_that_is_used_up_at_the_start_is_no_outage(
    reads: FaultyReads, clients: Clients, monkeypatch: pytest.MonkeyPatch, code: str, *, lasts: bool
) -> None:
    monkeypatch.setattr("bqx_assets.extract.bigquery.bigquery_warehouse.Outage", lambda: Outage(first_seconds=0.0))
    reads.session_faults = [Fault("status", grpc.StatusCode[code])] * 2
    if lasts:
        with pytest.raises(WarehouseUnavailable):
            _read(clients)
    else:
        assert _read(clients).height == ROWS


def test_a_session_refused_for_now_is_asked_for_again(reads: FaultyReads, clients: Clients) -> None:
    reads.session_faults = [UNAVAILABLE, Fault("status", grpc.StatusCode.RESOURCE_EXHAUSTED)]
    assert _read(clients).height == ROWS
    assert len(reads.sessions) == 3


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, TableMissing),
        (grpc.StatusCode.PERMISSION_DENIED, TableUnreadable),
        (grpc.StatusCode.UNAUTHENTICATED, WarehouseUnavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, TableUnreadable),
        (grpc.StatusCode.UNIMPLEMENTED, WarehouseUnavailable),
    ],
)
@pytest.mark.parametrize("where", ["session_faults", "read_faults"])
def test_a_lasting_refusal_names_the_table_and_is_not_tried_again(
    reads: FaultyReads, clients: Clients, code: grpc.StatusCode, expected: type[BqxError], where: str
) -> None:
    reads.streams = 1
    setattr(reads, where, [Fault("status", code, batches=1)])
    with pytest.raises(expected, match=r"bqx_ml_v3_features_v2\.mkt_vol: .*injected"):
        _read(clients)
    assert (len(reads.sessions), len(reads.reads)) == (1, int(where == "read_faults"))


def test_a_column_of_another_type_than_planned_is_refused_before_any_row(reads: FaultyReads, clients: Clients) -> None:
    table = reads.tables["mkt_vol"]
    reads.tables["mkt_vol"] = table.set_column(2, "level", table["level"].cast(pa.string()))
    with pytest.raises(TableChanged, match="level string, expected level double"):
        _read(clients)
    assert not reads.reads


def test_a_table_deleted_since_it_was_planned_is_missing(reads: FaultyReads, clients: Clients) -> None:
    reads.tables.clear()
    with pytest.raises(TableMissing, match=r"mkt_vol: NotFound"):
        _read(clients)


def test_a_read_over_the_cap_is_refused_before_any_row(reads: FaultyReads, clients: Clients) -> None:
    warehouse = _warehouse(clients, max_bytes=20_000)
    assert [sum(1 for _ in warehouse.read(REQUEST)) for _ in range(2)] == [10, 10]
    with pytest.raises(BudgetExceeded, match=r"8,000 bytes to read after 16,000, expected at most 20,000"):
        next(warehouse.read(REQUEST))
    assert warehouse.read_bytes == 16_000
    assert len(reads.reads) == 4


def test_open_streams_stay_within_the_limit_over_all_tables(reads: FaultyReads, clients: Clients) -> None:
    reads.streams = 4
    warehouse = _warehouse(clients, max_open_streams=2)
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(sum(batch.num_rows for batch in warehouse.read(REQUEST))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert counts == [ROWS] * 4
    assert reads.most_open <= 2


def test_leaving_a_read_early_ends_its_calls(reads: FaultyReads, clients: Clients) -> None:
    reads.read_faults = [Fault("hang", batches=2)] * 2
    rows = _warehouse(clients).read(REQUEST)
    next(rows)
    time.sleep(0.2)  # until both streams hang
    began = time.monotonic()
    rows.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("batches", [0, 3])
def test_a_session_that_has_run_out_is_opened_anew_at_the_same_moment_and_every_row_comes_once(
    reads: FaultyReads, clients: Clients, batches: int
) -> None:
    reads.later_streams = 3
    reads.read_faults = [Fault("expired", batches=batches)] * 2
    frame = read_frame(_warehouse(clients), REQUEST, subject="t", progress=Silent())
    assert_frame_equal(frame.select(KEY, "level").sort(KEY), FRAME.select(KEY, "level"))
    assert len(reads.sessions) == 2
    moments = [each.read_session.table_modifiers.snapshot_time for each in reads.sessions]
    assert moments == [REQUEST.snapshot_time] * 2


def test_a_session_that_runs_out_after_rows_were_yielded_ends_so_that_the_table_is_begun_anew(
    reads: FaultyReads, clients: Clients
) -> None:
    reads.streams = 1
    reads.read_faults = [Fault("expired", batches=3)]
    with pytest.raises(TransientReadError, match="session expired at"):
        _read(clients)
    assert len(reads.sessions) == 1


def test_a_removed_stream_is_read_on_once_and_then_begun_anew(reads: FaultyReads, clients: Clients) -> None:
    reads.streams = 1
    removed = Fault("status", grpc.StatusCode.UNKNOWN, batches=0, message="Stream removed")
    reads.read_faults = [Fault("status", grpc.StatusCode.UNKNOWN, batches=3, message="Stream removed"), removed]
    frame = read_frame(_warehouse(clients), REQUEST, subject="t", progress=Silent())
    assert_frame_equal(frame.select(KEY, "level").sort(KEY), FRAME.select(KEY, "level"))
    assert [(read.read_stream[0], read.offset) for read in reads.reads] == [("0", 0), ("0", 30), ("1", 0)]


def test_a_session_that_opens_slowly_is_waited_for_and_one_that_hangs_is_asked_for_beside(
    reads: FaultyReads, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bigquery_warehouse, "SESSION_SECONDS", 20)
    monkeypatch.setattr(bigquery_warehouse, "BESIDE_SECONDS", 0.3)
    reads.session_faults = [Fault("slow", wait_seconds=0.9), *[Fault("hang")] * 2]
    assert _read(clients).height == ROWS
    assert {read.read_stream[0] for read in reads.reads} == {"0"}
    reads.sessions.clear()
    reads.session_faults = [Fault("hang")]
    assert _read(clients).height == ROWS
    assert len(reads.sessions) == 2


def test_credentials_that_grpc_calls_unavailable_end_all_reads_at_the_first_try(
    reads: FaultyReads, clients: Clients
) -> None:
    words = "Getting metadata from plugin failed with error: ('invalid_grant: Bad Request', {'error': 'invalid_grant'})"
    reads.session_faults = [Fault("status", message=words)]
    with pytest.raises(WarehouseUnavailable, match=r"invalid_grant.*gcloud auth application-default login"):
        _read(clients)
    assert len(reads.sessions) == 1


def test_where_nothing_ever_arrives_a_read_gives_up_for_all(reads: FaultyReads, clients: Clients) -> None:
    reads.lasting = UNAVAILABLE
    warehouse = _warehouse(clients, replace(QUICK, attempts=1_000))
    warehouse._outage = warehouse._streams._outage = warehouse._opening._outage = Outage(first_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(WarehouseUnavailable, match=r"mkt_vol: ServiceUnavailable: injected.*an answer of BigQuery"):
        list(warehouse.read(REQUEST))
    assert 0.3 <= time.monotonic() - began < 5
    reads.lasting = None


@pytest.mark.parametrize("where", ["session", "stream", "wait"])
def test_reads_that_are_to_end_end_at_once_wherever_they_wait(reads: FaultyReads, clients: Clients, where: str) -> None:
    hang = Fault("hang", batches=1)
    reads.session_faults = [hang] * 9 if where == "session" else []
    reads.read_faults = [hang] * 2 if where == "stream" else [UNAVAILABLE] * 9
    warehouse = _warehouse(clients, replace(RETRIES["bigquery"], first_wait_seconds=60, longest_wait_seconds=60))
    threading.Timer(0.3, warehouse.outage.end).start()
    began = time.monotonic()
    with pytest.raises(ReadsEnded):
        list(warehouse.read(REQUEST))
    assert time.monotonic() - began < 3


def _details() -> tuple[ErrorInfo, ...]:
    consumer = {"service": "bigquerystorage.googleapis.com", "consumer": "projects/123456789012"}
    return (ErrorInfo(reason="SERVICE_DISABLED", domain="googleapis.com", metadata=consumer),)


@pytest.mark.parametrize(
    ("fault", "expected", "text"),
    [
        (
            "PERMISSION_DENIED: request failed: the user does not have 'bigquery.readsessions.create' permission for "
            "'projects/the-payer'",
            WarehouseUnavailable,
            r"expected the permission bigquery\.readsessions\.create on projects/the-payer.*"
            r"gcloud projects add-iam-policy-binding the-payer .*roles/bigquery\.readSessionUser",
        ),
        (
            "PERMISSION_DENIED: request failed: Access Denied: Table bqx-ml:d.t: Permission bigquery.tables.getData "
            "denied on table bqx-ml:d.t (or it may not exist).",
            TableUnreadable,
            r"expected the permission bigquery\.tables\.getData on bqx-ml:d\.t",
        ),
        (
            "PERMISSION_DENIED: BigQuery Storage API has not been used in project 123456789012 before.",
            WarehouseUnavailable,
            r"gcloud services enable bigquerystorage\.googleapis\.com",
        ),
        (
            "PERMISSION_DENIED: request failed: Access Denied: BigQuery: Time travel on table bqx-ml:d.t is forbidden "
            "as it has (or has had) row access policies.",
            TableUnreadable,
            r"overrideTimeTravelRestrictions",
        ),
        (
            "INVALID_ARGUMENT: request failed: non-table entities cannot be read with the storage API",
            TableUnreadable,
            r"view",
        ),
        (
            "INVALID_ARGUMENT: request failed: Cannot query over table 'bqx-ml:d.t' without a filter over column(s) "
            "'interval_time'",
            TableUnreadable,
            r"require_partition_filter",
        ),
        ("INVALID_ARGUMENT: request failed: Invalid snapshot time", TableUnreadable, r"new spine.*bqx extract"),
    ],
)
def test_a_refusal_in_googles_own_words_says_what_is_missing_where_and_what_helps(
    reads: FaultyReads, clients: Clients, fault: str, expected: type[BqxError], text: str
) -> None:
    code, _, message = fault.partition(": ")
    details = _details() if "has not been used" in message else ()
    reads.session_faults = [Fault("status", grpc.StatusCode[code], message=message, details=details)]
    with pytest.raises(expected, match=text) as caught:
        _read(clients)
    assert message in caught.value.got
    assert len(reads.sessions) == 1
