"""Implements the warehouse protocol for BigQuery, with one method for each call and the modules beside this one."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import cast

import pyarrow as pa
from google.api_core.exceptions import FailedPrecondition, GoogleAPIError, InvalidArgument
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types

from bqx_assets.base.column_types import standard_type
from bqx_assets.base.errors import BqxError, TableMissing, TableUnreadable
from bqx_assets.base.retry import RETRIES, RetryPolicy
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.bigquery.bigquery_failures import (
    asked_seconds,
    is_busy,
    may_pass,
    needs_new_session,
    translated,
    why,
)
from bqx_assets.extract.bigquery.catalogue import describe_dataset, features_location, server_time, table_states
from bqx_assets.extract.bigquery.client import CALL_SECONDS, NO_TRIES, Clients, Rest, open_clients
from bqx_assets.extract.bigquery.export_jobs import ExportJobs
from bqx_assets.extract.bigquery.partitions import partition_months
from bqx_assets.extract.bigquery.session import ByteBudget, OpenSession, session_request, session_schema, table_changed
from bqx_assets.extract.bigquery.streams import StreamReader
from bqx_assets.extract.warehouse import MonthState, Outage, ReadRequest

_MAX_STREAMS = 4
"""Streams of one table. Several tables are read at once already, so only the widest tables gain from more than one."""

SESSION_SECONDS = 600.0
"""Deadline for opening a session, the same as Google's: planning a table of many partitions takes minutes."""
BESIDE_SECONDS = 60.0
"""Time after which a second request is sent beside one that opens no session: the first may have been lost."""


def open_bigquery(project: str, settings: Settings) -> BigQueryWarehouse:
    """Return the warehouse of a project by the settings. Raises BadSetting, WarehouseError as ``open_clients``."""
    clients = open_clients(project, settings.bigquery_storage_endpoint, billing_project=settings.billing_project)
    return BigQueryWarehouse(clients, max_open_streams=settings.bigquery_streams, max_bytes=settings.max_bytes)


class BigQueryWarehouse:
    """The features and targets datasets of one project, read through the Storage Read API."""

    def __init__(
        self, clients: Clients, *, max_open_streams: int, max_bytes: int = 0, policy: RetryPolicy | None = None
    ) -> None:
        self._clients = clients
        self._policy = policy or RETRIES["bigquery"]
        self._outage = Outage()
        self._rest = Rest(clients.catalogue, self._outage, self._policy)
        self._meter = ByteBudget(max_bytes)
        self._opening = OpenSession(clients.reads, self._outage)
        self._months_refused = ""
        self._streams = StreamReader(clients.reads, self._policy, max_open_streams, self._outage)

    @property
    def name(self) -> str:
        """The project."""
        return self._clients.project

    @property
    def outage(self) -> Outage:
        """State that the calls of this warehouse share: whether anything arrives, and how to end them."""
        return self._outage

    @property
    def read_bytes(self) -> int:
        """Billed bytes of all read sessions so far, by the server's own estimate after partition pruning."""
        return self._meter.read_bytes

    def describe(self) -> Sequence[TableDescription]:
        """Return every table of both datasets, ordered by name. **Cost**: two queries."""
        return [
            table
            for dataset in sorted((FEATURES_DATASET, TARGETS_DATASET))
            for table in describe_dataset(self._rest, self._clients.project, dataset)
        ]

    def states(self, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the state of each table that exists, by one ``tables.get`` each, which reads and bills nothing.

        Only the permission ``bigquery.tables.get`` is needed, not ``tables.getData`` or ``jobs.create``. Raises as
        ``describe`` does.
        """
        return table_states(self._rest, self._clients.project, tables)

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """Return the state of each month of tables that are partitioned by their key, by one query for all of them.

        Where the view is refused, or the server has none, no month is known and ``months_refused`` tells why. Raises as
        ``describe`` does if nobody answers or the project refuses every call.
        """
        self._months_refused = ""
        try:
            return partition_months(self._rest, self._clients.project, tables)
        except (TableMissing, TableUnreadable) as refused:
            cure = refused.cure if "permission" in refused.expected else ""
            self._months_refused = (
                f"BigQuery does not tell which months of a table changed ({refused.got}). {cure}".strip()
            )
            return {}

    @property
    def months_refused(self) -> str:
        """BigQuery's reason for refusing the last query of ``months``, with the cure; empty if it was answered."""
        return self._months_refused

    def snapshot(self) -> datetime:
        """Return the time of BigQuery's clock, for the snapshot of a run. The query runs where the features are."""
        return server_time(self._rest, self._clients.project, self.location())

    def location(self) -> str:
        """Return the location of the features dataset, such as EU. Raises as ``describe`` does."""
        return features_location(self._rest, self._clients.project)

    def export_jobs(self) -> ExportJobs:
        """Return the jobs that export queries of this project; their bytes count as this object's."""
        return ExportJobs(self._rest, self._outage, self._meter, cache(self.location))

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in any order. **Cost**: billed by the selected columns of the partitions in range.

        If a session expires before its first row, a new one is opened at the same snapshot. If it expires later, the
        read ends with a TransientReadError and the caller has to start the table over: a new session distributes the
        rows over other streams, so the rows that were already yielded cannot be told from those to come.

        Raises:
            WarehouseUnavailable: nobody answers, or the project refuses every call.
            TransientReadError: unavailable, out of quota or too slow, more often in a row than ``RetryPolicy`` allows.
            TableMissing, TableUnreadable, TableChanged: deleted, refused, or its schema differs from the plan.
            BudgetExceeded: the session would exceed the cap; no row of it was read.
            BadSetting: a name in the request is not valid.
            ReadsEnded: the run ends.
        """
        subject = f"{request.table.dataset}.{request.table.table}"
        for left in reversed(range(RETRIES["read_session"].attempts)):
            yielded = False
            try:
                for batch in self._session(request, subject):
                    yielded = True
                    yield batch
            except (GoogleAPIError, GoogleAuthError) as error:
                if left and not yielded and needs_new_session(error):
                    continue
                refused = isinstance(error, (InvalidArgument, FailedPrecondition)) and not needs_new_session(error)
                changed = self._changed(request, subject) if refused else None
                known = {"table": f"{self._clients.project}:{subject}"}
                raise changed or translated(error, subject, lasts=self._outage.lasts, **known) from error
            return

    def _session(self, request: ReadRequest, subject: str) -> Iterator[pa.RecordBatch]:
        session = self._open(self._asked(request))
        schema = session_schema(session, request, subject)
        self._meter.admit(session.estimated_total_bytes_scanned, subject)
        yield from self._streams.read([stream.name for stream in session.streams], schema)

    def _asked(self, request: ReadRequest) -> types.CreateReadSessionRequest:
        clients = self._clients
        return session_request(clients.project, request, _MAX_STREAMS, billing_project=clients.billing_project)

    def _open(self, request: types.CreateReadSessionRequest) -> types.ReadSession:
        policy, failures = self._policy, 0
        while True:
            began = time.monotonic()
            try:
                return self._opening(request, deadline_seconds=SESSION_SECONDS, beside_seconds=BESIDE_SECONDS)
            except GoogleAPIError as error:
                failures += 1
                if not may_pass(error):
                    raise
                lasts = self._outage.failed(why(error), began=began, failures=failures, busy=is_busy(error))
                if lasts or failures >= policy.attempts:
                    raise
                self._outage.wait(policy.wait_seconds(failures, asked_seconds(error)))

    def _changed(self, request: ReadRequest, subject: str) -> BqxError | None:
        """Return TableChanged if a refused request's columns are missing or have other types, otherwise None."""
        path = f"{self._clients.project}.{subject}"
        try:
            table = self._clients.catalogue.get_table(path, retry=NO_TRIES, timeout=CALL_SECONDS)
        except (GoogleAPIError, GoogleAuthError, OSError):
            return None  # the caller then reports the refusal itself
        fields = cast("list[bigquery.SchemaField]", table.schema)
        found = {field.name: standard_type(field.field_type) for field in fields}
        planned = request.table.types()
        return table_changed(subject, found, {name: planned[name] for name in request.columns})
