"""The queries of a pair's 667 tables stay below BigQuery's limits, read one snapshot, and name every column once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, expected_tables
from bqx_assets.extract.bigquery.join_sql import MOST_COLUMNS, MOST_TABLES, JoinSql, batches, exported
from bqx_assets.extract.warehouse import AheadRead, ReadRequest
from bqx_assets_tests.frames import EURUSD, START

SNAPSHOT, END = START + timedelta(days=200), START + timedelta(days=90)
MILLION = 1 << 20


def _request(name: str, columns: tuple[tuple[str, str], ...], dataset: str = FEATURES_DATASET) -> ReadRequest:
    table = TableDescription(dataset, name, ((KEY, "TIMESTAMP"), *columns), 1, 1, START, "1-1")
    return ReadRequest(table, (KEY, *(column for column, _ in columns)), SNAPSHOT, START, END)


def _every_table() -> list[AheadRead]:
    return [
        AheadRead(
            replace(_request(each.table, each.columns), pair=EURUSD.name if "pair" in each.keys else None),
            {name: output_column(table_prefix(each.table, EURUSD), name) for name, _ in each.columns},
            0,
        )
        for each in expected_tables(EURUSD)
    ]


TARGET = "target_bqx45_h15"
SQL = JoinSql("bqx-ml", _request("targets_eurusd", ((TARGET, "FLOAT64"),), TARGETS_DATASET))


def test_the_queries_of_all_667_tables_stay_below_the_limits_and_name_every_column_once() -> None:
    tables = _every_table()
    found = batches(tables)
    assert [each for batch in found for each in batch] == tables
    assert len(found) == 9
    named: list[str] = []
    for batch in found:
        assert len(batch) <= MOST_TABLES
        assert sum(len(each.names) for each in batch) <= MOST_COLUMNS
        for query in (SQL.join(batch), SQL.odd_keys(batch)):
            assert len(exported(query, "gs://bucket/staging/joins/eurusd/0-rows-*.parquet").encode()) < MILLION
            tables_read = query.count("FOR SYSTEM_TIME AS OF")
            assert tables_read == len(batch) + 1
            assert query.count(f"TIMESTAMP '{SNAPSHOT.isoformat(sep=' ')}'") == tables_read
            assert query.count(f"{KEY} >= TIMESTAMP '{START.isoformat(sep=' ')}'") == tables_read
            assert query.count(f"{KEY} <= TIMESTAMP '{END.isoformat(sep=' ')}'") == tables_read
        named += re.findall(r" AS `(\w+__\w+)`", SQL.join(batch))
    assert len(named) == len({name.lower() for name in named}) == 16_988
    assert all(len(name) <= 300 for name in named)


def test_the_join_is_on_rows_whose_shortest_target_is_known_and_in_their_order() -> None:
    query = SQL.join(_every_table()[:1])
    assert f"`{TARGET}` IS NOT NULL AND NOT IS_NAN(`{TARGET}`)" in query
    assert query.endswith(f"ORDER BY s.{KEY}")


@pytest.mark.parametrize("name", ["a` UNION ALL SELECT 1 --", "a b", "1a", ""])
def test_a_hostile_name_is_refused_before_it_is_part_of_a_query(name: str) -> None:
    read = AheadRead(_request("agg_eurusd", ((name, "FLOAT64"),)), {name: "agg__x"}, 0)
    with pytest.raises(BadSetting):
        SQL.join([read])
    other = AheadRead(_request(name, (("a", "FLOAT64"),)), {"a": "agg__x"}, 0)
    with pytest.raises(BadSetting):
        SQL.odd_keys([other])
