"""The pairs side by side on the shared clock: their levels, features and returns.

Belongs here: what several families need of all pairs. Does not: means over pairs, a table's columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.shared_clock import Clock
from bqx_assets.sandbox.features.shared_orientation import needed, seen_from_quote
from bqx_assets.sandbox.features.source import Variant, source_of
from bqx_assets.sandbox.market import Floats, Integers, Market

_COUNT = "agg_count_"
"""Counts the clock's rows on which the pair has a value: on its own bars, every window would be full."""


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

    def series(self, pair: str, variant: Variant) -> Floats:
        """Return a pair's close, index or BQX, one a bar of its own."""
        return source_of(self.market.pairs[pair], variant).values

    def level(self, pair: str, variant: Variant) -> Floats:
        """Return a pair's series on the clock."""
        return self.on_clock(pair, self.series(pair, variant))

    def on_clock(self, pair: str, values: Floats) -> Floats:
        """Return a pair's values, one a bar, on the clock; NaN where it has no bar."""
        return self.clock.put(self.clock.places[pair], values)

    def features(self, kind: str, variant: Variant, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Floats]]]:
        """Yield each pair's features on the clock, as quoted. **Cost**: one pair's features at a time."""
        for pair in self.pairs():
            yield pair, self._features(pair, kind, variant, names)

    def seen(
        self, kind: str, variant: Variant, names: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, str, Floats]]:
        """Yield (currency, feature, values on the clock) of every pair of each currency, seen from the currency.

        A pair's features are computed once for both its currencies. **Cost**: one pair's features at a time.
        """
        for pair in self.pairs():
            base, quote = pair[:3], pair[3:]
            own, turned = names.get(base, ()), names.get(quote, ())
            wanted = [*dict.fromkeys([*own, *turned, *map(needed, turned)])]
            if not wanted:
                continue
            found = self._features(pair, kind, variant, wanted)
            yield from ((base, name, found[name]) for name in own)
            yield from ((quote, name, seen_from_quote(name, found, variant)) for name in turned)

    def returns(self, pairs: Sequence[str], variant: Variant) -> tuple[Integers, list[Floats]]:
        """Return the clock's rows on which all the pairs have a bar, and each pair's one-bar returns there."""
        bars = [self.market.pairs[pair] for pair in pairs]
        times = reduce(np.intersect1d, [each.times for each in bars])
        found = [source_of(each, variant).returns()[np.searchsorted(each.times, times)] for each in bars]
        return np.searchsorted(self.clock.times, times), found

    def _features(self, pair: str, kind: str, variant: Variant, names: Sequence[str]) -> dict[str, Floats]:
        source = source_of(self.market.pairs[pair], variant)
        found = series_features(kind, source, names)
        for name in names:
            found[name] = self.on_clock(pair, found[name])
        counted = [name for name in names if name.startswith(_COUNT)]
        if counted:
            known = (~np.isnan(self.on_clock(pair, source.values))).astype(np.float64)
            found |= {name: rolling.total(known, int(name.removeprefix(_COUNT))) for name in counted}
        return found
