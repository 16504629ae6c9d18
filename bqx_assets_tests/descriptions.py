"""Descriptions of whole warehouses, as a warehouse's own catalogue would give them, without any row."""

from __future__ import annotations

from datetime import UTC, datetime

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import (
    FEATURES_DATASET,
    TARGETS_DATASET,
    expected_tables,
    targets_table,
)

MODIFIED = datetime(2026, 1, 5, tzinfo=UTC)


def describe(dataset: str, table: str, columns: tuple[tuple[str, str], ...]) -> TableDescription:
    """One table of 1,000 rows."""
    return TableDescription(dataset, table, columns, 1_000, 8_000 * len(columns), MODIFIED, f"etag-{table}")


def full_descriptions(pair: Pair) -> dict[str, TableDescription]:
    """All 668 tables of a pair as the grammar has them, by name."""
    found: dict[str, TableDescription] = {}
    for table in expected_tables(pair):
        keys = tuple((key, "TIMESTAMP" if key == KEY else "STRING") for key in table.keys)
        found[table.table] = describe(FEATURES_DATASET, table.table, keys + table.columns)
    targets = tuple((name, "FLOAT64") for name in load_expectations().targets())
    name = targets_table(pair)
    found[name] = describe(TARGETS_DATASET, name, ((KEY, "TIMESTAMP"), ("pair", "STRING"), *targets))
    return found
