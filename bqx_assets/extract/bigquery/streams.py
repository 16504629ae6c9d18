"""The rows of a read session: its streams read side by side, each resumed where it broke.

Belongs here: one stream's tries, and many streams as one iterator. Does not: opening the session, naming the table.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient

from bqx_assets.base.freed import keep_freed_memory
from bqx_assets.extract.bigquery.read_rows import Call, ReadRows, read_answer
from bqx_assets.extract.bigquery.retry import RetryPolicy, is_busy, may_pass, stream_removed, why
from bqx_assets.extract.warehouse import Outage

_WAITING_BATCHES = 2
"""A stream runs ahead of its reader by this many batches of at most 10 MB."""
_POLL_SECONDS = 0.1


class StreamReader:
    """Reads streams; all tables of a run share one, and with it the limit on open streams."""

    def __init__(self, client: BigQueryReadClient, policy: RetryPolicy, max_open_streams: int, outage: Outage) -> None:
        keep_freed_memory()
        self._read_rows = ReadRows(client)
        self._policy = policy
        self._outage = outage
        self._slots = threading.BoundedSemaphore(max_open_streams)

    def read(self, names: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the batches of all streams as they arrive.

        **Cost**: memory of ``_WAITING_BATCHES`` a stream; leaving the iterator early ends the calls.

        Raises:
            GoogleAPIError, GoogleAuthError: a stream failed for good, or too often in a row without progress.
            ReadsEnded: the run ends.
        """
        if not names:
            self._outage.answered()  # the session of a range without rows has no streams
            return
        flow = _Flow(len(names) * _WAITING_BATCHES)
        with ThreadPoolExecutor(len(names), thread_name_prefix="stream") as pool:
            try:
                for name in names:
                    pool.submit(self._run, name, schema, flow)
                open_streams = len(names)
                while open_streams:
                    item = self._next(flow)
                    if isinstance(item, Exception):
                        raise item
                    if item is None:
                        open_streams -= 1
                    else:
                        yield item
            finally:
                flow.stop()

    def _next(self, flow: _Flow) -> pa.RecordBatch | Exception | None:
        """The next item. Looks up now and then: a run that ends waits for no stream."""
        while True:
            self._outage.go_on()
            try:
                return flow.items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue

    def _run(self, name: str, schema: pa.Schema, flow: _Flow) -> None:
        """Read one stream to its end on a thread of its own; what ends it goes to the iterator."""
        try:
            while not self._slots.acquire(timeout=_POLL_SECONDS):
                if flow.stopped.is_set():
                    return
            try:
                self._read_whole(name, schema, flow)
            finally:
                self._slots.release()
            flow.put(None)
        except Exception as error:  # noqa: BLE001 (not swallowed: raised again where the rows are wanted)
            flow.put(error)

    def _read_whole(self, name: str, schema: pa.Schema, flow: _Flow) -> None:
        at = _Position()
        failures = 0
        while not flow.stopped.is_set():
            before, began = at.offset, time.monotonic()
            try:
                self._read_on(name, at, schema, flow)
            except (GoogleAPIError, GoogleAuthError) as error:
                failures = 1 if at.offset > before else failures + 1
                if not may_pass(error) or (stream_removed(error) and failures > 1):
                    raise
                lasts = self._outage.failed(why(error), began=began, failures=failures, busy=is_busy(error))
                if lasts or failures >= self._policy.tries:
                    raise
                flow.stopped.wait(self._policy.wait_seconds(failures, error))
            else:
                # A stream that ends without an error short of its end was cut, or its last rows are filtered out:
                # asked once more from here, it tells which.
                if at.progress >= 1 or at.offset == before:
                    self._outage.arrived()
                    return

    def _read_on(self, name: str, at: _Position, schema: pa.Schema, flow: _Flow) -> None:
        """Read a stream on from a position. Raises ServiceUnavailable for what arrived damaged."""
        call = self._read_rows(name, at.offset, self._policy.deadline_seconds)
        try:
            flow.calls.add(call)
            for data in call:
                answer = read_answer(data)
                if answer.row_count:
                    flow.put(answer.batch(schema))
                at.offset += answer.row_count
                at.progress = answer.progress
                if answer.row_count:
                    self._outage.arrived()
                if flow.stopped.is_set():
                    return
        finally:
            flow.calls.discard(call)
            call.cancel()


@dataclass(slots=True)
class _Position:
    """How far a stream is read: rows handed on, and the server's own fraction of the rows before filtering."""

    offset: int = 0
    progress: float = 0.0


class _Flow:
    """Batches on their way from the streams' threads to the reader; None ends a stream."""

    def __init__(self, size: int) -> None:
        self.items: queue.Queue[pa.RecordBatch | Exception | None] = queue.Queue(size)
        self.stopped = threading.Event()
        self.calls: set[Call] = set()

    def stop(self) -> None:
        """End the streams' threads, wherever they wait."""
        self.stopped.set()
        for call in tuple(self.calls):
            call.cancel()

    def put(self, item: pa.RecordBatch | Exception | None) -> None:
        """Wait for room; drop the item once nobody reads any more."""
        while not self.stopped.is_set():
            try:
                self.items.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
