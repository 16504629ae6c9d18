"""A spine's stretches: every key is in one, every moment between first and last key is read once."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.names import KEY
from bqx_assets.extract import stretches as module
from bqx_assets.extract.stretches import stretches
from bqx_assets_tests.frames import minutes

SEVERAL = (1, 1)


@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any), st.integers(1, 12))
def test_stretches_cover_the_spine_without_gap_or_overlap(there: list[bool], size: int) -> None:
    keys = minutes(len(there)).filter(pl.Series(there))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STRETCH_BYTES", size * 8)
        found = stretches(keys, SEVERAL, 8)
    assert pl.concat([each.keys for each in found]).to_list() == keys.to_list()
    assert [each.first_row for each in found] == list(range(0, keys.len(), size))
    assert (found[0].start, found[-1].end) == (keys[0], keys[-1])
    assert all(one.end + timedelta(microseconds=1) == other.start for one, other in pairwise(found))
    assert all(each.keys.name == KEY for each in found)


def test_a_spine_of_one_row_group_is_read_at_once_whatever_it_takes() -> None:
    keys = minutes(200)
    assert [(each.start, each.end) for each in stretches(keys, (200,), 1 << 40)] == [(keys[0], keys[-1])]


def test_a_row_wider_than_a_stretch_is_a_stretch() -> None:
    assert len(stretches(minutes(5), SEVERAL, 1 << 40)) == 5
