"""csi_*: a currency's strength: the mean of a feature over its pairs, each seen from the currency.

Belongs here: the mean over each currency's pairs. Does not: the features (``series``), how they turn for a quote
currency (``shared_orientation``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.extract.local.features.rolling import ratio
from bqx_assets.extract.local.features.shared_frames import Column
from bqx_assets.extract.local.features.shared_orientation import needed, seen_from_quote
from bqx_assets.extract.local.features.shared_panel import Panel
from bqx_assets.extract.local.features.source import Variant
from bqx_assets.extract.local.market import Floats

_PREFIX = "csi_"
_SUMS_BYTES = 512 << 20
"""Held at once: at 178,000 rows the eight tables of ``csi_reg`` would be 1.2 GB, so they are made three at a time."""


class _Sums:
    """Sum and count over a currency's pairs, a row a feature."""

    def __init__(self, features: int, rows: int) -> None:
        self._total = np.zeros((features, rows))
        self._count = np.zeros((features, rows), np.int8)

    def add(self, feature: int, values: Floats) -> None:
        known = ~np.isnan(values)
        self._total[feature] += np.where(known, values, 0.0)
        self._count[feature] += known

    def mean(self, feature: int) -> Floats:
        return ratio(self._total[feature], self._count[feature])


def currency_strength_columns(
    panel: Panel, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, dict[str, Column]]]:
    """Yield the columns of each ``csi_`` table, all of one kind.

    A pair's features are computed once for both its currencies, as long as the sums of all tables fit. **Cost**: half
    a gibibyte of sums, and one pair's features of the kind (140 MB at 178,000 rows).
    """
    if not tables:
        return
    bytes_each = 9 * panel.clock.rows * len(tables[0].columns)
    together = max(1, _SUMS_BYTES // max(1, bytes_each))
    for start in range(0, len(tables), together):
        yield from _together(panel, tables[start : start + together])


def _together(
    panel: Panel, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, dict[str, Column]]]:
    kind, variant = _kind_and_variant(tables[0])
    names = [name.removeprefix(_PREFIX) for name, of_type in tables[0].columns if of_type != "STRING"]
    wanted = [*dict.fromkeys([*names, *map(needed, names)])]
    sums = {_currency(table): _Sums(len(names), panel.clock.rows) for table in tables}
    for pair in panel.pairs():
        base, quote = pair[:3], pair[3:]
        if base not in sums and quote not in sums:
            continue
        found = panel.features(pair, kind, variant, wanted)
        spread = {name: panel.clock.put(panel.clock.places[pair], values) for name, values in found.items()}
        for position, name in enumerate(names):
            if base in sums:
                sums[base].add(position, spread[name])
            if quote in sums:
                sums[quote].add(position, seen_from_quote(name, spread, variant))
    for table in tables:
        mine = sums.pop(_currency(table))
        columns: dict[str, Column] = {_PREFIX + name: mine.mean(position) for position, name in enumerate(names)}
        yield table, columns | {"currency": _currency(table)}


def _currency(table: ExpectedTable) -> str:
    return table.table.rsplit("_", 1)[1]


def _kind_and_variant(table: ExpectedTable) -> tuple[str, Variant]:
    _, kind, *rest = table.kind.split("_")
    return kind, "bqx" if rest == ["bqx"] else "idx"
