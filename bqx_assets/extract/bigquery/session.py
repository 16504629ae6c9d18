"""Read sessions of the Storage Read API: the request, the call that opens one, the schema's check, the byte budget.

Every name in a request is validated. The rows of a session are read in ``streams``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pyarrow as pa
from google.api_core import exceptions as google
from google.api_core import gapic_v1
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports.base import DEFAULT_CLIENT_INFO

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import BudgetExceeded, TableChanged
from bqx_assets.base.names import KEY, check_identifier
from bqx_assets.base.printable import some_of
from bqx_assets.base.usage import Usage, count
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.bigquery.bigquery_failures import may_pass
from bqx_assets.extract.bigquery.client import check_project
from bqx_assets.extract.warehouse import Outage, ReadRequest


def session_request(
    project: str, request: ReadRequest, max_streams: int, *, billing_project: str | None = None
) -> types.CreateReadSessionRequest:
    """Return the request that opens the session: Arrow with LZ4, only the wanted columns and rows, at the snapshot.

    The session belongs to ``billing_project``, by default the table's project; the table is named with its project.

    Raises:
        BadSetting: a name in it has other characters than letters, digits and underscores.
    """
    table = check_identifier(request.table.table, "table")
    dataset = check_identifier(request.table.dataset, "dataset")
    lz4 = types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
    return types.CreateReadSessionRequest(
        parent=f"projects/{check_project(billing_project or project)}",
        max_stream_count=max_streams,
        read_session=types.ReadSession(
            table=f"projects/{check_project(project)}/datasets/{dataset}/tables/{table}",
            data_format=types.DataFormat.ARROW,
            table_modifiers=types.ReadSession.TableModifiers(snapshot_time=request.snapshot_time),
            read_options=types.ReadSession.TableReadOptions(
                selected_fields=[check_identifier(column, "column") for column in request.columns],
                row_restriction=row_restriction(request),
                arrow_serialization_options=types.ArrowSerializationOptions(buffer_compression=lz4),
            ),
        ),
    )


def row_restriction(request: ReadRequest) -> str:
    """Return the filter on rows; an empty text is no filter.

    Rows without a key pass the filter, because extraction reports them as a defect; they have their own partition.
    Raises BadSetting as :func:`session_request` does.
    """
    bounds = [(">=", request.start), ("<=", request.end)]
    within = " AND ".join(f"{KEY} {sign} {_literal(bound)}" for sign, bound in bounds if bound is not None)
    words = [f"({within} OR {KEY} IS NULL)"] if within else []
    if request.pair is not None:
        words.append(f"{PAIR_COLUMN} = '{check_identifier(request.pair, 'pair')}'")
    return " AND ".join(words)


def session_schema(session: types.ReadSession, request: ReadRequest, subject: str) -> pa.Schema:
    """Return the Arrow schema of the rows that the server will send.

    Raises:
        TableChanged: it differs from the table's description. No row was read.
    """
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    planned = request.table.types()
    found = dict(zip(schema.names, schema.types, strict=True))
    types = {name: COLUMN_TYPES.get(planned[name]) for name in request.columns}
    described = {name: kind.arrow if kind else found.get(name) for name, kind in types.items()}
    changed = table_changed(subject, found, described)
    if changed:
        raise changed
    return schema


def table_changed(subject: str, found: Mapping[str, object], planned: Mapping[str, object]) -> TableChanged | None:
    """Return the error for a table whose columns differ from the plan; None if they are the planned ones."""
    wrong = [name for name in planned if found.get(name) is None or found[name] != planned[name]]
    if not wrong:
        return None
    return TableChanged(
        subject,
        got=some_of([f"{name} {found.get(name, 'missing')}" for name in wrong], _NAMED),
        expected=some_of([f"{name} {planned[name]}" for name in wrong], _NAMED),
        cure="Its columns changed since they were planned; extract again.",
    )


def _literal(moment: datetime) -> str:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"TIMESTAMP '{aware.isoformat(sep=' ')}'"


_NAMED = 5
_METHOD = "/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession"
_MOST_BESIDE = 4
_POLL_SECONDS = 0.1


class OpenSession:
    """The CreateReadSession call over a client's own channel. Safe to use from several threads."""

    def __init__(self, client: BigQueryReadClient, outage: Outage) -> None:
        channel = cast("Any", client.transport).grpc_channel
        self._call: Any = channel.unary_unary(
            _METHOD,
            request_serializer=types.CreateReadSessionRequest.serialize,
            response_deserializer=types.ReadSession.deserialize,
        )
        self._outage = outage

    def __call__(
        self, request: types.CreateReadSessionRequest, *, deadline_seconds: float, beside_seconds: float
    ) -> types.ReadSession:
        """Return the session of the request that is answered first.

        For a table of many partitions BigQuery may take minutes, at most ten; a lost request looks the same. So the
        same request is sent again after ``beside_seconds``, then after twice as long, and so on, while the earlier
        ones stay open: opening a session costs nothing.

        Raises:
            GoogleAPICallError: every request was refused, or none was answered by the deadline.
            ReadsEnded: the run ends.
        """
        self._outage.go_on()  # a table that begins while the run ends sends no request
        answers: queue.Queue[Any] = queue.Queue()
        open_calls = [self._start(request, deadline_seconds, answers)]
        asked, next_at = 1, time.monotonic() + beside_seconds
        try:
            while True:
                self._outage.go_on()
                try:
                    call = answers.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    if asked < _MOST_BESIDE and time.monotonic() >= next_at:
                        open_calls.append(self._start(request, deadline_seconds, answers))
                        next_at = time.monotonic() + beside_seconds * 2**asked
                        asked += 1
                    continue
                open_calls.remove(call)
                if call.exception() is None:
                    return call.result()
                refused = cast("google.GoogleAPICallError", cast("Any", google).from_grpc_error(call.exception()))
                if not open_calls or not may_pass(refused):
                    raise refused
        finally:
            for call in open_calls:
                call.cancel()

    def _start(self, request: types.CreateReadSessionRequest, seconds: float, answers: queue.Queue[Any]) -> Any:  # noqa: ANN401 (grpc has no types)
        table = gapic_v1.routing_header.to_grpc_metadata([("read_session.table", request.read_session.table)])
        agent = (gapic_v1.client_info.METRICS_METADATA_KEY, DEFAULT_CLIENT_INFO.to_user_agent())
        call = self._call.future(request, timeout=seconds, metadata=(table, agent))
        call.add_done_callback(answers.put)
        return call


class ByteBudget:
    """Counts the bytes of sessions and queries as BigQuery bills them, and refuses what would exceed the cap.

    Safe to use from several threads.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._read_bytes = self._queried_bytes = 0
        self._lock = threading.Lock()

    @property
    def read_bytes(self) -> int:
        """Bytes of all sessions that were admitted so far."""
        return self._read_bytes

    @property
    def queried_bytes(self) -> int:
        """Bytes of all queries that were admitted so far."""
        return self._queried_bytes

    def admit(self, session_bytes: int, subject: str) -> None:
        """Count a session before its first row is read.

        ``session_bytes`` is the server's own estimate after partition pruning. The plan's estimate follows from table
        metadata, so a table that has grown since is noticed here.

        Raises:
            BudgetExceeded: the session would exceed the cap. Creating it is free, so nothing was spent.
        """
        with self._lock:
            self._refuse(session_bytes, subject)
            self._read_bytes += session_bytes
        count(Usage(read_bytes=session_bytes))

    def admit_queries(self, scanned_bytes: int, subject: str) -> None:
        """Count queries before they are run, by their dry runs. Raises BudgetExceeded as ``admit``."""
        with self._lock:
            self._refuse(scanned_bytes, subject)
            self._queried_bytes += scanned_bytes
        count(Usage(queried_bytes=scanned_bytes))

    def _refuse(self, more_bytes: int, subject: str) -> None:
        before = self._read_bytes + self._queried_bytes
        if self._max_bytes and before + more_bytes > self._max_bytes:
            raise BudgetExceeded(
                subject,
                got=f"{more_bytes:,} bytes to read after {before:,}",
                expected=f"at most {self._max_bytes:,} bytes in all (BQX_MAX_BYTES)",
                cure="Raise the cap, or narrow BQX_LAST, BQX_START, BQX_END; what is saved is not read again.",
            )
