"""The 411 tables that all pairs share (tri_*, csi_*, var_* and mkt_*), computed from the market."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import polars as pl

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features.currencies import currency_strength_columns, variance_columns
from bqx_assets.sandbox.features.frames import Column, frame
from bqx_assets.sandbox.features.market_wide import LEADING, market_wide_columns
from bqx_assets.sandbox.features.panel import Panel, clock_of
from bqx_assets.sandbox.features.triangulation import legs_of, triangle_of, triangulation_columns
from bqx_assets.sandbox.market.bars import Market

_Columns = Iterator[tuple[ExpectedTable, dict[str, Column]]]
_LEAST_PAIRS = {"csi": 1, "var": 2, "var_corr": 3, "mkt": 2}
"""Least number of pairs for a mean, a variance and three named members; other tables need none."""


def compute_shared_tables(
    market: Market, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, pl.DataFrame]]:
    """Yield each table of the shared families, kind by kind.

    **Shape**: one row for each time at which a pair of the market has a bar; ``interval_time``, then the grammar's
    columns in its order and types. Unknown, undefined and infinite values are null. A row depends only on bars up to
    its own time. **Cost**: up to half a gibibyte for the widest kind.

    Raises:
        KeyError: :func:`uncomputable` gives a reason for one of the tables.
    """
    panel = Panel(market, clock_of(market))
    for _, group in groupby(sorted(tables, key=lambda table: table.kind), key=lambda table: table.kind):
        of_kind = [*group]
        for table, columns in FAMILIES[of_kind[0].family](panel, of_kind):
            yield table, frame(table, panel.clock.times, columns)


def uncomputable(market: Market, table: ExpectedTable) -> str | None:
    """Return why a shared table cannot be computed from the market: the first pair it lacks. None if it can.

    A triangle needs its three pairs and ``mkt_corr`` its leading ones. A mean over a currency's or the market's pairs
    is taken over the pairs that exist.
    """
    family = table.table.split("_", 1)[0]
    if family == "tri":
        needs = [leg.pair for leg in legs_of(triangle_of(table))]
    elif table.kind.startswith("mkt_corr"):
        needs = [*LEADING]
    else:
        currency = None if family == "mkt" else table.table.rsplit("_", 1)[1]
        members = [pair.name for pair in ALL_PAIRS if currency in (None, pair.base, pair.quote)]
        least = _LEAST_PAIRS.get("var_corr" if table.kind.startswith("var_corr") else family, 0)
        present = sum(pair in market.pairs for pair in members)
        needs = [] if present >= least else members
    absent = next((pair for pair in needs if pair not in market.pairs), None)
    return None if absent is None else f"needs {absent}: {market.missing.get(absent, 'no bars')}"


def _triangulation(panel: Panel, tables: Sequence[ExpectedTable]) -> _Columns:
    return ((table, triangulation_columns(panel, table)) for table in tables)


def _market_wide(panel: Panel, tables: Sequence[ExpectedTable]) -> _Columns:
    return ((table, market_wide_columns(panel, table.kind)) for table in tables)


FAMILIES: dict[str, Callable[[Panel, Sequence[ExpectedTable]], _Columns]] = {
    "triangulation": _triangulation,
    "currency_strength": currency_strength_columns,
    "variance": variance_columns,
    "market_wide": _market_wide,
}
"""The families whose tables are computed here, each with the function for the columns of tables of one kind."""
