"""Asks BigQuery for metadata: one query lists all tables of a dataset with their columns, other calls are small.

One query describes some 7,600 tables; one INFORMATION_SCHEMA query for each table took 80 s each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from bqx_assets.base.names import check_identifier
from bqx_assets.base.threads import in_threads
from bqx_assets.base.usage import Usage, billed_bytes, count
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.bigquery.client import CALL_SECONDS, NO_TRIES, Rest, check_project

_QUERY_SECONDS = 300.0
"""The longest wait for one query that BigQuery is running."""
_PSEUDO = ("_PARTITION", "_TABLE_", "_FILE_", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_")
"""Prefixes of BigQuery's own columns, which user columns must not have. For a table partitioned by ingestion time the
view of columns lists ``_PARTITIONTIME`` (without an ordinal position), which no read session can select."""
_GETS_AT_ONCE = 8
_NO_TABLE = "Not found: Table"
"""The first words of the message about a missing table; a missing dataset or project is "Not found" as well."""
_MAX_BILLED_BYTES = 1 << 30
"""A catalogue query bills some 10 MB; a query that would scan a table is a mistake."""


def describe_dataset(rest: Rest, project: str, dataset: str) -> list[TableDescription]:
    """Return every table of the dataset, ordered by name. Views are left out because they store no rows.

    **Cost**: one query, some 10 MB billed; a few thousand rows.

    Raises:
        TableMissing: there is no such dataset.
        TransientReadError, TableUnreadable: the query failed, temporarily or permanently.
    """
    rows = query(rest, catalogue_sql(project, dataset), f"{project}.{dataset}", dataset=f"{project}:{dataset}")
    return [_description(dataset, row) for row in rows]


def table_states(rest: Rest, project: str, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the state of tables by (dataset, table), as ``TableDescription.etag`` has it; missing ones left out.

    **Cost**: one ``tables.get`` a table, several at once; nothing is billed.

    Raises what :func:`describe_dataset` raises; TableMissing only for a dataset or project that is not there.
    """
    wanted = list(tables)
    paths = [f"{check_project(project)}.{dataset}.{table}" for dataset, table in wanted]
    states = in_threads(partial(_state, rest), paths, _GETS_AT_ONCE, "states")
    return {table: state for table, state in zip(wanted, states, strict=True) if state is not None}


def _state(rest: Rest, path: str) -> str | None:
    def ask() -> bigquery.Table | None:
        try:
            return rest.client.get_table(path, retry=NO_TRIES, timeout=CALL_SECONDS)
        except NotFound as error:
            if _NO_TABLE in str(cast("object", error.message)):
                return None
            raise

    table = rest.ask(ask, path, table="{}:{}.{}".format(*path.rsplit(".", 2)))
    if table is None:
        return None
    return _etag(*(cast("datetime", moment) for moment in (table.created, table.modified)))


def _etag(created: datetime, modified: datetime) -> str:
    """Return creation and modification time in milliseconds, as in ``__TABLES__``: a recreated table differs."""
    return "-".join(str(round(moment.timestamp() * 1000)) for moment in (created, modified))


def features_location(rest: Rest, project: str) -> str:
    """Return the location of the features dataset, such as EU. Raises what :func:`describe_dataset` raises."""
    path = f"{check_project(project)}.{FEATURES_DATASET}"
    known = {"dataset": f"{project}:{FEATURES_DATASET}"}
    found = rest.ask(lambda: rest.client.get_dataset(path, retry=NO_TRIES, timeout=CALL_SECONDS), path, **known)
    return str(cast("object", found.location))


def server_time(rest: Rest, project: str, location: str | None = None) -> datetime:
    """Return the time of BigQuery's own clock, UTC, in whole milliseconds.

    The clock of this machine may be ahead: BigQuery refuses a snapshot in the future. A query that names no table runs
    in the US unless ``location`` is given, and a policy that keeps all work in the EU would refuse it. Raises what
    :func:`describe_dataset` raises.
    """
    (row,) = query(rest, "SELECT CURRENT_TIMESTAMP() AS now", project, location)
    now: datetime = row["now"].astimezone(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def catalogue_sql(project: str, dataset: str) -> str:
    """Return the query: one row for each table, its columns in an array. Raises BadSetting for a hostile name.

    ``__TABLES__`` has the present rows, bytes and time of the last change; TABLE_STORAGE lags behind by minutes, and
    the API's table metadata needs one call for each table.
    """
    where = f"{check_project(project)}.{check_identifier(dataset, 'dataset')}"
    return f"""
        SELECT t.table_id, t.row_count, t.size_bytes, t.creation_time, t.last_modified_time,
            ARRAY_AGG(STRUCT(c.column_name AS name, c.data_type AS type) ORDER BY c.ordinal_position) AS columns
        FROM `{where}.__TABLES__` AS t
        JOIN `{where}.INFORMATION_SCHEMA.COLUMNS` AS c ON c.table_name = t.table_id
        WHERE t.type = 1 AND c.ordinal_position IS NOT NULL AND c.is_hidden = 'NO' AND c.is_system_defined = 'NO'
        GROUP BY t.table_id, t.row_count, t.size_bytes, t.creation_time, t.last_modified_time
        ORDER BY t.table_id
    """  # noqa: S608 (both names are validated above; BigQuery takes no parameters for them)


def query(rest: Rest, sql: str, subject: str, location: str | None = None, **known: str) -> list[Mapping[str, Any]]:
    """Return all rows of a small query; ``known`` as in :meth:`Rest.ask`. Raises as :func:`describe_dataset` does."""
    config = bigquery.QueryJobConfig(maximum_bytes_billed=_MAX_BILLED_BYTES)

    def ask() -> list[Mapping[str, Any]]:
        rows = rest.client.query_and_wait(
            sql,
            job_config=config,
            location=location,
            api_timeout=CALL_SECONDS,
            wait_timeout=_QUERY_SECONDS,
            retry=NO_TRIES,  # ``Rest.ask`` counts the attempts and runs a failed job again
            job_retry=NO_TRIES,
        )
        count(Usage(queried_bytes=billed_bytes(rows.total_bytes_processed or 0)))
        return [dict(cast("bigquery.Row", row).items()) for row in cast("Iterable[object]", rows)]

    return rest.ask(ask, subject, **known)


def _description(dataset: str, row: Mapping[str, Any]) -> TableDescription:
    return TableDescription(
        dataset=dataset,
        table=row["table_id"],
        columns=tuple(
            (column["name"], column["type"])
            for column in row["columns"]
            if not column["name"].upper().startswith(_PSEUDO)
        ),
        rows=row["row_count"],
        size_bytes=row["size_bytes"],
        last_modified=datetime.fromtimestamp(row["last_modified_time"] / 1000, UTC),
        # The API's own etag needs one call for each table, and changes with a description that nobody reads.
        etag=f"{row['creation_time']}-{row['last_modified_time']}",
    )
