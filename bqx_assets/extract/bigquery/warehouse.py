"""BigQuery behind the warehouse protocol.

Belongs here: the adapter itself, one call of the protocol after the other. Does not: how each is done (its siblings).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import cast

import pyarrow as pa
import tenacity
from google.api_core.exceptions import FailedPrecondition, GoogleAPIError, InvalidArgument
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.bigquery_storage_v1 import types

from bqx_assets.base.errors import BqxError
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.catalogue.tables import TableDescription, standard_type
from bqx_assets.extract.bigquery.catalogue import dataset_location, describe_dataset, server_time, table_states
from bqx_assets.extract.bigquery.clients import Clients
from bqx_assets.extract.bigquery.failures import may_pass, translated
from bqx_assets.extract.bigquery.meter import Meter
from bqx_assets.extract.bigquery.patience import Patience
from bqx_assets.extract.bigquery.session import session_request, session_schema, table_changed
from bqx_assets.extract.bigquery.streams import StreamReader
from bqx_assets.extract.warehouse import ReadRequest

_MAX_STREAMS = 4
"""Of one table. Several tables are read at once already, so this is for the widest ones."""


class BigQueryWarehouse:
    """The features and targets datasets of one project, read by the Storage Read API."""

    def __init__(
        self, clients: Clients, *, max_open_streams: int, max_bytes: int = 0, patience: Patience | None = None
    ) -> None:
        self._clients = clients
        self._patience = patience or Patience()
        self._meter = Meter(max_bytes)
        self._streams = StreamReader(clients.reads, self._patience, max_open_streams)

    @property
    def name(self) -> str:
        """The project."""
        return self._clients.project

    @property
    def read_bytes(self) -> int:
        """Bytes of all read sessions so far, by the server's own estimate after pruning: what is billed."""
        return self._meter.read_bytes

    def describe(self) -> Sequence[TableDescription]:
        """Return every table of both datasets, by name. Two queries."""
        clients = self._clients
        return [
            table
            for dataset in sorted((FEATURES_DATASET, TARGETS_DATASET))
            for table in describe_dataset(clients.catalogue, clients.project, dataset)
        ]

    def states(self, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the state of each table that is there: one ``tables.get`` a table, which reads and bills nothing.

        Needs ``bigquery.tables.get`` alone: neither ``tables.getData`` nor ``jobs.create``. Raises as ``describe``.
        """
        return table_states(self._clients.catalogue, self._clients.project, tables)

    def snapshot(self) -> datetime:
        """Return BigQuery's present: the moment all reads of a run see the tables at. Asked where the features are."""
        client, project = self._clients.catalogue, self._clients.project
        return server_time(client, project, dataset_location(client, project, FEATURES_DATASET))

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in any order. **Cost**: billed by the selected columns of the partitions in range.

        Raises:
            TransientReadError: unavailable, out of quota or too slow, more often in a row than ``Patience`` allows.
            TableMissing, TableUnreadable, TableChanged: deleted, refused, or with another schema than planned.
            BudgetExceeded: the session would go over the cap; no row of it was read.
            BadSetting: a name of the request cannot be one.
        """
        subject = f"{request.table.dataset}.{request.table.table}"
        try:
            session = self._open(self._asked(request))
            schema = session_schema(session, request, subject)
            self._meter.admit(session.estimated_total_bytes_scanned, subject)
            yield from self._streams.read([stream.name for stream in session.streams], schema)
        except (InvalidArgument, FailedPrecondition) as error:
            raise self._changed(request, subject) or translated(error, subject) from error
        except (GoogleAPIError, GoogleAuthError) as error:
            raise translated(error, subject) from error

    def _asked(self, request: ReadRequest) -> types.CreateReadSessionRequest:
        clients = self._clients
        return session_request(clients.project, request, _MAX_STREAMS, billing_project=clients.billing_project)

    def _open(self, request: types.CreateReadSessionRequest) -> types.ReadSession:
        patience = self._patience
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_pass),
            stop=tenacity.stop_after_attempt(patience.tries),
            wait=lambda state: patience.wait_seconds(state.attempt_number, state.outcome and state.outcome.exception()),
            reraise=True,
        )
        create = partial(self._clients.reads.create_read_session, retry=None, timeout=patience.deadline_seconds)
        return attempts(lambda: create(request=request))

    def _changed(self, request: ReadRequest, subject: str) -> BqxError | None:
        """What a refused request means: TableChanged where columns are gone or of another type, else None."""
        path = f"{self._clients.project}.{subject}"
        try:
            once = DEFAULT_RETRY.with_timeout(self._patience.first_wait_seconds)
            table = self._clients.catalogue.get_table(path, retry=once, timeout=self._patience.deadline_seconds)
        except (GoogleAPIError, GoogleAuthError, OSError):
            return None  # the refusal itself is the better message
        fields = cast("list[bigquery.SchemaField]", table.schema)
        found = {field.name: standard_type(field.field_type) for field in fields}
        planned = request.table.types()
        return table_changed(subject, found, {name: planned[name] for name in request.columns})
