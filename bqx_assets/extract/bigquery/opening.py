"""Opening a read session: Google's own deadline, and a second request beside one that hangs.

Belongs here: the call CreateReadSession. Does not: a session's words (``session``), its rows (``streams``).
"""

from __future__ import annotations

import queue
import time
from typing import Any, cast

from google.api_core import exceptions as google
from google.api_core import gapic_v1
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports.base import DEFAULT_CLIENT_INFO

from bqx_assets.extract.bigquery.failures import may_pass
from bqx_assets.extract.outage import Outage

_METHOD = "/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession"
_MOST_BESIDE = 4
_POLL_SECONDS = 0.1


class OpenSession:
    """The call over a client's own channel. For several threads."""

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
        """Return the session of whichever request is answered first.

        Over a table of many partitions BigQuery may take minutes, and allows itself ten; a request that was lost
        looks the same. So after ``beside_seconds`` the same is asked beside it, then after twice as long, and so on:
        to open a session costs nothing.

        Raises:
            GoogleAPICallError: refused, or no answer by the deadline.
            ReadsEnded: the run ends.
        """
        self._outage.go_on()  # a table that begins when the run ends asks nothing
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
