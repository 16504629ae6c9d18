"""The dictionary's file has a column for each fact."""

from __future__ import annotations

import polars as pl

from bqx_assets.dictionary.schema import ColumnFacts, dictionary_schema


def test_each_fact_is_stored_with_its_type() -> None:
    schema = dictionary_schema()
    assert list(schema) == list(ColumnFacts.model_fields)
    assert {name: schema[name] for name in ("kind", "window", "nulls", "constant", "minimum")} == {
        "kind": pl.String(),
        "window": pl.Int64(),
        "nulls": pl.Int64(),
        "constant": pl.Boolean(),
        "minimum": pl.Float64(),
    }
