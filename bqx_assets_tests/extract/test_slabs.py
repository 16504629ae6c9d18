"""A slab is trusted by fingerprint and checksum; its fingerprint changes with everything it follows from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bqx_assets.base.artifacts import Column
from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.slabs import slab_fingerprint, source_of
from bqx_assets_tests.descriptions import MODIFIED, describe

TABLE = describe("features", "agg_eurusd", (("x", "FLOAT64"),))
FACTS: dict[str, Any] = {"spine_fingerprint": "s", "filters": {"pair": "eurusd"}, "policy": "refuse"}
COLUMNS = [Column(name="agg__x", source="x", type="FLOAT64")]


def _mark(table: TableDescription = TABLE, columns: list[Column] = COLUMNS, **changes: Any) -> str:
    return slab_fingerprint(source_of(table), columns, **(FACTS | changes))


def test_the_same_facts_give_the_same_fingerprint() -> None:
    assert _mark() == _mark(replace(TABLE))


@pytest.mark.parametrize(
    "changed",
    [
        lambda: _mark(replace(TABLE, table="agg_bqx_eurusd")),
        lambda: _mark(replace(TABLE, dataset="other")),
        lambda: _mark(replace(TABLE, last_modified=MODIFIED + timedelta(seconds=1))),
        lambda: _mark(replace(TABLE, etag="other")),
        lambda: _mark(replace(TABLE, rows=1_001)),
        lambda: _mark(columns=[Column(name="agg__x", source="x", type="INT64")]),
        lambda: _mark(columns=[*COLUMNS, Column(name="agg__y", source="y", type="INT64")]),
        lambda: _mark(spine_fingerprint="other"),
        lambda: _mark(filters={"pair": "gbpusd"}),
        lambda: _mark(filters={}),
        lambda: _mark(policy="first"),
    ],
)
def test_a_change_of_any_fact_changes_it(changed: Callable[[], str]) -> None:
    assert changed() != _mark()
