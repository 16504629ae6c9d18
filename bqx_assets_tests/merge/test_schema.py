"""Annotations that contradict each other are refused by column: readers would take one file for two contents."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bqx_assets.base.errors import FooterError
from bqx_assets.merge.footer import merge_footers, read_footer
from bqx_assets_tests.merge.footers import FLAG, I32, STRUCT, Fields, Typed, change_footer, elements
from bqx_assets_tests.merge.readers import READERS, arrow

NOTHING: Typed = (STRUCT, {})


def _moment(unit: int, *, utc: bool = True) -> Typed:
    return (STRUCT, {1: (FLAG, utc), 2: (STRUCT, {unit: NOTHING})})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Columns s (text), i (integer), t (timestamp), x (float)."""
    file = tmp_path_factory.mktemp("schema") / "a.parquet"
    moments = pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 3, pa.timestamp("us", "UTC"))
    arrow.write_table(pa.table({"s": ["a", "b", "c"], "i": [1, 2, 3], "t": moments, "x": [1.0, 2.0, 3.0]}), file)
    return file


CONTRADICTIONS: dict[str, tuple[str, dict[int, Typed]]] = {
    "a text that is a date as well": ("s", {6: (I32, 6)}),
    "a text that is JSON for older readers": ("s", {6: (I32, 19)}),
    "an integer that is a text": ("i", {10: (STRUCT, {1: NOTHING})}),
    "an integer that is a text for older readers": ("i", {6: (I32, 0)}),
    "microseconds that are milliseconds for older readers": ("t", {6: (I32, 9)}),
    "nanoseconds that are microseconds for older readers": ("t", {10: (STRUCT, {8: _moment(3)})}),
    "a time that is a timestamp for older readers": ("t", {10: (STRUCT, {7: _moment(2)})}),
    "a unit that nobody knows": ("t", {10: (STRUCT, {8: _moment(4)})}),
    "two logical types": ("t", {10: (STRUCT, {8: _moment(2), 1: NOTHING})}),
    "a logical type that nobody knows": ("x", {10: (STRUCT, {30: NOTHING})}),
    "no logical type in its place": ("x", {10: (STRUCT, {})}),
    "an unsigned float": ("x", {6: (I32, 14)}),
    "a converted type that nobody knows": ("x", {6: (I32, 77)}),
    "an integer of 7 bits": ("i", {10: (STRUCT, {10: (STRUCT, {1: (3, b"\x07"), 2: (FLAG, True)})})}),
    "an integer of 32 bits in 64": ("i", {10: (STRUCT, {10: (STRUCT, {1: (3, b"\x20"), 2: (FLAG, True)})})}),
    "a float of 16 bits": ("x", {10: (STRUCT, {15: NOTHING})}),
    "another physical type than its chunks": ("x", {1: (I32, 2)}),
    "a physical type that nobody knows": ("x", {1: (I32, 9)}),
    "repeated": ("x", {3: (I32, 2)}),
    "fixed size of no size": ("x", {1: (I32, 7)}),
    "children": ("x", {5: (I32, 1)}),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradicting_annotations_are_refused_by_column(path: Path, tmp_path: Path, name: str) -> None:
    column, fields = CONTRADICTIONS[name]

    def change(footer: Fields) -> None:
        element = elements(footer)["sitx".index(column) + 1]
        element.update(fields)

    changed = change_footer(path, change, tmp_path / "a.parquet")
    with pytest.raises(FooterError, match=rf"{column}:|LogicalType: unknown|TimeUnit: unknown"):
        read_footer(changed)


def test_more_or_fewer_column_orders_than_columns_are_refused(path: Path, tmp_path: Path) -> None:
    changed = change_footer(path, lambda footer: footer[7][1][1].pop(), tmp_path / "a.parquet")
    with pytest.raises(FooterError, match="3 column orders for 4 columns"):
        read_footer(changed)


def test_every_type_that_arrow_writes_is_read(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "date": pa.array([dt.date(2024, 1, 1)]),
        "decimal": pa.array([Decimal("1.5")]),
        "binary": pa.array([b"\xff"]),
        "fixed": pa.array([b"abc"], pa.binary(3)),
        "half": pa.array([1.5], pa.float16()),
        **{f"time_{unit}": pa.array([1], pa.int64()).cast(pa.time64(unit)) for unit in ("us", "ns")},
        "time_ms": pa.array([1], pa.int32()).cast(pa.time32("ms")),
        **{
            f"moment_{kind}": pa.array([10**6], pa.int64()).cast(kind)
            for unit in ("ms", "us", "ns")
            for kind in (pa.timestamp(unit, "UTC"), pa.timestamp(unit))
        },
        **{str(kind): pa.array([1], kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
        **{str(kind): pa.array([1], kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
        "null": pa.nulls(1),
    }
    for version in ("1.0", "2.4", "2.6"):
        file = tmp_path / f"{version}.parquet"
        arrow.write_table(pa.table(values), file, version=version)
        footer = read_footer(file)
        types = dict(zip(footer.columns, footer.types, strict=True))
        assert types["moment_timestamp[us, tz=UTC]"] == "TIMESTAMP"
        assert types["int64"] == "INT64"
        known = {name for name, found in types.items() if found is not None}
        assert (
            not known & {"uint64", "decimal", "moment_timestamp[us]", "moment_timestamp[ns, tz=UTC]"} or version < "2.6"
        )


def test_a_merged_files_types_are_the_same_for_every_reader_whatever_the_raw_ones_older_form(
    path: Path, tmp_path: Path
) -> None:
    """A text by its older annotation alone, a timestamp by its newer one alone."""

    def change(footer: Fields) -> None:
        elements(footer)[1].pop(10)
        elements(footer)[3].pop(6)

    raw = change_footer(path, change, tmp_path / "a.parquet")
    footer = read_footer(raw)
    assert footer.types == ("STRING", "INT64", "TIMESTAMP", "FLOAT64")
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(raw.read_bytes() + merge_footers([[footer]], footer.row_groups, {}))
    first, *others = [reader(whole, footer.columns) for reader in READERS.values()]
    assert first["s"].to_list() == ["a", "b", "c"]
    assert all(first["t"].to_list() == other["t"].to_list() for other in others)
    assert arrow.read_schema(whole).field("t").type == pa.timestamp("us", "UTC")
