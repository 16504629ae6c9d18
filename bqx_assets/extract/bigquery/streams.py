"""Reads the streams of a read session side by side as one iterator; a broken stream is resumed at its offset.

``session`` opens the session. Errors here do not name the table; the adapter adds it.
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

from bqx_assets.base.process import keep_freed_memory
from bqx_assets.base.retry import RetryPolicy
from bqx_assets.extract.bigquery.bigquery_failures import asked_seconds, is_busy, may_pass, stream_removed, why
from bqx_assets.extract.bigquery.read_rows import Call, ReadRows, read_answer
from bqx_assets.extract.warehouse import Outage

_WAITING_BATCHES = 2
"""Batches, of at most 10 MB each, that a stream may be ahead of its reader."""
_POLL_SECONDS = 0.1
_KEPT_BYTES = 64 << 20
"""Freed memory that each arena keeps for the next answers: what glibc itself reaches after it freed 32 MB at once."""


class StreamReader:
    """Reads streams. All tables of a run share one reader, and so its limit on open streams."""

    def __init__(self, client: BigQueryReadClient, policy: RetryPolicy, max_open_streams: int, outage: Outage) -> None:
        keep_freed_memory(_KEPT_BYTES)
        self._read_rows = ReadRows(client)
        self._policy = policy
        self._outage = outage
        self._slots = threading.BoundedSemaphore(max_open_streams)

    def read(self, names: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the batches of all streams as they arrive.

        **Cost**: memory of ``_WAITING_BATCHES`` batches for each stream; closing the iterator early ends the calls.

        Raises:
            GoogleAPIError, GoogleAuthError: a stream failed permanently, or too often in a row without progress.
            ReadsEnded: the run ends.
        """
        if not names:
            self._outage.answered()  # a session without rows in its range has no streams
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
        """Return the next item. The wait is interrupted when the run ends."""
        while True:
            self._outage.go_on()
            try:
                return flow.items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue

    def _run(self, name: str, schema: pa.Schema, flow: _Flow) -> None:
        """Read one stream to its end on its own thread; the end, or the error, is passed to the iterator."""
        try:
            while not self._slots.acquire(timeout=_POLL_SECONDS):
                if flow.stopped.is_set():
                    return
            try:
                self._read_whole(name, schema, flow)
            finally:
                self._slots.release()
            flow.put(None)
        except Exception as error:  # noqa: BLE001 (not swallowed: raised again by the iterator)
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
                if lasts or failures >= self._policy.attempts:
                    raise
                flow.stopped.wait(self._policy.wait_seconds(failures, asked_seconds(error)))
            else:
                # A stream may end early because the connection dropped or the last rows were filtered out. Reading
                # once more from this offset tells which.
                if at.progress >= 1 or at.offset == before:
                    self._outage.arrived()
                    return

    def _read_on(self, name: str, at: _Position, schema: pa.Schema, flow: _Flow) -> None:
        """Continue a stream at a position. Raises ServiceUnavailable when a response arrived damaged."""
        call = self._read_rows(name, at.offset, self._policy.call_seconds)
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
    """The position in a stream: rows passed on, and the server's own progress as a fraction of the unfiltered rows."""

    offset: int = 0
    progress: float = 0.0


class _Flow:
    """The queue of batches between the streams' threads and the reader; None marks the end of a stream."""

    def __init__(self, size: int) -> None:
        self.items: queue.Queue[pa.RecordBatch | Exception | None] = queue.Queue(size)
        self.stopped = threading.Event()
        self.calls: set[Call] = set()

    def stop(self) -> None:
        """End the streams' threads, whatever they wait for."""
        self.stopped.set()
        for call in tuple(self.calls):
            call.cancel()

    def put(self, item: pa.RecordBatch | Exception | None) -> None:
        """Wait for room in the queue; drop the item if the reader has stopped."""
        while not self.stopped.is_set():
            try:
                self.items.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
