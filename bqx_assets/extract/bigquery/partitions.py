"""Asks BigQuery for the state of each calendar month of tables, in one query of INFORMATION_SCHEMA.PARTITIONS a pair.

The view is aggregated by month on the server. It has the rows, bytes and last change of each partition, so only tables
that are partitioned by time on the key can be told apart by month.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from bqx_assets.base.artifacts import fingerprint
from bqx_assets.base.names import KEY, check_identifier
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.bigquery.catalogue import query
from bqx_assets.extract.bigquery.client import Rest, check_project
from bqx_assets.extract.periods import months_between, months_in, start_of
from bqx_assets.extract.warehouse import MonthState

_MOST_TABLES = 1_000
"""The view answers a query for no more tables."""
_YEAR_DIGITS = 4


def partition_months(
    rest: Rest, project: str, tables: Collection[TableDescription]
) -> dict[tuple[str, str], Mapping[str, MonthState]]:
    """Return the state of each month of tables, by (dataset, table), as ``Warehouse.months`` does.

    Left out are tables that are not partitioned by their key, and those of which the view knows fewer rows than their
    description, so that it is behind.

    **Cost**: a query for each thousand tables; 10 MB billed for each of its views, or some 100 bytes a partition.

    Raises:
        TableMissing, TableUnreadable: the view is refused, or the server does not have it.
        TransientReadError, WarehouseUnavailable: the query failed, temporarily or for lack of an answer.
    """
    wanted = sorted(tables, key=lambda each: (each.dataset, each.table))
    found: dict[tuple[str, str], Mapping[str, MonthState]] = {}
    for start in range(0, len(wanted), _MOST_TABLES):
        asked = {(each.dataset, each.table): each for each in wanted[start : start + _MOST_TABLES]}
        rows = query(rest, months_sql(project, asked), project, project=project)
        for name, parts in groupby(rows, key=lambda row: (str(row["table_schema"]), str(row["table_name"]))):
            months = _states(asked[name], list(parts))
            if months is not None:
                found[name] = months
    return found


def months_sql(project: str, tables: Collection[tuple[str, str]]) -> str:
    """Return the query for (dataset, table): one row for each table and month, or year where it has yearly partitions.

    Partitions of no time (``__NULL__``, ``__UNPARTITIONED__``) are in a row with an empty month. ``state`` is a
    digest over each partition's facts, so that one which vanishes changes it too. Raises BadSetting for a hostile name.
    """
    facts = "table_schema, table_name, partition_id, total_rows, total_logical_bytes, last_modified_time"
    by_key = f"column_name = '{KEY}' AND is_partitioning_column = 'YES'"
    return f"""
        SELECT table_schema, table_name, month, SUM(total_rows) AS total_rows, SUM(size_bytes) AS size_bytes,
            MAX(modified) AS modified, TO_HEX(MD5(STRING_AGG(facts, ',' ORDER BY facts))) AS state
        FROM (
            SELECT p.table_schema, p.table_name, p.total_rows, p.total_logical_bytes AS size_bytes,
                p.last_modified_time AS modified,
                IF(REGEXP_CONTAINS(p.partition_id, r'^[0-9]+$'), SUBSTR(p.partition_id, 1, 6), '') AS month,
                TO_JSON_STRING(STRUCT(p.partition_id, UNIX_MICROS(p.last_modified_time) AS modified, p.total_rows,
                    p.total_logical_bytes)) AS facts
            FROM ({_of_view(project, tables, "PARTITIONS", facts)}) AS p
            JOIN ({_of_view(project, tables, "COLUMNS", "table_schema, table_name", by_key)}) AS k
                ON k.table_schema = p.table_schema AND k.table_name = p.table_name
        )
        GROUP BY table_schema, table_name, month
        ORDER BY table_schema, table_name, month
    """  # noqa: S608 (all names are validated below; BigQuery takes no parameters for those of views)


def _of_view(project: str, tables: Collection[tuple[str, str]], view: str, columns: str, where: str = "TRUE") -> str:
    """Return the query of a view's rows of tables in any datasets, each with its name: no more tables are looked at."""
    names: dict[str, list[str]] = {}
    for dataset, table in tables:
        names.setdefault(check_identifier(dataset, "dataset"), []).append(f"'{check_identifier(table, 'table')}'")
    return " UNION ALL ".join(
        f"SELECT {columns} FROM `{check_project(project)}.{dataset}.INFORMATION_SCHEMA.{view}` "  # noqa: S608 (as above)
        f"WHERE table_name IN ({', '.join(some)}) AND {where}"
        for dataset, some in names.items()
    )


def _states(table: TableDescription, parts: Sequence[Mapping[str, Any]]) -> dict[str, MonthState] | None:
    """Return the state of each month by the rows of the query's answer.

    None where the view is behind the table, or no partition has a time.
    """
    months = {month: part for part in parts for month in _months(part["month"])}
    if not months or sum(part["total_rows"] or 0 for part in parts) < table.rows:
        return None
    created = table.etag.partition("-")[0]  # a table that was made again, or whose columns moved, is another one
    whole = [fingerprint({"created": created, "columns": table.columns})]
    whole += [part["state"] for part in parts if not part["month"]]
    found = {month: _state(part, whole) for month, part in months.items()}
    if len(whole) > 1:  # rows without a place may be of any month until now
        kept = MonthState(fingerprint({"whole": whole}), 0, 0, None)
        until = max(start_of(max(months)), datetime.now(UTC))
        found = {month: found.get(month, kept) for month in months_between(start_of(min(months)), until)}
    return found


def _state(part: Mapping[str, Any], whole: Sequence[str]) -> MonthState:
    share = 12 if len(part["month"]) == _YEAR_DIGITS else 1
    return MonthState(
        state=fingerprint({"partitions": part["state"], "whole": whole}),
        rows=(part["total_rows"] or 0) // share,
        size_bytes=(part["size_bytes"] or 0) // share,
        modified=part["modified"],
    )


def _months(time: str) -> list[str]:
    """Return the months of the query's ``month``: of ``202601`` one, of ``2026`` twelve, of an empty text none."""
    parts = filter(None, (time[:_YEAR_DIGITS], time[_YEAR_DIGITS:]))
    return months_in("-".join(parts)) if time else []
