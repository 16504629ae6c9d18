"""Zero-copy ReadRows: responses stay bytes, and the Arrow batch is sliced out of them.

Google's client copies the rows of a response twice, into a protobuf message and out of it again: about a seventh of the
cost of reading a table (``python -m benchmarks.extract``). Here the rows are cut out first, and protobuf parses the
rest. Which streams are read, and retries, are in ``streams``.
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
"""The bit of a varint's byte that says that another byte follows."""


class Call(Protocol):
    """A stream's responses as they arrive; failures are ``google.api_core`` exceptions."""

    def __iter__(self) -> Iterator[bytes]: ...

    def cancel(self) -> None:
        """End the call. Any thread may do so."""
        ...


class ReadRows:
    """The ReadRows call over a client's own channel. Safe to use from several threads."""

    def __init__(self, client: BigQueryReadClient) -> None:
        channel = cast("Any", client.transport).grpc_channel
        bare = channel.unary_stream(_METHOD, request_serializer=types.ReadRowsRequest.serialize)
        # The same wrapper as the client's own calls have: it translates errors and sends the user agent.
        self._call: Any = gapic_v1.method.wrap_method(bare, client_info=DEFAULT_CLIENT_INFO)

    def __call__(self, stream: str, offset: int, deadline_seconds: float) -> Call:
        """Start reading a stream. Raises GoogleAPICallError; so does iterating over the responses."""
        request = types.ReadRowsRequest(read_stream=stream, offset=offset)
        routing = gapic_v1.routing_header.to_grpc_metadata([("read_stream", stream)])
        # The client's own retry is off: it would resume without waiting, for up to a day.
        return self._call(request, retry=None, timeout=deadline_seconds, metadata=(routing,))


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. ``rows`` is the encoded Arrow batch: a slice of the response's bytes where they are well formed."""

    row_count: int
    progress: float
    rows: pa.Buffer

    def batch(self, schema: pa.Schema) -> pa.RecordBatch:
        """Decode the rows and validate them. Raises ServiceUnavailable when they arrived damaged."""
        try:
            batch = pa.ipc.read_record_batch(self.rows, schema)
            batch.validate()
        except (pa.ArrowInvalid, OSError, EOFError) as error:
            raise ServiceUnavailable(f"a batch of rows arrived damaged: {error}") from error
        if batch.num_rows != self.row_count:
            raise ServiceUnavailable(f"a batch of {batch.num_rows} rows arrived, announced as {self.row_count}")
        return batch


def read_answer(data: bytes) -> Answer:
    """Parse a response without copying its rows. Raises ServiceUnavailable when it arrived damaged."""
    try:
        message, rows = _parted(data) or _copied(data)
    except DecodeError as error:
        raise ServiceUnavailable(f"an answer arrived damaged: {error}") from error
    return Answer(message.row_count, message.stats.progress.at_response_end, rows)


def _copied(data: bytes) -> tuple[Any, pa.Buffer]:
    message = _MESSAGE.FromString(data)
    return message, pa.py_buffer(message.arrow_record_batch.serialized_record_batch)


def _parted(data: bytes) -> tuple[Any, pa.Buffer] | None:
    """Return the message without its batch, and the batch's rows; None if protobuf has to parse the whole response."""
    batch = _only_value(data, slice(0, len(data)), _BATCH_FIELD)
    rows = batch and _only_value(data, batch.value, _ROWS_FIELD)
    if batch is None or rows is None:
        return None
    _BATCH.FromString(rows.around)  # raises if the rest of the batch is malformed
    message = _MESSAGE.FromString(batch.around)
    if message.WhichOneof("rows"):  # a second, perhaps partial, batch; or rows in another format
        return None
    return message, pa.py_buffer(data).slice(rows.value.start, rows.value.stop - rows.value.start)


@dataclass(frozen=True, slots=True)
class _Cut:
    """The position of a field's value, and the message's bytes without the field."""

    value: slice
    around: bytes


def _only_value(data: bytes, part: slice, field: int) -> _Cut | None:
    """Cut a field out of the message that is ``part`` of the data.

    Returns None if the field is absent or the message uses features that are not parsed here (field numbers above 15,
    groups, values beyond the end): the caller then falls back to protobuf, with its rules and its errors.
    """
    at, found = part.start, None
    try:
        while at < part.stop:
            began = at
            number, kind, value, at = _field(data, at)
            if number == field:
                if kind != _SIZED:
                    return None
                found = slice(began, at), slice(value, at)  # the last one counts if the field is repeated
    except (IndexError, ValueError):
        return None
    if at != part.stop or found is None:
        return None
    whole, value = found
    return _Cut(value, data[part.start : whole.start] + data[whole.stop : part.stop])


def _field(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Return the number and wire type of the field at ``at``, the start of its value, and its end."""
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
    """Return the varint at ``at``, of at most five bytes with seven bits each, and the position after it."""
    size = 0
    for place in range(5):
        byte = data[at + place]
        size |= (byte & ~_MORE) << 7 * place
        if byte < _MORE:
            return size, at + place + 1
    raise ValueError(size)
