"""The 411 tables that all pairs share, computed from the market, with the formulas of the ``mkt_*`` tables.

Those of ``csi_*`` and ``var_*`` are in ``currencies``, those of ``tri_*`` in ``triangulation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import polars as pl

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.currencies import currency_strength_columns, variance_columns
from bqx_assets.sandbox.features.frames import Column, frame, labels
from bqx_assets.sandbox.features.panel import CENTRES, Moments, Panel, clock_of
from bqx_assets.sandbox.features.regression import trend
from bqx_assets.sandbox.features.source import Variant
from bqx_assets.sandbox.features.triangulation import legs_of, triangle_of, triangulation_columns
from bqx_assets.sandbox.market.bars import Floats, Lack, Market

_Columns = Iterator[tuple[ExpectedTable, dict[str, Column]]]
LEADING: tuple[str, ...] = ("audusd", "eurusd", "gbpusd", "usdjpy")
"""The pairs whose levels and correlations ``mkt_corr`` holds."""

_WINDOWS = (45, 90, 180, 360, 720)
_CORRELATED = {
    "corr_aud_jpy_45": ("audusd", "usdjpy"),
    "corr_eur_gbp_45": ("eurusd", "gbpusd"),
    "corr_eur_jpy_45": ("eurusd", "usdjpy"),
}
_TREND_R2 = 0.5
"""A pair trends where a line explains half of the variance of its last 45 bars."""
_LEAST_PAIRS = {"csi": 1, "var": 2, "var_corr": 3, "mkt": 2}
"""Least number of pairs of a family or kind: for a mean 1, a variance 2, three named members 3; others need none."""


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


def uncomputable(market: Market, table: ExpectedTable) -> Lack | None:
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
    return None if absent is None else replace(market.missing.get(absent, Lack("no bars")), needs=absent)


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


def market_wide_columns(panel: Panel, kind: str) -> dict[str, Column]:
    """Return the columns of a ``mkt_`` table by its kind, ``mkt_vol`` or ``mkt_vol_bqx``."""
    words = kind.split("_")
    variant: Variant = "bqx" if words[-1] == "bqx" else "idx"
    found = _FORMULAS[words[1]](panel, variant)
    if words[1] == "corr":
        return found | {"market": "forex"}
    return found | {"scope": "all_pairs", "pairs_count": panel.present()}


def _vol(panel: Panel, variant: Variant) -> dict[str, Column]:
    """Return means over the pairs, and the dispersion of realized volatility between them."""
    stems = ("vol_atr", "vol_normalized", "vol_realized")
    moments = _moments(panel, [f"{stem}_{window}" for stem in stems for window in _WINDOWS])
    for _, found in panel.features("vol", variant, [*moments]):
        for name, values in found.items():
            moments[name].add(values)
    columns: dict[str, Column] = {f"mkt_{name}": each.mean() for name, each in moments.items()}
    realized = {window: moments[f"vol_realized_{window}"] for window in _WINDOWS}
    return columns | {f"mkt_vol_dispersion_{window}": each.deviation() for window, each in realized.items()}


def _sentiment(panel: Panel, variant: Variant) -> dict[str, Column]:
    """Return means over the pairs of the change over w bars (momentum), its size (strength) and sign (direction)."""
    measures = {"avg_momentum": np.positive, "avg_strength": np.abs, "net_direction": np.sign}
    moments = _moments(panel, [f"mkt_{name}_{window}" for name in measures for window in _WINDOWS])
    for pair in panel.pairs():
        for window, change in _changes(panel, pair, variant).items():
            for name, measure in measures.items():
                moments[f"mkt_{name}_{window}"].add(measure(change))
    return {name: each.mean() for name, each in moments.items()}


def _dispersion(panel: Panel, variant: Variant) -> dict[str, Column]:
    """Return measures of how far apart the pairs' changes are.

    ``spread_std_w`` is the deviation across pairs of the change over w bars. Of the deviation across pairs of the
    one-bar changes, ``dispersion_mean_w`` is the mean over w known rows and ``dispersion_position_w`` the position in
    their range.
    """
    moments = _moments(panel, [f"mkt_spread_std_{window}" for window in _WINDOWS])
    steps = Moments(panel.clock.rows)
    for pair in panel.pairs():
        steps.add(panel.on_clock(pair, rolling.change(panel.series(pair, variant), 1)))
        for window, change in _changes(panel, pair, variant).items():
            moments[f"mkt_spread_std_{window}"].add(change)
    spread = steps.deviation()
    known = np.flatnonzero(~np.isnan(spread))
    columns: dict[str, Column] = {name: each.deviation() for name, each in moments.items()}
    for window in _WINDOWS:
        columns[f"mkt_dispersion_mean_{window}"] = panel.clock.put(known, rolling.mean(spread[known], window))
        columns[f"mkt_dispersion_position_{window}"] = panel.clock.put(known, rolling.position(spread[known], window))
    return columns


def _regime(panel: Panel, variant: Variant) -> dict[str, Column]:
    """Return the mean slope of the pairs, the mean of its sign, and how many pairs trend upwards and downwards."""
    moments = _moments(panel, [f"mkt_{stem}_{window}" for stem in ("direction", "slope") for window in (45, 90)])
    trending = {way: np.zeros(panel.clock.rows) for way in ("up", "down")}
    known = np.zeros(panel.clock.rows)
    for pair in panel.pairs():
        values = panel.series(pair, variant) - CENTRES[variant]
        for window in (45, 90):
            found = trend(values, window)
            slope, r2 = panel.on_clock(pair, found["slope"]), panel.on_clock(pair, found["r2"])
            moments[f"mkt_slope_{window}"].add(slope)
            moments[f"mkt_direction_{window}"].add(np.sign(slope))
            if window == _WINDOWS[0]:
                known += ~np.isnan(slope)
                trending["up"] += (r2 >= _TREND_R2) & (slope > 0.0)
                trending["down"] += (r2 >= _TREND_R2) & (slope < 0.0)
    columns: dict[str, Column] = {name: each.mean() for name, each in moments.items()}
    for way, count in trending.items():
        columns[f"pairs_trending_{way}_45"] = np.where(known > 0.0, count, np.nan)
    return columns


def _corr(panel: Panel, variant: Variant) -> dict[str, Column]:
    """Return levels of the leading pairs, and correlations of their returns over bars that all four have.

    The regime compares the mean correlation with its last 180 values. Risk is ``on`` where over 45 bars the Australian
    dollar rose and the yen fell against the US dollar, ``off`` where both moved the other way.
    """
    levels = {pair: panel.level(pair, variant) for pair in LEADING}
    places, returns = panel.returns(LEADING, variant)
    by_pair = dict(zip(LEADING, returns, strict=True))
    pairs = {name: rolling.correlation(by_pair[a], by_pair[b], 45) for name, (a, b) in _CORRELATED.items()}
    average = np.mean([*pairs.values()], axis=0)
    score = panel.clock.put(places, rolling.zscore(average, 180))
    risk = sum(np.sign(_changes(panel, pair, variant)[45]) for pair in ("audusd", "usdjpy"))
    columns: dict[str, Column] = {name: panel.clock.put(places, values) for name, values in pairs.items()}
    columns |= levels
    return columns | {
        "avg_market_corr": panel.clock.put(places, average),
        "market_corr_regime": labels(score, (-1.0, 1.0), ("low", "normal", "high")),
        "risk_sentiment": labels(np.asarray(risk), (-1.5, 1.5), ("off", "mixed", "on")),
    }


def _changes(panel: Panel, pair: str, variant: Variant) -> dict[int, Floats]:
    """Return a pair's changes over each window of its bars, in index or percentage points, on the clock."""
    values = panel.series(pair, variant)
    return {window: panel.on_clock(pair, rolling.change(values, window)) for window in _WINDOWS}


def _moments(panel: Panel, names: list[str]) -> dict[str, Moments]:
    return {name: Moments(panel.clock.rows) for name in names}


_FORMULAS = {"corr": _corr, "dispersion": _dispersion, "regime": _regime, "sentiment": _sentiment, "vol": _vol}
