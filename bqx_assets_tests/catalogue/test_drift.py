"""Drift names each table and column that appeared, vanished or changed its type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bqx_assets.base.artifacts import ExtractionRecord, RowAccount, SlabProvenance, SlabRecord, SourceTable, Spine
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.discovery import FeatureTable, PairCatalogue, discover
from bqx_assets.catalogue.drift import drift
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets_tests.descriptions import full_descriptions

EURUSD = parse_pair("eurusd")
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def _catalogue() -> PairCatalogue:
    return discover(EURUSD, full_descriptions(EURUSD).values(), load_expectations())


def _record(catalogue: PairCatalogue) -> ExtractionRecord:
    """The record an extraction of this catalogue would leave, as far as drift looks at it."""
    slabs = [
        SlabRecord(
            provenance=SlabProvenance(
                pair="eurusd",
                role="feature",
                family=each.family,
                fingerprint="f",
                spine_fingerprint="s",
                source=SourceTable(
                    dataset="d", table=each.description.table, last_modified=NOW, etag="", rows=1, size_bytes=1
                ),
                snapshot_time=NOW,
                rows=RowAccount(read=1, matched=1, missing=0, extra=0, duplicates=0),
                duplicate_policy="refuse",
                columns=each.columns,
            ),
            object_name="x",
            size_bytes=1,
            crc32c=1,
        )
        for each in catalogue.tables
    ]
    spine = Spine(rows=1, fingerprint="s", first=NOW, last=NOW, row_groups=(1,))
    return ExtractionRecord(pair="eurusd", snapshot_time=NOW, spine=spine, slabs=tuple(slabs))


def _without_first_column(table: FeatureTable) -> FeatureTable:
    return replace(table, columns=table.columns[1:])


def _retyped(table: FeatureTable) -> FeatureTable:
    return replace(table, columns=(table.columns[0].model_copy(update={"type": "STRING"}), *table.columns[1:]))


def test_an_unchanged_catalogue_has_no_drift() -> None:
    assert drift(_record(_catalogue()), _catalogue()) == []


def test_tables_that_appear_and_vanish_are_named() -> None:
    whole = _catalogue()
    fewer = replace(whole, tables=whole.tables[2:])
    assert drift(_record(whole), fewer) == ["table agg_bqx_eurusd vanished", "table agg_eurusd vanished"]
    assert drift(_record(fewer), whole) == ["table agg_bqx_eurusd appeared", "table agg_eurusd appeared"]


def test_an_unexpected_table_is_reported_once() -> None:
    now = replace(_catalogue(), unexpected=("new_eurusd",))
    assert drift(_record(_catalogue()), now) == ["table new_eurusd appeared, left out"]
    assert drift(_record(_catalogue()).model_copy(update={"unexpected": ("new_eurusd",)}), now) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_without_first_column, "column agg_bqx_eurusd.agg_count_1440 vanished"),
        (_retyped, "column agg_bqx_eurusd.agg_count_1440 changed from INT64 to STRING"),
    ],
)
def test_columns_that_vanish_or_change_type_are_named(
    change: Callable[[FeatureTable], FeatureTable], sentence: str
) -> None:
    whole = _catalogue()
    changed = replace(whole, tables=(change(whole.tables[0]), *whole.tables[1:]))
    assert drift(_record(whole), changed) == [sentence]


def test_a_column_that_appears_is_named() -> None:
    whole = _catalogue()
    fewer = replace(whole, tables=(_without_first_column(whole.tables[0]), *whole.tables[1:]))
    assert drift(_record(fewer), whole) == ["column agg_bqx_eurusd.agg_count_1440 appeared"]
