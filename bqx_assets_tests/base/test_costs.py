"""Costs follow from bytes by the only price table."""

from __future__ import annotations

from bqx_assets.base.costs import TIB_BYTES, storage_read_usd


def test_reading_a_pairs_full_history_costs_cents() -> None:
    assert storage_read_usd(0) == 0
    assert storage_read_usd(TIB_BYTES) == 1.10
    assert 0.29 < storage_read_usd(295 * 10**9) < 0.30
