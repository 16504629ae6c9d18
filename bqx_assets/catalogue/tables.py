"""What a warehouse says of its tables.

Belongs here: the description of one table. Does not: which tables a pair needs (``discovery``), reading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

READ_TYPES: tuple[str, ...] = ("FLOAT64", "INT64", "STRING", "BOOL", "TIMESTAMP")
"""The BigQuery types that a column may have to be read: every other table of types in this package has these keys."""
_ALIASES = {
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    **dict.fromkeys(("INT", "INTEGER", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT"), "INT64"),
}
"""Other names of the same types: the REST API's, and SQL's synonyms."""


def standard_type(name: str) -> str:
    """Return a BigQuery type's own name: INT64 for INTEGER, STRING for STRING(10); another type's as it is.

    A text's greatest length limits its values only. NUMERIC(10, 2) stays as it is: it is not read.
    """
    plain = name.strip().upper()
    if plain.startswith("STRING("):
        return "STRING"
    return plain if plain in READ_TYPES else _ALIASES.get(plain, name)


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
