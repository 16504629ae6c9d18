"""Bounds are carried on only where every reader may rely on them, and held against the values where these are read."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bqx_assets.merge.bounds import Stated, carried, decoder, texts_unordered
from bqx_assets.merge.fields import HIGH, LOW, NULLS
from bqx_assets.merge.footer import merge_footers, read_footer
from bqx_assets.merge.schema import Leaf
from bqx_assets_tests.merge.footers import STRUCT, TEXT, Fields, change_footer, meta, statistics
from bqx_assets_tests.merge.readers import arrow

NAN = float("nan")


def _leaf(type_name: str, *, ordered: bool = True) -> Leaf:
    return Leaf("x", {"STRING": 6, "FLOAT64": 5, "BOOL": 0}.get(type_name, 2), type_name, {3: 1}, ordered)


def test_bounds_are_carried_on_with_their_flags() -> None:
    found = carried(Stated(2, b"a", b"b\xc3\xa9", None, False), _leaf("STRING"))  # noqa: FBT003
    assert found == {NULLS: 2, LOW: b"a", HIGH: b"b\xc3\xa9", 8: None, 7: False}


@pytest.mark.parametrize(
    ("type_name", "low", "high"),
    [
        ("STRING", b"zz", b"\xc3\xa9a" + b"\xff"), ("STRING", b"\xff", b"\xff"), ("STRING", b"b", b"a"),
        ("STRING", b"a", b"a" * 4_097), ("STRING", None, b"a"), ("FLOAT64", NAN, 1.0), ("FLOAT64", 1.0, NAN),
        ("FLOAT64", 2.0, 1.0), ("INT64", 2, 1), ("BOOL", True, False),
    ],
)  # fmt: skip
def test_bounds_that_cannot_be_are_not_carried_on(type_name: str, low: Any, high: Any) -> None:
    assert carried(Stated(0, low, high), _leaf(type_name)) == {NULLS: 0}


def test_bounds_without_a_stated_order_are_not_carried_on() -> None:
    assert carried(Stated(0, b"a", b"b"), _leaf("STRING", ordered=False)) == {NULLS: 0}
    assert carried(Stated(None, 1, 2), _leaf("INT64", ordered=False)) is None


def test_a_zero_bound_stands_for_both_zeros() -> None:
    found = carried(Stated(0, 0.0, -0.0), _leaf("FLOAT64")) or {}
    assert (found[LOW], found[HIGH]) == (struct.pack("<d", -0.0), struct.pack("<d", 0.0))


@pytest.mark.parametrize(
    ("creator", "unordered"),
    [
        (b"", True), (b"parquet-mr", True), (b"parquet-mr version 1.7.0 (build abc)", True),
        (b"parquet-mr version 1.8.1", True), (b"parquet-mr version 1.10.1", False),
        (b"parquet-mr version 1.13.1 (build x)", False), (b"parquet-cpp version 1.2.0", True),
        (b"parquet-cpp version 1.5.1-SNAPSHOT", False), (b"parquet-cpp-arrow version 9.0.0", False),
        (b"impala version 2.11.0", True), (b"impala version 4.1.0", False), (b"Polars", False), (b"DuckDB v1", False),
    ],
)  # fmt: skip
def test_text_bounds_of_writers_that_ordered_them_falsely_are_not_relied_on(creator: bytes, *, unordered: bool) -> None:
    assert texts_unordered(creator) is unordered


def _texts(path: Path) -> Path:
    frame = pl.DataFrame({"s": ["abc", "éa", "zz", "ü"] * 10, "x": [1.5, None, -2.0, 3.0] * 10})
    arrow.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()), path, store_schema=False)
    return path


def _no_order(footer: Fields) -> None:
    statistics(footer, 0).update({5: (TEXT, b"zz"), 6: (TEXT, "éa".encode())})
    footer.pop(7, None)


def _old_fields(footer: Fields) -> None:
    facts = statistics(footer, 0)
    facts.update({1: (TEXT, b"zz"), 2: (TEXT, "éa".encode())})
    del facts[5], facts[6]


def _old_writer(footer: Fields) -> None:
    _no_order_kept = {5: (TEXT, b"zz"), 6: (TEXT, "éa".encode())}
    statistics(footer, 0).update(_no_order_kept)
    footer[6] = (TEXT, b"parquet-mr version 1.6.0")


@pytest.mark.parametrize("change", [_no_order, _old_fields, _old_writer])
def test_no_filter_on_a_merged_file_loses_rows_by_the_raw_files_bounds(tmp_path: Path, change: Any) -> None:
    path = change_footer(_texts(tmp_path / "a.parquet"), change)
    footer = read_footer(path)
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(path.read_bytes() + merge_footers([footer], footer.row_groups, {}))
    for text in ("zz", "ü", "abc", "éa"):
        assert pl.scan_parquet(whole).filter(pl.col("s") == text).collect().height == 10
        assert arrow.read_table(whole, filters=[("s", "==", text)]).num_rows == 10
    assert not arrow.read_metadata(whole).row_group(0).column(0).statistics.has_min_max
    assert arrow.read_metadata(whole).row_group(0).column(0).statistics.null_count == 0


def test_what_nobody_checked_is_not_carried_on(tmp_path: Path) -> None:
    path = _texts(tmp_path / "a.parquet")
    change_footer(path, lambda footer: statistics(footer, 1).update({4: (6, 77)}))
    change_footer(path, lambda footer: meta(footer, 1).update({16: (STRUCT, {3: (9, (6, [10, 30]))})}))
    footer = read_footer(path)
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(path.read_bytes() + merge_footers([footer], footer.row_groups, {}))
    found = arrow.read_metadata(whole).row_group(0).column(1).statistics
    assert (found.distinct_count, found.null_count, found.min, found.max) == (None, 10, -2.0, 3.0)


LONG = "z" * 200


@pytest.mark.parametrize(
    ("stated", "wrong"),
    [
        (Stated(0, b"z" * 64, b"z" * 63 + b"{"), ""),
        (Stated(0, b"z" * 64, b"z" * 63 + b"{", False, False), ""),  # noqa: FBT003
        (Stated(0, LONG.encode(), LONG.encode(), True, True), ""),  # noqa: FBT003
        (Stated(0, b"z" * 64, LONG.encode(), True, True), "min"),  # noqa: FBT003
        (Stated(0, b"z" * 64, b"a"), "max"),
        (Stated(0, b"zzzza", b"z" * 64), "max"),
        (Stated(0, b"{", b"{"), "min"),
        (Stated(0, b"\xe7", b"\xff"), "min"),
        (Stated(0, None, None), ""),
        (Stated(1, None, None), "nulls"),
    ],
)
def test_a_shortened_text_is_right_where_it_bounds_and_wrong_where_it_does_not(stated: Stated, wrong: str) -> None:
    assert stated.wrong(0, LONG, LONG).split(" ")[0] == wrong


@pytest.mark.parametrize(("exact", "wrong"), [(None, True), (True, True), (False, False)])
def test_a_number_is_shortened_only_where_the_footer_says_so(exact: Any, *, wrong: bool) -> None:
    assert bool(Stated(0, 1.0, 9.0, exact, exact).wrong(0, 2.0, 8.0)) is wrong
    assert Stated(0, 3.0, 9.0, exact, exact).wrong(0, 2.0, 8.0).startswith("min 3.0 stated, 2.0 found")


def test_bounds_of_types_that_no_training_file_holds_are_nothing() -> None:
    assert decoder(None)(b"abcd") is None
    assert decoder("FLOAT64")(None) is None
