"""One table's read session: which rows and columns at which moment, as the server confirms it.

Belongs here: the request's words, every name in them validated, and the check of the answered schema. Does not:
reading rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

from bqx_assets.base.errors import TableChanged
from bqx_assets.base.names import KEY, check_identifier
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.bigquery.clients import check_project
from bqx_assets.extract.warehouse import ReadRequest

_ARROW_TYPES: dict[str, pa.DataType] = {
    "FLOAT64": pa.float64(),
    "INT64": pa.int64(),
    "STRING": pa.string(),
    "BOOL": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}


def session_request(
    project: str, request: ReadRequest, max_streams: int, *, billing_project: str | None = None
) -> types.CreateReadSessionRequest:
    """Return the call that opens the session: Arrow, LZ4 on the way, only the wanted columns, rows and moment.

    The session belongs to ``billing_project``, default the table's own; the table is named with its project.

    Raises:
        BadSetting: a name in it is not letters, digits and underscores.
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
    """Return the filter on rows, empty for none.

    Rows without a key pass: they are a defect that extraction reports, and lie in a partition of their own. Raises
    BadSetting as :func:`session_request` does.
    """
    bounds = [(">=", request.start), ("<=", request.end)]
    within = " AND ".join(f"{KEY} {sign} {_literal(bound)}" for sign, bound in bounds if bound is not None)
    words = [f"({within} OR {KEY} IS NULL)"] if within else []
    if request.pair is not None:
        words.append(f"{PAIR_COLUMN} = '{check_identifier(request.pair, 'pair')}'")
    return " AND ".join(words)


def session_schema(session: types.ReadSession, request: ReadRequest, subject: str) -> pa.Schema:
    """Return the rows' Arrow schema as the server will send it.

    Raises:
        TableChanged: it is not the described one. No row was read.
    """
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    planned = request.table.types()
    found = dict(zip(schema.names, schema.types, strict=True))
    described = {name: _ARROW_TYPES.get(planned[name]) or found.get(name) for name in request.columns}
    changed = table_changed(subject, found, described)
    if changed:
        raise changed
    return schema


def table_changed(subject: str, found: Mapping[str, object], planned: Mapping[str, object]) -> TableChanged | None:
    """Return the error of a table whose columns are no longer those of the plan, None where they are."""
    wrong = [name for name in planned if found.get(name) is None or found[name] != planned[name]][:5]
    if not wrong:
        return None
    return TableChanged(
        subject,
        got=", ".join(f"{name} {found.get(name, 'missing')}" for name in wrong),
        expected=", ".join(f"{name} {planned[name]}" for name in wrong),
        cure="Its columns changed since they were planned; extract again.",
    )


def _literal(moment: datetime) -> str:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"TIMESTAMP '{aware.isoformat(sep=' ')}'"
