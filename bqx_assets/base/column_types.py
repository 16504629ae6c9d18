"""The table of the column types that can be read, with all that the stages know of each, and synonyms of types.

A type is added here by one row: discovery then accepts it, and reading, encoding, merging, the content digest and the
checks take their facts from the row. The sandbox computes only the types that the grammar names, and a type whose
values Python cannot order beside numbers, texts and moments needs code in ``quality`` as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.types as pt


@dataclass(frozen=True, slots=True)
class ColumnType:
    """One BigQuery type in each of the systems that a column passes through."""

    name: str
    """BigQuery's own name, which tables, records and manifests use."""
    polars: pl.DataType
    arrow: pa.DataType
    """The Arrow type that the Storage Read API sends and that a training file has."""
    is_stored_as: Callable[[pa.DataType], bool]
    """Returns whether a file's Arrow type is read as this type: ``float`` as FLOAT64, ``large_string`` as STRING."""
    parquet: tuple[str, int | None, Mapping[int, Any] | None]
    """Physical type, converted type and logical type by ``parquet.thrift``, in the one form that all readers know."""
    bound_code: str | None
    """The ``struct`` format of a value in a footer's minimum and maximum; None: bytes of any length."""
    cell_bytes: int = 8
    """Size of one value in a decoded column, without the letters of a text."""
    memory_bytes: int = 8
    """Size of one value in memory while a table is extracted; a text is assumed to have 8 letters."""
    billed_bytes: int = 8
    """Size of one value as BigQuery bills it: for a text 2 bytes and its letters, of which 8 are assumed."""
    is_number: bool = False


def _is_text(arrow: pa.DataType) -> bool:
    return pt.is_string(arrow) or pt.is_large_string(arrow) or pt.is_string_view(arrow)


_ROWS = (
    ColumnType(
        "FLOAT64", pl.Float64(), pa.float64(), pt.is_floating, ("DOUBLE", None, None), "<d", is_number=True
    ),
    ColumnType("INT64", pl.Int64(), pa.int64(), pt.is_integer, ("INT64", None, None), "<q", is_number=True),
    ColumnType(
        "STRING", pl.String(), pa.string(), _is_text, ("BYTE_ARRAY", 0, {1: {}}), None,
        cell_bytes=16, memory_bytes=24, billed_bytes=10,
    ),
    ColumnType(
        "BOOL", pl.Boolean(), pa.bool_(), pt.is_boolean, ("BOOLEAN", None, None), "<?",
        cell_bytes=1, memory_bytes=1, billed_bytes=1,
    ),
    ColumnType(
        "TIMESTAMP", pl.Datetime("us", "UTC"), pa.timestamp("us", tz="UTC"), pt.is_timestamp,
        ("INT64", 10, {8: {1: True, 2: {2: {}}}}), "<q",
    ),
)  # fmt: skip
COLUMN_TYPES: dict[str, ColumnType] = {row.name: row for row in _ROWS}
"""The column types by BigQuery's name. Discovery refuses a column of another type."""

_ALIASES = {
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    **dict.fromkeys(("INT", "INTEGER", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT"), "INT64"),
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
"""Other names of the same types: the REST API's, and SQL's synonyms."""
_LIMITED = re.compile(r"(STRING|BYTES|NUMERIC|DECIMAL|BIGNUMERIC|BIGDECIMAL) *\([ \d,]*\)")
"""The brackets limit the values and do not change the type. TIMESTAMP(12) is another type: it has picoseconds."""
_ALSO_KNOWN = ("NUMERIC", "BIGNUMERIC", "BYTES")


def is_number(name: str | None) -> bool:
    """Return whether the type's values are numbers."""
    known = COLUMN_TYPES.get(name or "")
    return known is not None and known.is_number


def standard_type(name: str) -> str:
    """Return a BigQuery type's own name: INT64 for INTEGER, STRING for STRING(10); an unknown name as it is."""
    plain = " ".join(name.upper().split())
    limited = _LIMITED.fullmatch(plain)
    plain = limited[1] if limited else plain
    plain = _ALIASES.get(plain, plain)
    return plain if plain in COLUMN_TYPES or plain in _ALSO_KNOWN else name


def type_of_arrow(arrow: pa.DataType) -> str:
    """Return BigQuery's name of a file's Arrow type; where BigQuery has none, Arrow's own name in capitals."""
    if pt.is_dictionary(arrow):
        return type_of_arrow(arrow.value_type)
    if pt.is_list(arrow) or pt.is_large_list(arrow) or pt.is_fixed_size_list(arrow):
        return f"ARRAY<{type_of_arrow(arrow.value_type)}>"
    known = next((each.name for each in COLUMN_TYPES.values() if each.is_stored_as(arrow)), None)
    if known is not None:
        return known
    tests = (
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
