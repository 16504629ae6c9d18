"""Ranges of any columns, overlapping ones of a damaged footer included, count each byte of a file once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.quality.chunk_reader import Group, Range, column_groups, counted_once, group_of, holes, uncounted
from bqx_assets.quality.scan import StatedGroup

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
