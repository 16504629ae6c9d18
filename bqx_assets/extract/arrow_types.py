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
    if pt.is_list(arrow) or pt.is_large_list(arrow) or pt.is_fixed_size_list(arrow):
        return f"ARRAY<{bigquery_type(arrow.value_type)}>"
    tests = (
        ("FLOAT64", pt.is_floating),
        ("INT64", pt.is_integer),
        ("STRING", pt.is_string),
        ("STRING", pt.is_large_string),
        ("STRING", pt.is_string_view),
        ("BOOL", pt.is_boolean),
        ("TIMESTAMP", pt.is_timestamp),
        ("DATE", pt.is_date),
        ("TIME", pt.is_time),
        ("BIGNUMERIC", pt.is_decimal256),
        ("NUMERIC", pt.is_decimal),
        ("BYTES", pt.is_binary),
        ("BYTES", pt.is_large_binary),
        ("BYTES", pt.is_binary_view),
        ("BYTES", pt.is_fixed_size_binary),
        ("INTERVAL", pt.is_duration),
        ("INTERVAL", pt.is_interval),
    )
    return next((name for name, test in tests if test(arrow)), str(arrow).upper())
