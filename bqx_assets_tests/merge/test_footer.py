"""Footers: read back as written, shifted right, and FooterError alone for anything damaged."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import FooterError
from bqx_assets.base.frame_files import parquet_end_bytes
from bqx_assets.base.parquet_fields import REPETITION, file_metadata
from bqx_assets.base.thrift import parse
from bqx_assets.merge.footer import Footer, merge_footers, read_footer, select
from bqx_assets_tests.frames import minutes
from bqx_assets_tests.merge.footers import LIST, STRUCT, TEXT, Fields, change_footer, elements, meta, statistics
from bqx_assets_tests.merge.readers import arrow, arrow_table


@pytest.fixture(scope="module")
def slab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slab") / "a.parquet"
    frame = pl.DataFrame([minutes(20), pl.Series("x", [None, *range(19)]), pl.Series("s", ["a", "b"] * 10)])
    frame.write_parquet(path, row_group_size=8, metadata={"bqx.slab": "{}"})
    return path


def test_a_footer_says_columns_types_rows_and_metadata(slab: Path) -> None:
    footer = read_footer(slab)
    assert footer.columns == ("interval_time", "x", "s")
    assert footer.types == ("TIMESTAMP", "INT64", "STRING")
    assert footer.row_groups == (8, 8, 4)
    assert footer.metadata()["bqx.slab"] == "{}"


def test_a_merged_footer_of_one_part_reads_as_that_part(slab: Path, tmp_path: Path) -> None:
    footer = read_footer(slab)
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(slab.read_bytes() + merge_footers([[footer]], footer.row_groups, {"k": "v"}))
    again = read_footer(whole)
    assert (again.columns, again.types, again.row_groups) == (footer.columns, footer.types, footer.row_groups)
    assert again.metadata() == {"k": "v"}
    assert pl.read_parquet(whole).equals(pl.read_parquet(slab))


def test_selected_and_renamed_columns_are_all_that_a_reader_sees(slab: Path, tmp_path: Path) -> None:
    footer = select(read_footer(slab), {"s": "t__s" + "_" * 280, "x": "t__x"})
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(slab.read_bytes() + merge_footers([[footer]], footer.row_groups, {}))
    source = pl.read_parquet(slab)
    expected = source.select(pl.col("s").alias("t__s" + "_" * 280), pl.col("x").alias("t__x"))
    assert pl.read_parquet(whole).equals(expected)


def test_selecting_an_absent_column_is_refused_by_name(slab: Path) -> None:
    with pytest.raises(FooterError, match="no column nowhere"):
        select(read_footer(slab), {"nowhere": "t__x"})


def test_page_indexes_are_dropped_since_their_locations_are_absolute(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.parquet", tmp_path / "whole.parquet"
    arrow.write_table(arrow_table({"x": list(range(5000))}), path, write_page_index=True, data_page_size=512)
    other = tmp_path / "b.parquet"
    arrow.write_table(arrow_table({"y": list(range(5000))}), other, write_page_index=True, data_page_size=512)
    footers = [read_footer(path), read_footer(other)]
    whole.write_bytes(path.read_bytes() + other.read_bytes() + merge_footers([footers], (5000,), {}))
    chunk = arrow.read_metadata(whole).row_group(0).column(1)
    assert not chunk.has_offset_index
    assert not chunk.has_column_index
    assert pl.scan_parquet(whole).filter(pl.col("y") == 4321).collect().rows() == [(4321, 4321)]


def test_parts_of_other_rows_or_with_one_name_twice_are_refused(slab: Path) -> None:
    footer = read_footer(slab)
    with pytest.raises(FooterError, match="row groups"):
        merge_footers([[footer]], (20,), {})
    with pytest.raises(FooterError, match="twice"):
        merge_footers([[footer, footer]], footer.row_groups, {})


def test_tables_and_periods_merge_into_the_frame_of_all_rows_and_columns(tmp_path: Path) -> None:
    tables = {"a": ["interval_time", "x"], "b": ["s"]}
    frame = pl.DataFrame([minutes(20), pl.Series("x", [None, *range(19)]), pl.Series("s", ["a", "b"] * 10)])
    periods: list[list[Footer]] = []
    data = b""
    for number, (start, rows) in enumerate(((0, 3), (3, 12), (15, 5))):
        periods.append([])
        for table, columns in tables.items():
            piece = tmp_path / f"{table}{number}.parquet"
            frame.slice(start, rows).select(columns).write_parquet(piece, row_group_size=8)
            data += piece.read_bytes()
            periods[-1].append(read_footer(piece))
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(data + merge_footers(iter(periods), (3, 8, 4, 5), {"k": "v"}))
    footer = read_footer(whole)
    assert (footer.row_groups, footer.metadata()) == ((3, 8, 4, 5), {"k": "v"})
    assert pl.read_parquet(whole).equals(frame)
    starts = [[chunk.start for chunk in group.chunks] for group in footer.groups]
    assert starts[0] == sorted(starts[0])
    assert max(starts[0]) < min(starts[1])
    assert max(starts[2]) < min(starts[3])


@pytest.mark.parametrize(
    ("columns", "got"),
    [
        ({"x": [1], "z": ["a"]}, "column z of type STRING"),
        ({"x": [1.0], "s": ["a"]}, "column x of type FLOAT64"),
        ({"x": [1]}, "1 columns"),
        ({"x": [1], "s": ["a"], "z": [1]}, "3 columns"),
    ],
)
def test_a_period_of_other_columns_is_refused_by_file_and_column(
    tmp_path: Path, columns: dict[str, list[object]], got: str
) -> None:
    first, second = tmp_path / "2026-01.parquet", tmp_path / "2026-02.parquet"
    pl.DataFrame({"x": [1], "s": ["a"]}).write_parquet(first)
    pl.DataFrame(columns).write_parquet(second)
    periods = [[read_footer(first)], [read_footer(second)]]
    with pytest.raises(FooterError, match=f"2026-02.*{got}"):
        merge_footers(periods, (1, 1), {})


def test_a_period_whose_column_has_no_nulls_by_its_type_is_refused(slab: Path) -> None:
    footer = read_footer(slab)
    required = [leaf._replace(element=leaf.element | {REPETITION: 0}) for leaf in footer.leaves]
    other = replace(footer, leaves=tuple(required), subject="b.parquet")
    with pytest.raises(FooterError, match=r"b\.parquet.*interval_time of type TIMESTAMP without nulls"):
        merge_footers([[footer], [other]], footer.row_groups * 2, {})


def test_periods_of_more_or_fewer_row_groups_than_stated_are_refused(slab: Path) -> None:
    footer = read_footer(slab)
    with pytest.raises(FooterError, match="row groups"):
        merge_footers([[footer], [footer]], footer.row_groups, {})
    with pytest.raises(FooterError, match="row groups"):
        merge_footers([[footer]], footer.row_groups * 2, {})


def test_many_periods_take_a_few_times_the_bytes_of_their_footer(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({f"c{n}": [0.5, 1.5] for n in range(1_000)}).write_parquet(path)
    footer = read_footer(path)
    periods = 24
    tracemalloc.start()
    end = merge_footers(([footer] for _ in range(periods)), footer.row_groups * periods, {})
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(end) > periods * 50_000
    assert peak_bytes < 5 * len(end)


def test_long_texts_in_statistics_do_not_overrun_the_buffer(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.parquet", tmp_path / "whole.parquet"
    frame = pl.DataFrame({f"c{n}": ["x" * 40_000, "y" * 40_000] for n in range(30)})
    frame.write_parquet(path)
    footer = read_footer(path)
    whole.write_bytes(path.read_bytes() + merge_footers([[footer]], footer.row_groups, {}))
    assert pl.read_parquet(whole).equals(frame)


def test_any_truncation_is_a_footer_error(slab: Path, tmp_path: Path) -> None:
    data, cut = slab.read_bytes(), tmp_path / "cut.parquet"
    for size in (0, 3, 4, 7, 8, 11, 12, len(data) // 2, len(data) - 9, len(data) - 8, len(data) - 4, len(data) - 1):
        cut.write_bytes(data[:size])
        with pytest.raises(FooterError):
            read_footer(cut)


def test_a_missing_file_is_a_footer_error(tmp_path: Path) -> None:
    with pytest.raises(FooterError, match="No such file"):
        read_footer(tmp_path / "nothing.parquet")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_flipped_bytes_in_a_footer_give_a_footer_or_a_footer_error_and_never_a_crash(
    slab: Path, data: st.DataObject
) -> None:
    whole = bytearray(slab.read_bytes())
    size = int.from_bytes(whole[-8:-4], "little")
    flips = st.tuples(st.integers(len(whole) - 8 - size, len(whole) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(flips, min_size=1, max_size=4)):
        whole[place] = value
    damaged = slab.with_name("damaged.parquet")
    damaged.write_bytes(whole)
    try:
        footer = read_footer(damaged)
        merge_footers([[footer]], footer.row_groups, {})
    except FooterError:
        return


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash_the_parser(data: bytes) -> None:
    try:
        parse(data, file_metadata())
    except (ValueError, IndexError):
        return


@pytest.mark.parametrize("values", [[[1, 2], [3]], [{"a": 1}, {"a": 2}]])
def test_nested_columns_are_refused(tmp_path: Path, values: list[object]) -> None:
    pl.DataFrame({"x": values}).write_parquet(tmp_path / "nested.parquet")
    with pytest.raises(FooterError, match="columns"):
        read_footer(tmp_path / "nested.parquet")


BIG = 5_000_000


@pytest.mark.parametrize("what", ["metadata", "bounds", "unknown fields", "names"])
def test_a_footer_of_any_size_takes_a_few_times_its_own_bytes(tmp_path: Path, what: str) -> None:
    """One of 100 MB once took 1.8 GB."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({f"c{n}": ["a", "b"] for n in range(10)}).write_parquet(path)

    def change(footer: Fields) -> None:
        if what == "metadata":
            footer[5] = (LIST, (STRUCT, [{1: (TEXT, b"k%d" % n), 2: (TEXT, b"v" * BIG)} for n in range(4)]))
        if what == "bounds":
            statistics(footer, 0).update({5: (TEXT, b"z" * 2 * BIG), 6: (TEXT, b"a" * 2 * BIG)})
        if what == "unknown fields":
            elements(footer)[1][12] = (TEXT, b"y" * 4 * BIG)
        if what == "names":
            elements(footer)[1][4] = (TEXT, b"y" * 2 * BIG)
            meta(footer, 0)[3] = (LIST, (TEXT, [b"y" * 2 * BIG]))

    change_footer(path, change)
    tracemalloc.start()
    footer = read_footer(path)
    end = merge_footers([[select(footer, {"c9": "t__x"})]], footer.row_groups, {})
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    footer_bytes = parquet_end_bytes(path.read_bytes())
    assert footer_bytes > 4 * BIG
    assert len(end) < 1_000
    assert peak_bytes < 4 * footer_bytes
