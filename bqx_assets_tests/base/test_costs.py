"""Money follows from bytes by the one price table."""

from __future__ import annotations

import pytest

from bqx_assets.base.costs import (
    TIB_BYTES,
    cloud_run_usd,
    prices,
    query_usd,
    storage_operations_usd,
    storage_read_usd,
)
from bqx_assets.base.ways import Way, ways


def test_a_pairs_full_history_costs_cents_to_read_and_more_to_query() -> None:
    assert storage_read_usd(0) == 0
    assert storage_read_usd(TIB_BYTES) == 1.10
    assert query_usd(TIB_BYTES // 2) == 3.125
    assert storage_read_usd(295 * 10**9) < 0.30 < query_usd(295 * 10**9)


def test_a_container_costs_its_processors_and_memory_for_its_seconds() -> None:
    assert cloud_run_usd(1_000, vcpus=2, gib=2) == pytest.approx(1_000 * (2 * 0.000018 + 2 * 0.000002))


def test_operations_on_the_store_cost_by_class() -> None:
    assert storage_operations_usd(1_000) == prices().cloud_storage.class_a_per_thousand
    assert storage_operations_usd(0, 1_000) == prices().cloud_storage.class_b_per_thousand


def test_a_ways_price_is_the_sum_of_its_parts() -> None:
    way = Way(
        name="w",
        vm_hours=1,
        vcpus=1,
        gib=1,
        seconds=10,
        queried_bytes=TIB_BYTES,
        class_a=1_000,
        measured="",
        assumed="",
    )
    assert way.total_usd == pytest.approx(0.524 + 10 * 0.00002 + 6.25 + 0.005)


def test_this_system_costs_less_than_the_cheapest_estimate_of_the_users() -> None:
    ours = [way for way in ways() if way.name.startswith("bqx_assets")]
    assert len(ours) == 3
    assert all(way.total_usd < 0.42 and not way.cannot for way in ours)
