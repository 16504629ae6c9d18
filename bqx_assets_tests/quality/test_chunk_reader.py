"""Ranges of any columns, overlapping ones of a damaged footer included, count each byte of a file once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.merge.footer import read_footer
from bqx_assets.quality.chunk_reader import (
    Group,
    Range,
    Unreadable,
    column_groups,
    counted_once,
    decode,
    group_of,
    holes,
    uncounted,
)
from bqx_assets.quality.scan import StatedGroup, stated_groups

SIZE = 1 << 20
SPANS = st.lists(st.tuples(st.integers(4, SIZE), st.integers(0, SIZE)), min_size=1, max_size=12)


def _stated(spans: list[tuple[int, int]]) -> StatedGroup:
    starts = [start for start, _ in spans]
    none = [0] * len(spans)
    ends = [min(start + size, SIZE) for start, size in spans]
    return StatedGroup(1, none, none, none, none, starts, ends, starts, none, none, [[]] * len(spans))


@settings(deadline=None, max_examples=200)
@given(spans=SPANS, cut=st.integers(0, 12), end=st.integers(0, SIZE))
def test_groups_hold_their_columns_and_with_the_holes_count_each_byte_once(
    spans: list[tuple[int, int]], cut: int, end: int
) -> None:
    stated = _stated(spans)
    places = [each for each in (range(cut), range(cut, 12)) if any(place < len(spans) for place in each)]
    groups = counted_once([group_of(0, [p for p in each if p < len(spans)], stated) for each in places], end)
    for group in groups:
        for place in group.places:
            assert any(r.start <= stated.start[place] and stated.end[place] <= r.end for r in group.ranges)
        assert all(a.end < b.start or a.end == b.start for a, b in zip(group.ranges, group.ranges[1:], strict=False))
    counted = [(r.counted_from, r.end) for group in groups for r in group.ranges] + holes(groups, end, 1 << 16)
    sofar = 0
    for start, stop in sorted(each for each in counted if each[0] < each[1]):
        assert start == sofar
        sofar = stop
    assert sofar >= end


def test_chunks_that_lie_together_are_one_range() -> None:
    near = _stated([(4, 100), (104, 100), (204, 100)])
    assert group_of(0, [0, 1, 2], near).ranges == (Range(4, 304, 4),)
    far = _stated([(4, 100), (SIZE - 100, 100)])
    assert [each.start for each in group_of(0, [0, 1], far).ranges] == [4, SIZE - 100]


def test_texts_stored_as_differences_are_decoded_one_column_at_a_time() -> None:
    plain, delta = [0, 3], [7]
    stated = replace(_stated([(4, 100)] * 5), encodings=[plain, delta, delta, plain, plain])
    assert column_groups(["STRING"] * 5, stated, range(5), 1 << 20) == [[0], [1], [2], [3, 4]]


def test_what_is_read_ahead_of_its_turn_counts_nothing() -> None:
    group = uncounted(Group(0, (0,), (Range(4, 40, 4),)))
    assert holes([group], 40, 100) == [(0, 40)]


MIXED = pl.DataFrame(
    {
        "smooth": [0.5, None, -0.0, float("nan"), float("inf"), 1e-300] * 50,
        "text": ["a", None, "b", "", "c", "a"] * 50,
        "full": [number / 7 for number in range(300)],
        "step": [1.0, 1.0, 2.0, None, 2.0, 1.0] * 50,
        "count": list(range(300)),
    }
)


def _written(path: Path, **how: Any) -> Path:
    how |= {
        "use_dictionary": ["step", "text"],
        "column_encoding": dict.fromkeys(("smooth", "full"), "BYTE_STREAM_SPLIT"),
    }
    pq.write_table(MIXED.to_arrow(), path, row_group_size=120, **how)
    return path


@pytest.mark.parametrize("codec", ["zstd", "lz4", "none"])
@pytest.mark.parametrize("places", [[0, 1, 2, 3, 4], [2], [4, 0], [1, 3]])
def test_columns_are_decoded_equal_whichever_library_decodes_them(
    tmp_path: Path, codec: str, places: list[int]
) -> None:
    path = _written(tmp_path / "mixed.parquet", compression=codec)
    footer, data = read_footer(path), path.read_bytes()
    names = [MIXED.columns[place] for place in places]
    for number, stated in enumerate(stated_groups(footer)):
        blocks = [(stated.start[place], data[stated.start[place] : stated.end[place]]) for place in sorted(places)]
        expected = MIXED[120 * number :][: stated.rows].select(names)
        expected.columns = [*map(str, places)]
        for each in (blocks, [(0, data)]):
            found = decode(footer, stated, places, each)
            assert found.equals(expected)
            assert found.schema == expected.schema


def test_a_split_column_whose_bytes_are_damaged_is_unreadable(tmp_path: Path) -> None:
    path = _written(tmp_path / "mixed.parquet", compression="zstd")
    footer, data = read_footer(path), bytearray(path.read_bytes())
    stated = stated_groups(footer)[0]
    middle = (stated.start[2] + stated.end[2]) // 2
    data[middle : stated.end[2]] = bytes(stated.end[2] - middle)
    with pytest.raises(Unreadable):
        decode(footer, stated, [0, 1, 2], [(0, bytes(data))])
    assert decode(footer, stated, [0, 1], [(0, bytes(data))]).height == 120
