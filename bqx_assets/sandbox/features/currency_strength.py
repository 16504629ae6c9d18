"""csi_*: a currency's strength: the mean of a feature over its pairs, each seen from the currency.

Belongs here: the mean over each currency's pairs. Does not: the features (``series``), how they turn for a quote
currency (``shared_orientation``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features.shared_frames import Column
from bqx_assets.sandbox.features.shared_moments import Sums
from bqx_assets.sandbox.features.shared_panel import Panel
from bqx_assets.sandbox.features.source import Variant

_PREFIX = "csi_"
_SUMS_BYTES = 512 << 20
"""Held at once: at 178,000 rows the eight tables of ``csi_reg`` would be 1.2 GB, so they are made three at a time."""


def currency_strength_columns(
    panel: Panel, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, dict[str, Column]]]:
    """Yield the columns of each ``csi_`` table, all of one kind.

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


def _currency(table: ExpectedTable) -> str:
    return table.table.rsplit("_", 1)[1]


def _kind_and_variant(table: ExpectedTable) -> tuple[str, Variant]:
    _, kind, *rest = table.kind.split("_")
    return kind, "bqx" if rest == ["bqx"] else "idx"
