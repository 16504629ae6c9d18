"""What ``bqx cost`` says beside its table."""

from __future__ import annotations

import pytest

from bqx_assets.base.costs import GIB_BYTES
from bqx_assets.base.ways import Way, ways
from bqx_assets.console.cost import cost_facts, cost_lines


def test_keeping_a_file_is_told_by_itself_and_is_not_in_a_ways_price() -> None:
    way = Way(name="w", kept_bytes=10 * GIB_BYTES, measured="", assumed="")
    assert (way.keeping_usd, way.total_usd) == (pytest.approx(0.2), 0)
    assert "  keeping the file costs extra: 10.7 GB, 0.20 a month" in cost_lines([way])
    assert cost_facts([way], 28)["ways"][0]["keeping_a_month_usd"] == 0.2  # type: ignore[index]


def test_each_way_says_what_is_measured_and_what_is_assumed() -> None:
    lines = cost_lines(ways())
    for way in ways():
        assert f"{way.name}: measured: {way.measured}; assumed: {way.assumed}" in lines
        assert not way.cannot or f"  cannot work: {way.cannot}" in lines
