"""All tables of a dataset with their columns, in one query.

Belongs here: the catalogue query and its rows as descriptions. Does not: choosing tables.

Lesson 13: one INFORMATION_SCHEMA query a table took 80 s each; this is one for some 7,600 tables.
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
from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.bigquery.client import CALL_SECONDS, NO_TRIES, Rest, check_project

_QUERY_SECONDS = 300.0
"""Of one query that BigQuery is at work on."""
_PSEUDO = ("_PARTITION", "_TABLE_", "_FILE_", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_")
"""How BigQuery's own columns begin, and no column of a user may: of a table partitioned by time of ingestion the view
of columns lists ``_PARTITIONTIME`` (with no ordinal position), which no read session selects."""
_GETS_AT_ONCE = 8
_NO_TABLE = "Not found: Table"
"""A dataset or a project that is not there is "Not found" too, and no table of it is."""
_MAX_BILLED_BYTES = 1 << 30
"""A catalogue query bills some 10 MB; one that would scan a table is a mistake."""


def describe_dataset(rest: Rest, project: str, dataset: str) -> list[TableDescription]:
    """Return every table of the dataset, by name; views are left out: they have no rows of their own.

    **Cost**: one query, some 10 MB billed; a few thousand rows.

    Raises:
        TableMissing: no such dataset.
        TransientReadError, TableUnreadable: the query failed, for now or for good.
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
    """As ``__TABLES__`` has the times, in milliseconds: a table made anew in place of another differs here as well."""
    return "-".join(str(round(moment.timestamp() * 1000)) for moment in (created, modified))


def dataset_location(rest: Rest, project: str, dataset: str) -> str:
    """Return where a dataset is, such as EU. Raises what :func:`describe_dataset` raises."""
    path = f"{check_project(project)}.{check_identifier(dataset, 'dataset')}"
    known = {"dataset": f"{project}:{dataset}"}
    found = rest.ask(lambda: rest.client.get_dataset(path, retry=NO_TRIES, timeout=CALL_SECONDS), path, **known)
    return str(cast("object", found.location))


def server_time(rest: Rest, project: str, location: str | None = None) -> datetime:
    """Return BigQuery's own clock, UTC, whole milliseconds: a client's clock that is ahead would ask for the future.

    A query that names no table runs in the US unless ``location`` says where: a policy that keeps all work in the EU
    would refuse it. Raises what :func:`describe_dataset` raises.
    """
    (row,) = query(rest, "SELECT CURRENT_TIMESTAMP() AS now", project, location)
    now: datetime = row["now"].astimezone(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def catalogue_sql(project: str, dataset: str) -> str:
    """Return the query: one row a table, its columns in an array. Raises BadSetting for a hostile name.

    ``__TABLES__`` has rows, bytes and the time of the last change as they are now; TABLE_STORAGE lags behind by
    minutes, and the API's table metadata is one call a table.
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
    """Return a small query's rows, of all pages; ``known`` as in :meth:`Rest.ask`. Raises as above."""
    config = bigquery.QueryJobConfig(maximum_bytes_billed=_MAX_BILLED_BYTES)

    def ask() -> list[Mapping[str, Any]]:
        rows = rest.client.query_and_wait(
            sql,
            job_config=config,
            location=location,
            api_timeout=CALL_SECONDS,
            wait_timeout=_QUERY_SECONDS,
            retry=NO_TRIES,  # tries are counted by ``rest``, and a failed job is asked for anew
            job_retry=NO_TRIES,
        )
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
        # The API's own etag is one call a table, and changes with a description that nobody reads.
        etag=f"{row['creation_time']}-{row['last_modified_time']}",
    )
