"""Column chunks that cannot be are refused by column; bounds are kept where every reader may rely on them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from bqx_assets.base.errors import FooterError
from bqx_assets.base.parquet_fields import HIGH, LOW, NULLS
from bqx_assets.merge.chunks import Stated, decoder, kept_statistics, texts_unordered
from bqx_assets.merge.footer import merge_footers, read_footer
from bqx_assets.merge.schema import Leaf
from bqx_assets_tests.merge.footers import (
    I32,
    I64,
    LIST,
    STRUCT,
    TEXT,
    Fields,
    change_footer,
    chunk,
    groups,
    meta,
    statistics,
)
from bqx_assets_tests.merge.readers import arrow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two row groups of columns x and s, both with dictionaries."""
    file = tmp_path_factory.mktemp("chunks") / "a.parquet"
    arrow.write_table(pa.table({"x": [1.0, 2.0] * 50, "s": ["a", "b"] * 50}), file, row_group_size=50)
    return file


def _same_bytes(footer: Fields) -> None:
    meta(footer, 1).update({9: meta(footer, 0)[9], 11: meta(footer, 0)[11], 7: meta(footer, 0)[7]})


CHANGES: dict[str, Callable[[Fields], object]] = {
    "outside the file": lambda f: meta(f, 1).update({9: (I64, 10**9)}),
    "before the file": lambda f: meta(f, 1).update({9: (I64, -4), 11: (I64, -9)}),
    "over the footer": lambda f: meta(f, 1, 1).update({7: (I64, meta(f, 1, 1)[7][1] + 10)}),
    "of no bytes": lambda f: meta(f, 1).update({7: (I64, 0)}),
    "of fewer than no bytes": lambda f: meta(f, 1).update({7: (I64, -1)}),
    "of fewer than no raw bytes": lambda f: meta(f, 1).update({6: (I64, -1)}),
    "its dictionary behind its data": lambda f: meta(f, 1).update({11: (I64, meta(f, 1)[9][1] + 5)}),
    "within another column": _same_bytes,
    "within its own next row group": lambda f: meta(f, 1, 1).update({n: meta(f, 1)[n] for n in (7, 9, 11)}),
    "of more values": lambda f: meta(f, 1).update({5: (I64, 51)}),
    "of another column's name": lambda f: meta(f, 1).update({3: (LIST, (TEXT, [b"x"]))}),
    "of another type": lambda f: meta(f, 1).update({1: (I32, 2)}),
    "of a codec that nobody has": lambda f: meta(f, 1).update({4: (I32, 8)}),
    "LZO": lambda f: meta(f, 1).update({4: (I32, 3)}),
    "the older LZ4": lambda f: meta(f, 1).update({4: (I32, 5)}),
    "of an encoding that nobody has": lambda f: meta(f, 1).update({2: (LIST, (I32, [0, 77]))}),
    "encoding statistics of none": lambda f: meta(f, 1)[13][1][1][0].update({2: (I32, 77)}),
    "in another file": lambda f: chunk(f, 1).update({1: (TEXT, b"other.parquet")}),
    "encrypted": lambda f: chunk(f, 1).update({8: (STRUCT, {1: (STRUCT, {})})}),
    "encrypted metadata": lambda f: chunk(f, 1).update({9: (TEXT, b"secret")}),
    "more nulls than values": lambda f: statistics(f, 1).update({3: (I64, 51)}),
    "fewer nulls than none": lambda f: statistics(f, 1).update({3: (I64, -1)}),
    "a bound of another size": lambda f: statistics(f, 0).update({5: (TEXT, b"12345")}),
    "an older bound of another size": lambda f: statistics(f, 0).update({2: (TEXT, b"")}),
    "a Bloom filter outside the file": lambda f: meta(f, 1).update({14: (I64, 10**9), 15: (I32, 4)}),
    "a page index outside the file": lambda f: chunk(f, 1).update({6: (I64, 10**9), 7: (I32, 4)}),
    "no metadata": lambda f: chunk(f, 1).pop(3),
    "no codec": lambda f: meta(f, 1).pop(4),
    "an encrypted file": lambda f: f.update({8: (STRUCT, {1: (STRUCT, {})})}),
    "a signing key": lambda f: f.update({9: (TEXT, b"key")}),
    "fewer chunks than columns": lambda f: groups(f)[0][1][1][1].pop(),
    "a row group of fewer than no rows": lambda f: groups(f)[0].update({3: (I64, -50)}),
    "a row group of fewer than no bytes": lambda f: groups(f)[0].update({2: (I64, -1)}),
    "other rows than its row groups": lambda f: f.update({3: (I64, 99)}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_chunk_that_cannot_be_is_refused(path: Path, tmp_path: Path, name: str) -> None:
    changed = change_footer(path, CHANGES[name], tmp_path / "a.parquet")
    with pytest.raises(FooterError, match=r"\bs: |\bs at |x: |row group|rows|ColumnChunk|Meta|bounds|enc|nulls"):
        read_footer(changed)


def test_an_offset_of_zero_is_no_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    arrow.write_table(pa.table({"x": [1.0, 2.0]}), path, use_dictionary=False)
    before = read_footer(path)
    change_footer(path, lambda footer: meta(footer, 0).update({11: (I64, 0)}))
    assert read_footer(path).groups == before.groups


def test_unknown_fields_of_any_size_neither_stay_nor_go_into_a_merged_footer(path: Path, tmp_path: Path) -> None:
    def change(footer: Fields) -> None:
        for fields in (footer, groups(footer)[0], chunk(footer, 0), meta(footer, 0), statistics(footer, 0)):
            fields.update({100: (TEXT, b"y" * 200_000), 32_767: (STRUCT, {1: (TEXT, b"z" * 1_000)})})
        for element in footer[2][1][1]:
            element[12] = (TEXT, b"y" * 200_000)

    raw = change_footer(path, change, tmp_path / "a.parquet")
    footer = read_footer(raw)
    end = merge_footers([[footer]], footer.row_groups, {})
    assert len(end) < 1_000
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(raw.read_bytes() + end)
    assert arrow.read_table(whole).equals(arrow.read_table(path))


def test_a_row_group_without_rows_may_have_any_offsets(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    whole = pa.table({"x": [1.0, 2.0], "s": ["a", "b"]})
    with arrow.ParquetWriter(path, whole.schema) as writer:
        for part in (whole[:0], whole, whole[:0]):
            writer.write_table(part)
    footer = read_footer(path)
    assert footer.row_groups == (0, 2, 0)
    assert [chunk.nulls for group in footer.groups for chunk in group.chunks] == [0] * 6


NAN = float("nan")


def _leaf(type_name: str, *, ordered: bool = True) -> Leaf:
    return Leaf("x", {"STRING": 6, "FLOAT64": 5, "BOOL": 0}.get(type_name, 2), type_name, {3: 1}, ordered)


def test_bounds_are_carried_on_with_their_flags() -> None:
    found = kept_statistics(Stated(2, b"a", b"b\xc3\xa9", None, False), _leaf("STRING"))  # noqa: FBT003
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
    assert kept_statistics(Stated(0, low, high), _leaf(type_name)) == {NULLS: 0}


def test_bounds_without_a_stated_order_are_not_carried_on() -> None:
    assert kept_statistics(Stated(0, b"a", b"b"), _leaf("STRING", ordered=False)) == {NULLS: 0}
    assert kept_statistics(Stated(None, 1, 2), _leaf("INT64", ordered=False)) is None


def test_a_zero_bound_stands_for_both_zeros() -> None:
    found = kept_statistics(Stated(0, 0.0, -0.0), _leaf("FLOAT64")) or {}
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
    whole.write_bytes(path.read_bytes() + merge_footers([[footer]], footer.row_groups, {}))
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
    whole.write_bytes(path.read_bytes() + merge_footers([[footer]], footer.row_groups, {}))
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
