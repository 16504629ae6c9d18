"""Arrow types and BigQuery's names for them.

Belongs here: the two directions of that mapping. Does not: files.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

_OF_NAME = {
    "FLOAT64": pa.float64(),
    "INT64": pa.int64(),
    "STRING": pa.large_string(),
    "BOOL": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}


def bigquery_type(arrow: pa.DataType) -> str:
    """Return BigQuery's name of an Arrow type; a type it has no name for keeps Arrow's, in capitals."""
    if pt.is_dictionary(arrow):
        return bigquery_type(arrow.value_type)
    tests = (
        ("FLOAT64", pt.is_floating),
        ("INT64", pt.is_integer),
        ("STRING", pt.is_string),
        ("STRING", pt.is_large_string),
        ("STRING", pt.is_string_view),
        ("BOOL", pt.is_boolean),
        ("TIMESTAMP", pt.is_timestamp),
        ("DATE", pt.is_date),
        ("NUMERIC", pt.is_decimal),
    )
    return next((name for name, test in tests if test(arrow)), str(arrow).upper())


def arrow_type(name: str, otherwise: pa.DataType) -> pa.DataType:
    """Return the Arrow type that a BigQuery type is read as; ``otherwise`` where we have none of our own."""
    return _OF_NAME.get(name, otherwise)
