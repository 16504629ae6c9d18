"""The ways of reading a pair that ``benchmarks.extract`` compares, from a bare drain to slabs in the bucket."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import polars as pl
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types

from benchmarks.folders import PAIR
from benchmarks.served import PROJECT, ServedWarehouse, home_of, job, read_client, requests
from bqx_assets.base.process import worker_count
from bqx_assets.base.progress import Silent
from bqx_assets.extract.bigquery.session import session_request
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets.pipeline import Pipeline

_MAX_STREAMS = 4


def drain(address: str, tables: str, rows: str) -> int:
    """Read all streams by Google's client and drop every message; return the rows."""

    def whole(client: BigQueryReadClient, session: types.ReadSession) -> int:
        rows = 0
        for stream in session.streams:
            messages = cast("Iterable[types.ReadRowsResponse]", client.read_rows(stream.name))
            rows += sum(message.row_count for message in messages)
        return rows

    return _drain(address, tables, rows, whole)


def decode(address: str, tables: str, rows: str) -> int:
    """Read all streams by Google's client into Arrow tables and Polars frames, and drop them; return the rows."""

    def whole(client: BigQueryReadClient, session: types.ReadSession) -> int:
        frames = [pl.from_arrow(client.read_rows(each.name).to_arrow(session)) for each in session.streams]
        return sum(len(frame) for frame in frames)

    return _drain(address, tables, rows, whole)


def read_batches(address: str, tables: str, rows: str) -> int:
    """Read all tables by the product's adapter, which decodes and validates batches, and drop them; return the rows."""
    warehouse = ServedWarehouse(address, int(tables), int(rows))

    def whole(request: ReadRequest) -> int:
        return sum(batch.num_rows for batch in warehouse.read(request))

    return _in_parallel(whole, requests(int(tables), int(rows)))


def read_frames(address: str, tables: str, rows: str) -> int:
    """Read all tables by the product as whole frames, and drop them; return the rows."""
    warehouse = ServedWarehouse(address, int(tables), int(rows))

    def whole(request: ReadRequest) -> int:
        return read_frame(warehouse, request, subject=request.table.table, progress=Silent()).height

    return _in_parallel(whole, requests(int(tables), int(rows)))


def decode_encode(address: str, tables: str, rows: str) -> dict[str, float]:
    """Decode and encode all tables from memory into memory; return the cost of that alone, and the rows.

    No extraction can do without it, nor without a drain. Messages are fetched before the clock of their table starts.
    """
    client, found = read_client(address), {"seconds": 0.0, "cpu_seconds": 0.0, "result": 0}
    for request in requests(int(tables), int(rows)):
        session = client.create_read_session(request=session_request(PROJECT, request, _MAX_STREAMS))
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        streams = [cast("Iterable[types.ReadRowsResponse]", client.read_rows(each.name)) for each in session.streams]
        messages = [each.arrow_record_batch.serialized_record_batch for stream in streams for each in stream]
        cpu, began = time.process_time(), time.perf_counter()
        batches = [pa.ipc.read_record_batch(pa.py_buffer(message), schema) for message in messages]
        frame = cast("pl.DataFrame", pl.from_arrow(pa.Table.from_batches(batches), rechunk=False))
        frame.write_parquet(
            io.BytesIO(), compression="zstd", compression_level=1, statistics=True, row_group_size=int(rows)
        )
        found["seconds"] += time.perf_counter() - began
        found["cpu_seconds"] += time.process_time() - cpu
        found["result"] += frame.height
    return found


def extract_to(address: str, tables: str, rows: str, home: str, output: str = "") -> int:
    """Extract the pair into a folder under ``home``, or into a bucket; return the rows read."""
    settings = home_of(home, output or None)
    warehouse = ServedWarehouse(address, int(tables), int(rows))
    record = extract_pair(job(warehouse, settings, int(tables), int(rows), Pipeline(settings).slabs(PAIR)))
    return sum(slab.provenance.rows.read for slab in record.slabs)


def _drain(address: str, tables: str, rows: str, whole: Callable[[BigQueryReadClient, types.ReadSession], int]) -> int:
    client = read_client(address)

    def one(request: ReadRequest) -> int:
        return whole(client, client.create_read_session(request=session_request(PROJECT, request, _MAX_STREAMS)))

    return _in_parallel(one, requests(int(tables), int(rows)))


def _in_parallel(one: Callable[[ReadRequest], int], asked: list[ReadRequest]) -> int:
    """Run ``one`` for each request, as many at once as extraction has workers; return the sum."""
    with ThreadPoolExecutor(worker_count()) as pool:
        return sum(pool.map(one, asked))
