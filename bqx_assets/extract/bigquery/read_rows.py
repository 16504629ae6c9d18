"""ReadRows without its copies: Google's call with answers that stay bytes, and an answer's rows where they lie in them.

Belongs here: the call, an answer read off its bytes, its batch decoded and checked. Does not: which streams, tries.

Google's client copies the rows of an answer twice, into a message and out of it again: about a seventh of what
reading a table costs (``python -m benchmarks.extract``). Here protobuf reads all but the rows; they are cut out before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pyarrow as pa
from google.api_core import gapic_v1
from google.api_core.exceptions import ServiceUnavailable
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports.base import DEFAULT_CLIENT_INFO
from google.protobuf.message import DecodeError

_METHOD = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"
_MESSAGE: Any = cast("Any", types.ReadRowsResponse).pb()
_BATCH: Any = cast("Any", types.ArrowRecordBatch).pb()
_BATCH_FIELD: int = _MESSAGE.DESCRIPTOR.fields_by_name["arrow_record_batch"].number
_ROWS_FIELD: int = _BATCH.DESCRIPTOR.fields_by_name["serialized_record_batch"].number

_VARINT, _SIZED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
_MORE = 0x80
"""The bit that says a number has a further byte."""


class Call(Protocol):
    """A stream's answers as they arrive; failures are ``google.api_core``'s."""

    def __iter__(self) -> Iterator[bytes]: ...

    def cancel(self) -> None:
        """End it, from any thread."""
        ...


class ReadRows:
    """The call ReadRows over a client's own channel. For several threads."""

    def __init__(self, client: BigQueryReadClient) -> None:
        channel = cast("Any", client.transport).grpc_channel
        bare = channel.unary_stream(_METHOD, request_serializer=types.ReadRowsRequest.serialize)
        # What the client itself wraps its calls in: errors become google.api_core's, and the headers say who we are.
        self._call: Any = gapic_v1.method.wrap_method(bare, client_info=DEFAULT_CLIENT_INFO)

    def __call__(self, stream: str, offset: int, deadline_seconds: float) -> Call:
        """Start reading a stream. Raises GoogleAPICallError, as going through the answers does."""
        request = types.ReadRowsRequest(read_stream=stream, offset=offset)
        routing = gapic_v1.routing_header.to_grpc_metadata([("read_stream", stream)])
        # No retry of the client's own: it would resume without a wait, and for a day.
        return self._call(request, retry=None, timeout=deadline_seconds, metadata=(routing,))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``rows`` is Arrow's encoded batch, in the answer's own bytes where these are as they should be."""

    row_count: int
    progress: float
    rows: pa.Buffer

    def batch(self, schema: pa.Schema) -> pa.RecordBatch:
        """Decode the rows and check that they can be read. Raises ServiceUnavailable for what arrived damaged."""
        try:
            batch = pa.ipc.read_record_batch(self.rows, schema)
            batch.validate()
        except (pa.ArrowInvalid, OSError, EOFError) as error:
            raise ServiceUnavailable(f"a batch of rows arrived damaged: {error}") from error
        if batch.num_rows != self.row_count:
            raise ServiceUnavailable(f"a batch of {batch.num_rows} rows arrived, announced as {self.row_count}")
        return batch


def read_answer(data: bytes) -> Answer:
    """Return what an answer says, without a copy of its rows. Raises ServiceUnavailable for what arrived damaged."""
    try:
        message, rows = _parted(data) or _copied(data)
    except DecodeError as error:
        raise ServiceUnavailable(f"an answer arrived damaged: {error}") from error
    return Answer(message.row_count, message.stats.progress.at_response_end, rows)


def _copied(data: bytes) -> tuple[Any, pa.Buffer]:
    message = _MESSAGE.FromString(data)
    return message, pa.py_buffer(message.arrow_record_batch.serialized_record_batch)


def _parted(data: bytes) -> tuple[Any, pa.Buffer] | None:
    """The message less its batch, and the batch's rows; None where protobuf has to read the whole."""
    batch = _only_value(data, slice(0, len(data)), _BATCH_FIELD)
    rows = batch and _only_value(data, batch.value, _ROWS_FIELD)
    if batch is None or rows is None:
        return None
    _BATCH.FromString(rows.around)  # whatever else is in there has to be sound, too
    message = _MESSAGE.FromString(batch.around)
    if message.WhichOneof("rows"):  # a second batch, which may say only a part; or rows of another format
        return None
    return message, pa.py_buffer(data).slice(rows.value.start, rows.value.stop - rows.value.start)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a field's value lies, and its message without the field."""

    value: slice
    around: bytes


def _only_value(data: bytes, part: slice, field: int) -> _Cut | None:
    """Cut a field out of the message that is ``part`` of the data.

    None where it is missing, and for all that neither BigQuery nor this walk knows: fields above 15, groups, values
    beyond the end. Protobuf has its rules for them, and its errors.
    """
    at, found = part.start, None
    try:
        while at < part.stop:
            began = at
            number, kind, value, at = _field(data, at)
            if number == field:
                if kind != _SIZED:
                    return None
                found = slice(began, at), slice(value, at)  # of several, the last counts
    except (IndexError, ValueError):
        return None
    if at != part.stop or found is None:
        return None
    whole, value = found
    return _Cut(value, data[part.start : whole.start] + data[whole.stop : part.stop])


def _field(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Return the number and kind of the field that begins here, where its value begins, and where it ends."""
    tag, at = data[at], at + 1
    kind = tag & 7
    if tag < _MORE and kind in _FIXED_BYTES:
        return tag >> 3, kind, at, at + _FIXED_BYTES[kind]
    if tag < _MORE and kind == _SIZED:
        size, at = _size(data, at)
        return tag >> 3, kind, at, at + size
    if tag < _MORE and kind == _VARINT:
        value = at
        while data[at] & _MORE:
            at += 1
        return tag >> 3, kind, value, at + 1
    raise ValueError(tag)


def _size(data: bytes, at: int) -> tuple[int, int]:
    """Return the size that is written here, in at most five bytes of seven bits, and where it ends."""
    size = 0
    for place in range(5):
        byte = data[at + place]
        size |= (byte & ~_MORE) << 7 * place
        if byte < _MORE:
            return size, at + place + 1
    raise ValueError(size)
