"""Costs follow from bytes by the only price table."""

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


def test_reading_a_pairs_full_history_costs_cents() -> None:
    assert storage_read_usd(0) == 0
    assert storage_read_usd(TIB_BYTES) == 1.10
    assert 0.29 < storage_read_usd(295 * 10**9) < 0.30


def test_a_pairs_full_history_costs_more_to_query_than_to_read() -> None:
    assert query_usd(TIB_BYTES // 2) == 3.125
    assert storage_read_usd(295 * 10**9) < 0.30 < query_usd(295 * 10**9)


def test_a_container_costs_its_processors_and_memory_for_its_seconds() -> None:
    assert cloud_run_usd(1_000, vcpus=2, gib=2) == pytest.approx(1_000 * (2 * 0.000018 + 2 * 0.000002))


def test_operations_on_the_store_cost_by_class() -> None:
    assert storage_operations_usd(1_000) == prices().cloud_storage.class_a_per_thousand
    assert storage_operations_usd(0, 1_000) == prices().cloud_storage.class_b_per_thousand
