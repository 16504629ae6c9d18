"""The ``csi_*`` and ``var_*`` tables of one currency: mean, dispersion and correlation over the currency's pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.frames import Column, labels
from bqx_assets.sandbox.features.panel import CENTRES, Moments, Panel, Sums
from bqx_assets.sandbox.features.source import Variant

_PREFIX = "csi_"
_SUMS_BYTES = 512 << 20
"""Limit of the sums held at once: the eight tables of ``csi_reg`` would need 1.2 GB at 178,000 rows, so that they are
made three at a time."""


def currency_strength_columns(
    panel: Panel, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, dict[str, Column]]]:
    """Yield the columns of each ``csi_`` table, all of one kind: means over the currency's pairs, seen from it.

    A pair's features are computed once for both its currencies, as long as the sums of all tables fit. **Cost**: half
    a gibibyte of sums, and one pair's features of the kind (150 MB at 178,000 rows).
    """
    if not tables:
        return
    bytes_each = 9 * panel.clock.rows * len(tables[0].columns)
    together = max(1, _SUMS_BYTES // max(1, bytes_each))
    for start in range(0, len(tables), together):
        yield from _together(panel, tables[start : start + together])


def _together(panel: Panel, tables: Sequence[ExpectedTable]) -> Iterator[tuple[ExpectedTable, dict[str, Column]]]:
    kind, variant = _kind_and_variant(tables[0])
    names = [name.removeprefix(_PREFIX) for name, of_type in tables[0].columns if of_type != "STRING"]
    sums = {_currency(table): {name: Sums(panel.clock.rows) for name in names} for table in tables}
    for currency, name, values in panel.seen(kind, variant, dict.fromkeys(sums, names)):
        sums[currency][name].add(values)
    for table in tables:
        currency = _currency(table)
        columns: dict[str, Column] = {_PREFIX + name: found.mean() for name, found in sums.pop(currency).items()}
        yield table, columns | {"currency": currency}


def _kind_and_variant(table: ExpectedTable) -> tuple[str, Variant]:
    _, kind, *rest = table.kind.split("_")
    return kind, "bqx" if rest == ["bqx"] else "idx"


_TERMS = {"short": 45, "medium": 360, "long": 1440}
"""Windows of ``family_{short,medium,long}_dispersion``, in rows."""
_CENTRAL = {"agg": "agg_mean", "align": "zscore"}
"""The feature whose dispersion and change a family table holds."""
_FAMILY = {
    "agg": tuple(f"agg_{stem}_{window}" for stem in ("mean", "range", "std") for window in (45, 90)),
    "align": ("align_mean_score", "align_trend_score", "align_unanimous"),
}
_LAGS = (1, 2, 3, 5, 10, 15, 30, 45, 60)
_STEADY = 0.1
"""Least difference between short and long correlation that counts as a change."""


def variance_columns(
    panel: Panel, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, dict[str, Column]]]:
    """Yield the columns of each ``var_`` table, all of one kind.

    **Cost**: three arrays per feature and currency (half a gibibyte for ``var_agg`` at 178,000 rows).
    """
    _, kind, *rest = tables[0].kind.split("_")
    variant: Variant = "bqx" if rest == ["bqx"] else "idx" if rest == ["idx"] else ""
    if kind in _FAMILY:
        yield from _families(panel, kind, variant, tables)
        return
    formula = _corr if kind == "corr" else _lag
    for table in tables:
        currency = _currency(table)
        yield table, formula(panel, variant, currency) | {"currency": currency}


def _families(
    panel: Panel, kind: str, variant: Variant, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, dict[str, Column]]]:
    stems = {_currency(table): _wide_stems(table) for table in tables}
    prefix = "agg_" if kind == "agg" else ""
    spread = [f"{_CENTRAL[kind]}_{window}" for window in _TERMS.values()]
    narrow = [*dict.fromkeys([*_FAMILY[kind], *spread])]
    names = {currency: [prefix + stem for stem in wide] or narrow for currency, wide in stems.items()}
    moments = {currency: {name: Moments(panel.clock.rows) for name in wanted} for currency, wanted in names.items()}
    for currency, name, values in panel.seen(kind, variant, names):
        moments[currency][name].add(values)
    for table in tables:
        currency = _currency(table)
        found = moments.pop(currency)
        columns = _wide(found, stems[currency], prefix) if stems[currency] else _narrow(found, kind)
        yield table, columns | {"currency_family": currency, "pairs_in_family": panel.present(currency)}


def _wide(found: Mapping[str, Moments], stems: Sequence[str], prefix: str) -> dict[str, Column]:
    """Return mean and variance over the pairs of each feature: ``avg_mean_45``, ``var_mean_45``; ``avg_pos_45``."""
    columns: dict[str, Column] = {f"avg_{stem}": found[prefix + stem].mean() for stem in stems}
    return columns | {f"var_{stem}": found[prefix + stem].variance() for stem in stems}


def _narrow(found: Mapping[str, Moments], kind: str) -> dict[str, Column]:
    """Return the means of a few features, and the dispersion and the change of the mean of the central one."""
    central = _CENTRAL[kind]
    middle = found[f"{central}_45"].mean()
    columns: dict[str, Column] = {f"family_{name}": found[name].mean() for name in _FAMILY[kind]}
    columns |= {f"family_{term}_dispersion": found[f"{central}_{rows}"].deviation() for term, rows in _TERMS.items()}
    return columns | {f"family_roc_{rows}": rolling.change(middle, rows) for rows in (45, 90)}


def _lag(panel: Panel, variant: Variant, currency: str) -> dict[str, Column]:
    """Return mean and deviation of the series itself over the pairs, and the mean some rows ago."""
    levels = Moments(panel.clock.rows)
    for pair in panel.pairs(currency):
        level = panel.level(pair, variant)
        levels.add(level if pair.startswith(currency) else 2.0 * CENTRES[variant] - level)
    mean = levels.mean()
    columns: dict[str, Column] = {f"family_lag_{rows}": rolling.lag(mean, rows) for rows in _LAGS}
    return columns | {"family_avg": mean, "family_std": levels.deviation(), "pair_count": panel.present(currency)}


def _corr(panel: Panel, variant: Variant, currency: str) -> dict[str, Column]:
    """Return the currency's first three pairs as quoted, and how the first two of them move together.

    Correlations are those of one-bar returns, over bars that both have. ``corr_change`` is the correlation over 45 bars
    minus that over 180; the regime is its sign, if it is large enough. ``family_coherence`` is 1 where over 45 bars all
    pairs moved in the currency's favour, or all against it, and 0 where as many moved one way as the other.
    """
    one, two, three = panel.pairs(currency)[:3]
    places, (first, second) = panel.returns((one, two), variant)
    short, long = (panel.clock.put(places, rolling.correlation(first, second, rows)) for rows in (45, 180))
    ways = Moments(panel.clock.rows)
    for pair in panel.pairs(currency):
        way = np.sign(rolling.change(panel.series(pair, variant), 45))
        ways.add(panel.on_clock(pair, way if pair.startswith(currency) else -way))
    return {
        "p1": panel.level(one, variant),
        "p2": panel.level(two, variant),
        "p3": panel.level(three, variant),
        "corr_12_45": short,
        "corr_12_180": long,
        "corr_change": short - long,
        "corr_regime": labels(short - long, (-_STEADY, _STEADY), ("loosening", "steady", "tightening")),
        "family_coherence": np.abs(ways.mean()),
    }


def _wide_stems(table: ExpectedTable) -> list[str]:
    """Return ``mean_45`` for a column ``avg_mean_45``; a narrow table has no such columns."""
    return [name.removeprefix("avg_") for name, _ in table.columns if name.startswith("avg_")]


def _currency(table: ExpectedTable) -> str:
    return table.table.rsplit("_", 1)[1]
