"""var_*: how a currency's pairs differ and move together.

Belongs here: the formulas of the ``var_`` tables; a pair's values are seen from the currency, so that all rise with it.
Does not: their plain mean over every feature (``currency_strength``).
"""

from __future__ import annotations

import numpy as np

from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.extract.local.features import rolling
from bqx_assets.extract.local.features.shared_frames import Column, labels
from bqx_assets.extract.local.features.shared_moments import Moments
from bqx_assets.extract.local.features.shared_orientation import CENTRES
from bqx_assets.extract.local.features.shared_panel import Panel
from bqx_assets.extract.local.features.source import Variant
from bqx_assets.extract.local.market import Floats

_TERMS = {"short": 45, "medium": 360, "long": 1440}
"""The windows of ``family_{short,medium,long}_dispersion``, in rows."""
_CENTRAL = {"agg": "agg_mean", "align": "zscore"}
"""The feature whose dispersion and growth a family table shows."""
_FAMILY = {
    "agg": tuple(f"agg_{stem}_{window}" for stem in ("mean", "range", "std") for window in (45, 90)),
    "align": ("align_mean_score", "align_trend_score", "align_unanimous"),
}
_COHERENT = 0.1
"""Short and long correlation that differ by more than this are not the same."""


def variance_columns(panel: Panel, table: ExpectedTable) -> dict[str, Column]:
    """Return the columns of one ``var_`` table. **Cost**: one pair's features, three arrays a column."""
    currency = table.table.rsplit("_", 1)[1]
    _, kind, *rest = table.kind.split("_")
    names = [name for name, _ in table.columns]
    if kind == "corr":
        return _corr(panel, _variant(rest), currency) | {"currency": currency}
    if kind == "lag":
        return _lag(panel, _variant(rest), currency, names) | {"currency": currency}
    formula = _wide if any(name.startswith("avg_") for name in names) else _family
    return formula(panel, kind, _variant(rest), currency, names) | {
        "currency_family": currency,
        "pairs_in_family": panel.present(currency),
    }


def _wide(panel: Panel, kind: str, variant: Variant, currency: str, names: list[str]) -> dict[str, Column]:
    """Mean and variance over the pairs of each feature: ``avg_mean_45``, ``var_mean_45``; ``avg_pos_45``."""
    prefix = "agg_" if kind == "agg" else ""
    stems = [name.removeprefix("avg_") for name in names if name.startswith("avg_")]
    pooled = panel.pooled(kind, variant, [prefix + stem for stem in stems], currency)
    columns: dict[str, Column] = {f"avg_{stem}": pooled[prefix + stem].mean() for stem in stems}
    columns |= {f"var_{stem}": pooled[prefix + stem].variance() for stem in stems}
    return columns


def _family(panel: Panel, kind: str, variant: Variant, currency: str, _names: list[str]) -> dict[str, Column]:
    central = _CENTRAL[kind]
    spread = {term: f"{central}_{window}" for term, window in _TERMS.items()}
    pooled = panel.pooled(kind, variant, [*dict.fromkeys([*_FAMILY[kind], *spread.values()])], currency)
    middle = pooled[f"{central}_45"].mean()
    columns: dict[str, Column] = {f"family_{name}": pooled[name].mean() for name in _FAMILY[kind]}
    columns |= {f"family_{term}_dispersion": pooled[name].deviation() for term, name in spread.items()}
    columns |= {f"family_roc_{rows}": rolling.change(middle, rows) for rows in (45, 90)}
    return columns


def _lag(panel: Panel, variant: Variant, currency: str, names: list[str]) -> dict[str, Column]:
    """Mean and deviation over the pairs of the series itself, and the mean some rows ago."""
    levels = Moments(panel.clock.rows)
    for pair in panel.pairs(currency):
        levels.add(_seen(panel.level(pair, variant), pair, currency, variant))
    mean = levels.mean()
    lags = {name: int(name.rsplit("_", 1)[1]) for name in names if name.startswith("family_lag_")}
    columns: dict[str, Column] = {name: rolling.lag(mean, rows) for name, rows in lags.items()}
    return columns | {"family_avg": mean, "family_std": levels.deviation(), "pair_count": panel.present(currency)}


def _corr(panel: Panel, variant: Variant, currency: str) -> dict[str, Column]:
    """The family's first three pairs as quoted, and how the first two of them move together.

    ``corr_change`` is the correlation of 45 rows less that of 180, and the regime its sign where it matters;
    ``family_coherence`` is 1 where all pairs moved the currency's way over 45 rows, or all against it, and 0 where
    as many did as did not.
    """
    one, two, three = panel.pairs(currency)[:3]
    short, long = (panel.correlation(one, two, variant, window) for window in (45, 180))
    ways = Moments(panel.clock.rows)
    for pair in panel.pairs(currency):
        level = rolling.change(panel.level(pair, variant), 45)
        ways.add(np.sign(level if pair.startswith(currency) else -level))
    return {
        "p1": panel.level(one, variant),
        "p2": panel.level(two, variant),
        "p3": panel.level(three, variant),
        "corr_12_45": short,
        "corr_12_180": long,
        "corr_change": short - long,
        "corr_regime": labels(short - long, (-_COHERENT, _COHERENT), ("loosening", "steady", "tightening")),
        "family_coherence": np.abs(ways.mean()),
    }


def _seen(level: Floats, pair: str, currency: str, variant: Variant) -> Floats:
    return level if pair.startswith(currency) else 2.0 * CENTRES[variant] - level


def _variant(words: list[str]) -> Variant:
    return "bqx" if words == ["bqx"] else "idx" if words == ["idx"] else ""
