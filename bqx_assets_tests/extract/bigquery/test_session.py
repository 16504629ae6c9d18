"""What a session asks for is made of validated names only."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting, BqxError
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.bigquery.catalogue import catalogue_sql
from bqx_assets.extract.bigquery.session import row_restriction, session_request
from bqx_assets.extract.warehouse import ReadRequest

SNAPSHOT = datetime(2026, 1, 6, tzinfo=UTC)
TABLE = TableDescription(FEATURES_DATASET, "mkt_vol", ((KEY, "TIMESTAMP"),), 1, 8, SNAPSHOT, "etag")
REQUEST = ReadRequest(TABLE, (KEY,), SNAPSHOT)
HOSTILE = st.one_of(
    st.text(),
    st.sampled_from(["", "a.b", "../x", "x'--", "x' OR TRUE OR 'a'='", "`x`", "x\n", "x;DROP TABLE y", "é", "1x"]),
)
SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


@given(HOSTILE, st.sampled_from(["table", "dataset", "column", "pair", "project"]))
@settings(deadline=None)
def test_a_hostile_name_never_reaches_a_request(name: str, where: str) -> None:
    project = name if where == "project" else "bqx-ml"
    request = {
        "table": replace(REQUEST, table=replace(TABLE, table=name)),
        "dataset": replace(REQUEST, table=replace(TABLE, dataset=name)),
        "column": replace(REQUEST, columns=(KEY, name)),
        "pair": replace(REQUEST, pair=name),
    }.get(where, REQUEST)
    try:
        made = session_request(project, request, 1)
    except BqxError:
        assert where == "project" or not SAFE.fullmatch(name)
    else:
        words = re.fullmatch(r"projects/([a-z0-9.:-]+)/datasets/(\w+)/tables/(\w+)", made.read_session.table, re.ASCII)
        assert words is not None
        assert where == "project" or SAFE.fullmatch(name)


@given(HOSTILE, HOSTILE)
@settings(deadline=None)
def test_a_hostile_name_never_reaches_the_catalogue_query(project: str, dataset: str) -> None:
    try:
        sql = catalogue_sql(project, dataset)
    except BadSetting:
        return
    assert set(re.findall(r"`([^`]*)`", sql)) == {
        f"{project}.{dataset}.__TABLES__",
        f"{project}.{dataset}.INFORMATION_SCHEMA.COLUMNS",
    }
    assert SAFE.fullmatch(dataset)
    assert re.fullmatch(r"[a-z0-9.:-]+", project)


@pytest.mark.parametrize(
    ("start", "end", "pair", "expected"),
    [
        (None, None, None, ""),
        (None, None, "eurusd", "pair = 'eurusd'"),
        ("2024-01-02", None, None, f"({KEY} >= TIMESTAMP '2024-01-02 00:00:00+00:00' OR {KEY} IS NULL)"),
        (
            None,
            "2024-01-02T03:00:00.000001+02:00",
            None,
            f"({KEY} <= TIMESTAMP '2024-01-02 01:00:00.000001+00:00' OR {KEY} IS NULL)",
        ),
    ],
)
def test_bounds_are_literals_in_utc_and_rows_without_a_key_pass(
    start: str | None, end: str | None, pair: str | None, expected: str
) -> None:
    bounds = [bound and datetime.fromisoformat(bound) for bound in (start, end)]
    request = replace(REQUEST, start=bounds[0] or None, end=bounds[1] or None, pair=pair)
    assert row_restriction(request) == expected
