"""The SQL that joins tables on a pair's spine in BigQuery, and the batches that keep it below BigQuery's limits.

Every table is read at the snapshot and in the range of its request, so that only the partitions in range are scanned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from bqx_assets.base.names import KEY, check_identifier
from bqx_assets.extract.bigquery.client import check_project
from bqx_assets.extract.bigquery.session import row_restriction
from bqx_assets.extract.warehouse import AheadRead, ReadRequest

MOST_TABLES = 100
"""Tables of one join. BigQuery takes 1,000 in a query, but has refused a join of 668."""
MOST_COLUMNS = 2_500
"""Columns of one join. BigQuery takes 10,000 in a result, but sorts the rows in the memory of one worker."""
MOST_CHARACTERS = 900_000
"""Letters of one query. BigQuery takes 1 MB."""
PART, COPIES = "part", "copies"
"""Columns of the odd keys: the place of the table in its batch, and the number of its rows with that key."""


@dataclass(frozen=True, slots=True)
class JoinSql:
    """The queries of one pair and one period: all of them on the same spine."""

    project: str
    spine: ReadRequest
    """The targets table in the range, with the key and the shortest target as columns."""

    def join(self, tables: Sequence[AheadRead]) -> str:
        """Return the query of the tables' columns on the spine, one row for each of its keys, in their order.

        A table's ``here_N`` says whether it has a row with the key. None of the tables may have a key twice.

        Raises:
            BadSetting: a name has other characters than letters, digits and underscores.
        """
        columns = [f"s.{KEY}"]
        joins: list[str] = []
        for place, each in enumerate(tables):
            columns.append(f"t{place}.{KEY} IS NOT NULL AS {here(place)}")
            columns += [f"t{place}.{_name(source)} AS {_name(name)}" for source, name in each.names.items()]
            wanted = ", ".join([KEY, *map(_name, each.names)])
            joins.append(f"LEFT JOIN ({self._rows(each.request, wanted)}) AS t{place} ON t{place}.{KEY} = s.{KEY}")
        return " ".join(
            (f"SELECT {', '.join(columns)} FROM ({self._spine()}) AS s", *joins, f"ORDER BY s.{KEY}")  # noqa: S608 (all names are validated)
        )

    def odd_keys(self, tables: Sequence[AheadRead]) -> str:
        """Return the query of the keys that a join would lose or multiply: null, off the spine, or repeated.

        Raises BadSetting as ``join``.
        """
        counted = " UNION ALL ".join(
            f"SELECT {place} AS {PART}, {KEY}, COUNT(*) AS {COPIES} "  # noqa: S608 (as above)
            f"FROM ({self._rows(each.request, KEY)}) GROUP BY {KEY}"
            for place, each in enumerate(tables)
        )
        return (
            f"SELECT o.{PART}, o.{KEY}, o.{COPIES} FROM ({counted}) AS o LEFT JOIN ({self._spine()}) AS s "  # noqa: S608 (as above)
            f"ON s.{KEY} = o.{KEY} WHERE s.{KEY} IS NULL OR o.{COPIES} > 1"
        )

    def _spine(self) -> str:
        shortest = _name(self.spine.columns[-1])
        known = f"{KEY} IS NOT NULL AND {shortest} IS NOT NULL AND NOT IS_NAN({shortest})"
        return f"SELECT DISTINCT {KEY} FROM ({self._rows(self.spine, f'{KEY}, {shortest}')}) WHERE {known}"  # noqa: S608 (as above)

    def _rows(self, request: ReadRequest, columns: str) -> str:
        dataset, table = request.table.dataset, request.table.table
        place = ".".join(
            (check_project(self.project), check_identifier(dataset, "dataset"), check_identifier(table, "table"))
        )
        moment = request.snapshot_time.astimezone(UTC).isoformat(sep=" ")
        within = row_restriction(request)
        return f"SELECT {columns} FROM `{place}` FOR SYSTEM_TIME AS OF TIMESTAMP '{moment}'" + (  # noqa: S608 (as above)
            f" WHERE {within}" if within else ""
        )


def here(place: int) -> str:
    """Return the name of the column that says whether a batch's table has a row; no training file has such a name."""
    return f"here_{place}"


def exported(sql: str, uri: str) -> str:
    """Return the statement that writes a query's rows as Parquet to ``uri``, which has a ``*`` for the files' numbers.

    Google documents that rows in an order are distributed over the files in that order.
    """
    return f"EXPORT DATA OPTIONS (uri = '{uri}', format = 'PARQUET', compression = 'SNAPPY', overwrite = TRUE) AS {sql}"


def batches(tables: Sequence[AheadRead]) -> list[tuple[AheadRead, ...]]:
    """Return the tables in batches, in their order, each of which BigQuery can join. A table is never split."""
    found: list[list[AheadRead]] = []
    columns = characters = 0
    for each in tables:
        size = sum(2 * len(source) + len(name) + 20 for source, name in each.names.items()) + 500
        full = columns + len(each.names) > MOST_COLUMNS or characters + size > MOST_CHARACTERS
        if not found or full or len(found[-1]) == MOST_TABLES:
            found.append([])
            columns = characters = 0
        found[-1].append(each)
        columns, characters = columns + len(each.names), characters + size
    return [tuple(batch) for batch in found]


def _name(name: str) -> str:
    """Return a column's name in quotes: it may be a word of SQL, such as ``end``."""
    return f"`{check_identifier(name, 'column')}`"
