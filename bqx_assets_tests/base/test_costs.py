"""Money follows from bytes by the one price table."""

from __future__ import annotations

from bqx_assets.base.costs import TIB_BYTES, query_usd, storage_read_usd


def test_a_pairs_full_history_costs_cents_to_read_and_more_to_query() -> None:
    assert storage_read_usd(0) == 0
    assert storage_read_usd(TIB_BYTES) == 1.10
    assert query_usd(TIB_BYTES // 2) == 3.125
    assert storage_read_usd(295 * 10**9) < 0.30 < query_usd(295 * 10**9)
