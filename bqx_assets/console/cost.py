"""``bqx cost``: what a pair costs by each way, as a table and as plain facts.

Belongs here: drawing prices. Does not: quantities and prices (``base``).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from bqx_assets.base.costs import prices
from bqx_assets.base.ways import Way
from bqx_assets.console import tables


def cost_facts(ways: Sequence[Way], pairs: int) -> dict[str, object]:
    """Return every way's price in USD, with what it follows from."""
    return {
        "prices": prices().model_dump(),
        "pairs": pairs,
        "ways": [
            {
                **way.model_dump(),
                "compute_usd": round(way.compute_usd, 4),
                "bigquery_usd": round(way.bigquery_usd, 4),
                "storage_usd": round(way.storage_usd, 4),
                "keeping_a_month_usd": round(way.keeping_usd, 4),
                "pair_usd": round(way.total_usd, 4),
                "pairs_usd": round(way.total_usd * pairs, 2),
            }
            for way in ways
        ],
    }


def cost_table(ways: Sequence[Way], pairs: int) -> Table:
    """Return a line a way: compute, BigQuery, storage, a pair, all pairs, and the users' own estimate."""
    table = tables.plain_table(
        "way", "", numbers=("compute", "BigQuery", "storage", "a pair", f"{pairs} pairs", "their estimate")
    )
    for way in ways:
        table.add_row(
            way.name,
            "cannot work" if way.cannot else "",
            f"{way.compute_usd:.3f}",
            f"{way.bigquery_usd:.3f}",
            f"{way.storage_usd:.3f}",
            f"{way.total_usd:.2f}",
            f"{way.total_usd * pairs:,.2f}",
            "" if way.claimed_usd is None else f"{way.claimed_usd:.2f}",
        )
    return table


def cost_lines(ways: Sequence[Way]) -> list[str]:
    """Return what is measured, what is assumed, and why a way cannot work."""
    found = [f"USD, list prices of {prices().as_of}, no free allowance."]
    for way in ways:
        found += [f"{way.name}: measured: {way.measured}; assumed: {way.assumed}"]
        found += [f"  cannot work: {way.cannot}"] if way.cannot else []
        kept = f"  keeping the file costs extra: {way.kept_bytes / 1e9:.1f} GB, {way.keeping_usd:.2f} a month"
        found += [kept] if way.kept_bytes else []
    return found
