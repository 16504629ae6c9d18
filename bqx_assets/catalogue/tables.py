"""What a warehouse says of its tables.

Belongs here: the description of one table. Does not: which tables a pair needs (``discovery``), reading them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

READ_TYPES: tuple[str, ...] = ("FLOAT64", "INT64", "STRING", "BOOL", "TIMESTAMP")
"""The BigQuery types that a column may have to be read: every other table of types in this package has these keys."""
_ALIASES = {
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    **dict.fromkeys(("INT", "INTEGER", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT"), "INT64"),
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
"""Other names of the same types: the REST API's, and SQL's synonyms."""
_LIMITED = re.compile(r"(STRING|BYTES|NUMERIC|DECIMAL|BIGNUMERIC|BIGDECIMAL) *\([ \d,]*\)")
"""What stands in brackets limits the values and changes no type. Of a TIMESTAMP(12) it does: that has picoseconds."""
_KNOWN = frozenset((*READ_TYPES, *_ALIASES.values(), "BYTES"))


def standard_type(name: str) -> str:
    """Return a BigQuery type's own name: INT64 for INTEGER, STRING for STRING(10); one that is not known as it is."""
    plain = " ".join(name.upper().split())
    limited = _LIMITED.fullmatch(plain)
    plain = limited[1] if limited else plain
    plain = _ALIASES.get(plain, plain)
    return plain if plain in _KNOWN else name


@dataclass(frozen=True, slots=True)
class TableDescription:
    """One table as the warehouse's own catalogue describes it: no row is read to learn this."""

    dataset: str
    table: str
    columns: tuple[tuple[str, str], ...]
    """(name, BigQuery type) in the table's order, key and ``pair`` column included."""
    rows: int
    size_bytes: int
    last_modified: datetime
    etag: str
    defect: str | None = None
    """Why the table cannot be described; its columns are then unknown and reading it would fail."""

    def types(self) -> dict[str, str]:
        """Return column name to BigQuery type, by the type's own name."""
        return {name: standard_type(kind) for name, kind in self.columns}
