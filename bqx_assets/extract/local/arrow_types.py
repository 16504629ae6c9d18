"""BigQuery's names for the types of a Parquet file's columns.

Belongs here: that mapping. Does not: files.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt


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
