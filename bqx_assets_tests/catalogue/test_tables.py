"""One list of the types that are read, and BigQuery's other names for them."""

from __future__ import annotations

import pytest

from bqx_assets.catalogue.tables import READ_TYPES, standard_type
from bqx_assets.extract.bigquery.session import _ARROW_TYPES
from bqx_assets.extract.read import POLARS_TYPES
from bqx_assets.merge.raw_table import _TYPES
from bqx_assets.merge.schema import _ELEMENTS


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ("INTEGER", "INT64"),
        ("INT", "INT64"),
        ("BIGINT", "INT64"),
        ("FLOAT", "FLOAT64"),
        ("Boolean", "BOOL"),
        ("STRING(10)", "STRING"),
        ("TIMESTAMP", "TIMESTAMP"),
        ("float", "FLOAT64"),
        ("string (20)", "STRING"),
        ("STRING(20) ", "STRING"),
        ("timestamp", "TIMESTAMP"),
        ("NUMERIC(10, 2)", "NUMERIC"),
        ("numeric(5,2)", "NUMERIC"),
        ("DECIMAL", "NUMERIC"),
        ("DECIMAL(5)", "NUMERIC"),
        ("BIGNUMERIC(38, 10)", "BIGNUMERIC"),
        ("BIGDECIMAL(38, 10)", "BIGNUMERIC"),
        ("BYTES(5)", "BYTES"),
        ("TIMESTAMP(12)", "TIMESTAMP(12)"),
        ("GEOGRAPHY", "GEOGRAPHY"),
        ("STRUCT<a STRING(10)>", "STRUCT<a STRING(10)>"),
        ("ARRAY<STRING(10)>", "ARRAY<STRING(10)>"),
    ],
)
def test_other_names_of_a_type_are_one_type(said: str, own: str) -> None:
    assert standard_type(said) == own


def test_all_stages_know_the_same_types() -> None:
    assert {*READ_TYPES} == {*POLARS_TYPES} == {*_ARROW_TYPES} == {*_TYPES} == {*_ELEMENTS}
