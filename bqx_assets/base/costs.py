"""Money: the one price table, and what an operation costs by it.

Belongs here: list prices with their date, and USD from bytes. Does not: measuring bytes, or budgets.

Lesson 22: with $5 in one place and $6.25 a TB in another, the users' own estimate was off by a factor of eight.
"""

from __future__ import annotations

PRICES_AS_OF = "2026-11"
"""List prices in the US multi-region."""
TIB_BYTES = 1 << 40
QUERY_USD_PER_TIB = 6.25
"""On-demand queries, by bytes scanned."""
STORAGE_READ_USD_PER_TIB = 1.10
"""Storage Read API, by bytes of the selected columns; the monthly free allowance is left out: an upper bound."""


def storage_read_usd(read_bytes: int) -> float:
    """Return what reading ``read_bytes`` by the Storage Read API costs, in USD. Source: BigQuery's pricing page."""
    return read_bytes / TIB_BYTES * STORAGE_READ_USD_PER_TIB


def query_usd(scanned_bytes: int) -> float:
    """Return what an on-demand query that scans ``scanned_bytes`` costs, in USD. Source: BigQuery's pricing page."""
    return scanned_bytes / TIB_BYTES * QUERY_USD_PER_TIB
