"""The pairs side by side on the shared clock: their levels, and their features pooled over a group of pairs.

Belongs here: what variance and market-wide tables both need. Does not: a table's columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.extract.local.features import rolling
from bqx_assets.extract.local.features.series import series_features
from bqx_assets.extract.local.features.shared_clock import Clock
from bqx_assets.extract.local.features.shared_moments import Moments
from bqx_assets.extract.local.features.shared_orientation import needed, seen_from_quote
from bqx_assets.extract.local.features.source import Variant, source_of
from bqx_assets.extract.local.market import Floats, Market


@dataclass(frozen=True, slots=True)
class Panel:
    """A market and its clock."""

    market: Market
    clock: Clock

    def pairs(self, currency: str | None = None) -> list[str]:
        """Return the pairs that have bars, in market order: all of them, or a currency's."""
        names = [pair.name for pair in ALL_PAIRS if currency in (None, pair.base, pair.quote)]
        return [name for name in names if name in self.market.pairs]

    def present(self, currency: str | None = None) -> Floats:
        """Return how many of all pairs, or of a currency's, have a bar at a row."""
        present = np.zeros(self.clock.rows)
        for pair in self.pairs(currency):
            present[self.clock.places[pair]] += 1.0
        return present

    def level(self, pair: str, variant: Variant) -> Floats:
        """Return a pair's series on the clock: close, index or BQX."""
        values = source_of(self.market.pairs[pair], variant).values
        return self.clock.put(self.clock.places[pair], values)

    def features(self, pair: str, kind: str, variant: Variant, names: Sequence[str]) -> dict[str, Floats]:
        """Return a pair's features on its own bars."""
        return series_features(kind, source_of(self.market.pairs[pair], variant), names)

    def pooled(
        self, kind: str, variant: Variant, names: Sequence[str], currency: str | None = None
    ) -> dict[str, Moments]:
        """Return the moments of each feature over a currency's pairs, seen from the currency; or over all, as quoted.

        **Cost**: one pair's features and three arrays a name.
        """
        moments = {name: Moments(self.clock.rows) for name in names}
        for pair in self.pairs(currency):
            turned = currency is not None and not pair.startswith(currency)
            wanted = [*dict.fromkeys([*names, *(needed(name) for name in names if turned)])]
            found = self.features(pair, kind, variant, wanted)
            for name in names:
                values = seen_from_quote(name, found, variant) if turned else found[name]
                moments[name].add(self.clock.put(self.clock.places[pair], values))
        return moments

    def correlation(self, pair: str, other: str, variant: Variant, window: int) -> Floats:
        """Return the correlation of two pairs' one-bar returns over ``window`` bars that both have."""
        bars = [self.market.pairs[name] for name in (pair, other)]
        times = reduce(np.intersect1d, [each.times for each in bars])
        one, two = (
            source_of(each, variant).returns()[np.searchsorted(each.times, times)] for each in bars
        )
        return self.clock.put(np.searchsorted(self.clock.times, times), rolling.correlation(one, two, window))
