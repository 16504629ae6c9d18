"""An answer says what protobuf reads in it, whatever its bytes; its rows are not copied."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import grpc
import pyarrow as pa
import pytest
from google.api_core.exceptions import GoogleAPICallError, PermissionDenied, ServiceUnavailable
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.extract.bigquery.read_rows import Answer, ReadRows, read_answer

BATCH = pa.record_batch(
    {"level": pa.array([1.5, None, 3.0]), "name": pa.array(["a", "bc", None]), "on": pa.array([True, None, False])}
)
PLAIN = types.ReadRowsResponse(
    row_count=3,
    arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=b"rows" * 9, row_count=3),
    stats=types.StreamStats(progress={"at_response_end": 0.25}),
    throttle_state=types.ThrottleState(throttle_percent=7),
    uncompressed_byte_size=300,
)


def _varint(value: int, padding: int = 0) -> bytes:
    """A number as protobuf writes it, with as many bytes that say nothing."""
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127)
    groups += [0] * padding
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


PADDING = st.sampled_from([0, 0, 0, 0, 1, 4, 5, 9])
TAGS = st.tuples(st.integers(0, 20), PADDING)


@st.composite
def _messages(draw: st.DrawFn, inner: st.SearchStrategy[bytes], fields: st.SearchStrategy[int]) -> bytes:
    """Fields in any order, known and unknown, once or several times, sometimes with a wrong size."""
    parts: list[bytes] = []
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from([0, 0, 1, 2, 2, 2, 2, 3, 4, 5, 6]))
        parts.append(_varint(draw(fields) << 3 | kind, draw(PADDING)))
        if kind == 0:
            parts.append(_varint(draw(st.integers(0, 2**64 - 1)), draw(st.sampled_from([0, 0, 0, 2]))))
        elif kind in (1, 5):
            parts.append(draw(st.binary(min_size=8 if kind == 1 else 4, max_size=8 if kind == 1 else 4)))
        elif kind == 2:
            value = draw(inner)
            size = max(0, len(value) + draw(st.sampled_from([0] * 12 + [1, -1, 40])))
            parts.append(_varint(size, draw(PADDING)) + value)
    return b"".join(parts)


BATCHES = _messages(st.binary(max_size=6), st.sampled_from([1, 1, 1, 2, 3, 17]))
MESSAGES = _messages(st.one_of(BATCHES, BATCHES, st.binary(max_size=6)), st.sampled_from([0, 2, 3, 4, 4, 4, 6, 9, 16]))


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """An ordinary answer with some bytes changed, left out or put in."""
    data = bytearray(types.ReadRowsResponse.serialize(PLAIN))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        gone, come = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (0, 1), (1, 0), (2, 1)]))
        data[at : at + gone] = draw(st.binary(min_size=come, max_size=come))
    return bytes(data)


def _as_protobuf_reads(data: bytes) -> tuple[int, float, bytes] | None:
    try:
        message = types.ReadRowsResponse.pb().FromString(data)
    except DecodeError:
        return None
    rows = message.arrow_record_batch.serialized_record_batch
    return message.row_count, message.stats.progress.at_response_end, rows


def _as_read(data: bytes) -> tuple[int, float, bytes] | None:
    try:
        answer = read_answer(data)
    except ServiceUnavailable:
        return None
    return answer.row_count, answer.progress, answer.rows.to_pybytes()


@given(st.one_of(MESSAGES, _damaged(), st.binary(max_size=12)))
@settings(deadline=None, max_examples=1_000)
def test_an_answer_says_what_protobuf_reads_whatever_its_bytes(data: bytes) -> None:
    # Compared as text: a progress that is no number equals nothing, itself included.
    assert repr(_as_read(data)) == repr(_as_protobuf_reads(data))


def _sized(field: int, value: bytes, *, tag_padding: int = 0, size_padding: int = 0) -> bytes:
    return _varint(field << 3 | 2, tag_padding) + _varint(len(value), size_padding) + value


ROWS, OTHER, COUNT = _sized(1, b"rows"), _sized(1, b"other"), b"\x30\x03"
SAID = COUNT + _sized(4, ROWS)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(SAID + _sized(4, OTHER), id="two batches"),
        pytest.param(SAID + _sized(4, b""), id="a second batch that is empty"),
        pytest.param(SAID + _sized(4, b"\x10\x03"), id="a second batch of no rows"),
        pytest.param(_sized(4, OTHER, tag_padding=1) + SAID, id="two batches, the first in a longer way"),
        pytest.param(SAID + _sized(4, OTHER, tag_padding=4), id="two batches, the second in a longer way"),
        pytest.param(COUNT + _sized(4, ROWS + OTHER), id="rows twice"),
        pytest.param(COUNT + _sized(4, ROWS + _sized(1, b"")), id="rows, then none"),
        pytest.param(COUNT + _sized(4, ROWS + _sized(1, b"", tag_padding=1)), id="rows, then none in a longer way"),
        pytest.param(SAID + _sized(3, b"\x0a\x01a"), id="then rows of another format"),
        pytest.param(_sized(3, b"\x0a\x01a") + SAID, id="rows of another format, then these"),
        pytest.param(SAID + b"\x20\x05", id="a number where a batch belongs, behind it"),
        pytest.param(b"\x21" + b"\x05" * 8 + COUNT, id="a number where a batch belongs"),
        pytest.param(COUNT + _sized(4, b"\x08\x05"), id="a number where rows belong"),
        pytest.param(COUNT + b"\x20" + ROWS, id="a number where a batch belongs, rows behind it"),
        pytest.param(COUNT + _sized(4, ROWS, size_padding=3), id="a size in a longer way"),
        pytest.param(COUNT + _sized(4, ROWS, size_padding=4) + COUNT, id="a size in five bytes"),
        pytest.param(COUNT + _sized(4, ROWS, size_padding=5), id="a size in six bytes"),
        pytest.param(COUNT + _sized(4, _sized(1, b"rows", size_padding=5)), id="a size of rows in six bytes"),
        pytest.param(COUNT + _sized(4, _sized(1, b"r" * 200)), id="a size in two bytes"),
        pytest.param(COUNT + _sized(4, _sized(1, b"r" * 70_000)), id="a size in three bytes"),
        pytest.param(b"\x59" + SAID[:2] * 4 + SAID, id="an unknown number of eight bytes"),
        pytest.param(b"\x59" + b"\x22\x00" * 2 + SAID, id="one that lacks four bytes"),
        pytest.param(b"\x5d" + b"\x22\x00" * 2 + SAID, id="an unknown number of four bytes"),
        pytest.param(b"\x5b" + SAID + b"\x5c", id="a group"),
        pytest.param(_sized(300, b"more") + SAID, id="a field with a large number"),
        pytest.param(
            _sized(300, b"x" * 17 + _sized(4, ROWS)) + COUNT * 4, id="what looks like a batch in such a field"
        ),
        pytest.param(COUNT + _sized(4, ROWS + b"\x10"), id="a batch cut short"),
        pytest.param(COUNT + b"\x22\x07" + ROWS, id="a batch that ends too late"),
        pytest.param(COUNT + b"\x22\x05" + ROWS, id="a batch that ends too soon"),
        pytest.param(COUNT + b"\x22\x06\x0a\x06rows" + COUNT, id="rows beyond their batch"),
        pytest.param(SAID + b"\x00", id="a field of number 0"),
        pytest.param(COUNT, id="no batch"),
        pytest.param(COUNT + _sized(4, b""), id="an empty batch"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_an_answer_out_of_the_ordinary_says_what_protobuf_reads(data: bytes) -> None:
    assert _as_read(data) == _as_protobuf_reads(data)


@given(
    st.permutations([2, 4, 5, 6, 9]),
    st.sampled_from([1, 127, 128, 300, 70_000, 3_000_000]),
    st.integers(-(2**63), 2**63 - 1),
)
@settings(deadline=None)
def test_rows_stay_where_they_lie_whatever_the_order_of_fields(order: list[int], size: int, count: int) -> None:
    rows = b"r" * size
    inner = types.ArrowRecordBatch.serialize(types.ArrowRecordBatch(serialized_record_batch=rows, row_count=count))
    parts = {2: b"\x12\x00", 4: b"\x22" + _varint(len(inner)) + inner, 5: b"\x2a\x02\x08\x07", 9: b"\x48\x05"}
    parts[6] = b"\x30" + _varint(count % 2**64)
    data = b"".join(parts[field] for field in order)
    answer = read_answer(data)
    start = pa.py_buffer(data).address
    assert start < answer.rows.address < start + len(data)
    assert (answer.row_count, answer.rows.to_pybytes()) == (count, rows)


@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize("before", range(8))
def test_a_batch_is_read_at_any_address(before: int, compression: Literal["lz4"] | None) -> None:
    answer = Answer(3, 1.0, pa.py_buffer(b"." * before + _encoded(compression)).slice(before))
    batch = answer.batch(BATCH.schema)
    batch.validate(full=True)
    assert batch.equals(BATCH)


@pytest.mark.parametrize("end", [0, 1, 4, 8, 100])
def test_a_batch_cut_short_is_damaged(end: int) -> None:
    with pytest.raises(ServiceUnavailable, match="arrived damaged"):
        Answer(3, 1.0, pa.py_buffer(_encoded("lz4")[:end])).batch(BATCH.schema)


def test_a_batch_of_other_rows_than_announced_is_damaged() -> None:
    with pytest.raises(ServiceUnavailable, match="a batch of 3 rows arrived, announced as 4"):
        Answer(4, 1.0, pa.py_buffer(_encoded(None))).batch(BATCH.schema)


def _encoded(compression: Literal["lz4"] | None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, BATCH.schema, options=options) as writer:
        writer.write_batch(BATCH)
    return sink.getvalue().to_pybytes()[len(BATCH.schema.serialize()) :]


def test_the_call_is_googles_own_in_headers_request_and_errors() -> None:
    calls: list[tuple[types.ReadRowsRequest, dict[str, str | bytes]]] = []

    def answers(request: types.ReadRowsRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        calls.append((request, dict(context.invocation_metadata())))
        yield b"an answer"
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no more")

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_stream_rpc_method_handler(answers, types.ReadRowsRequest.deserialize)
    service = "google.cloud.bigquery.storage.v1.BigQueryRead"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"ReadRows": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        client = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
        call = iter(ReadRows(client)("streams/a b", 7, 20.0))
        assert next(call) == b"an answer"
        with pytest.raises(PermissionDenied, match="no more"):
            next(call)
        with pytest.raises(GoogleAPICallError, match="no more"):  # as the client's own
            list(client.read_rows(read_stream="streams/a b", offset=7, retry=None, timeout=20.0))
    server.stop(0).wait(10)
    (request, headers), (its_request, its_headers) = calls
    assert request == its_request
    assert headers == its_headers
    assert headers["x-goog-request-params"] == "read_stream=streams/a+b"
