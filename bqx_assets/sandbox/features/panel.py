"""All pairs side by side on one clock: their series, features and returns, as quoted and seen from each currency.

A currency rises where a pair of which it is the base rises, or one of which it is the quote falls. A pair seen from
its quote currency is its series mirrored at its centre (an index at 100, BQX at 0); the effect on a feature depends on
the feature. A feature in percent of the index (roc, cv) is treated as if the index stayed near its centre.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.rolling import ratio
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.source import Variant, source_of
from bqx_assets.sandbox.market.bars import Floats, Integers, Lazy, Market


@dataclass(frozen=True, slots=True)
class Clock:
    """The rows of all shared tables: every time at which a pair has a bar.

    **Units**: ``times`` microseconds since 1970 UTC, unique and ascending.
    """

    times: Integers
    places: Mapping[str, Integers]
    """The row of each bar, by pair."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.times)

    def put(self, places: Integers, values: Floats) -> Floats:
        """Return values at the given rows of the clock, NaN elsewhere; the same array if it fills the clock."""
        if len(places) == self.rows:
            return values
        spread = np.full(self.rows, np.nan)
        spread[places] = values
        return spread


def common_times(times: Sequence[Integers]) -> Integers:
    """Return the times that are in every one of the sorted arrays, of which there is at least one."""
    found, *others = times
    for each in others:
        found = np.intersect1d(found, each)
    return found


def clock_of(market: Market) -> Clock:
    """Return the market's union clock. **Cost**: one index array for each pair that is kept."""
    times = market.clock
    if times is None:
        every = [bars.times for bars in market.pairs.values()]
        times = np.unique(np.concatenate(every)) if every else np.empty(0, np.int64)

    def places(pair: str) -> Integers:
        return np.searchsorted(times, market.pairs[pair].times)

    return Clock(times, Lazy([*market.pairs], places, 8 * len(times)))


CENTRES: Mapping[Variant, float] = {"idx": 100.0, "bqx": 0.0}

_SAME = (
    r"agg_(count|cv|range|std)|align_(mean|trend)(_score)?|align_unanimous|cyc_.*|ext_distance_zero|mom_strength"
    r"|mrt_(half_life|reversion_probability)|reg_(r2|range_pct|resid_(kurt|std|var)|rmse|std|total_var)"
    r"|rev_(decel|exhaustion|turning_prob)|vol_.*"
)
"""Sizes, lengths and shares of agreement, which are the same seen from both currencies."""
_OPPOSITE = (
    r"align_(pos|zscore)_diff|der_.*|dir|zscore|ext_(sigma_band|zscore)|mom_(diff|dir|roc|roc_smooth|zscore)"
    r"|mrt_tension(_composite)?|reg_(acceleration|curv_sign|deviation|direction|(lin|quad)_(norm|term)|residual|slope)"
    r"|reg_resid_(last|max|min|norm|skew)|reg_(trend_str|zscore)|rev_divergence"
)
"""Changes and distances from a mean, which have the opposite sign."""

RULES: tuple[tuple[str, Callable[[Floats, float, float], Floats]], ...] = (
    (_SAME, lambda values, _centre, _rows: values),
    (_OPPOSITE, lambda values, _centre, _rows: -values),
    (
        r"(agg|reg)_(max|mean|min)|reg_(ci_lower|ci_upper|const_term|first|forecast)",
        lambda values, centre, _rows: 2.0 * centre - values,
    ),
    (r"agg_sum", lambda values, centre, rows: 2.0 * centre * rows - values),
    (r"agg_position|pos", lambda values, _centre, _rows: 1.0 - values),
    (r"ext_percentile", lambda values, _centre, rows: 1.0 + 1.0 / rows - values),
    (r"mom_pos_count", lambda values, _centre, rows: rows - values),
)
"""Pattern of a feature's name without numbers; function of its values, the series' centre and the window's rows."""

_PARTNERS = {"min": "max", "max": "min", "lower": "upper", "upper": "lower"}
"""The least value of the mirrored series comes from the greatest one of the series."""


def needed(name: str) -> str:
    """Return the feature of the pair from which ``name`` is computed for the quote currency."""
    return re.sub(r"(?<=_)(min|max|lower|upper)(?=_\d+$)", lambda found: _PARTNERS[found[0]], name)


def seen_from_quote(name: str, features: Mapping[str, Floats], variant: Variant) -> Floats:
    """Return a pair's feature seen from the quote currency; ``features`` must hold :func:`needed` of it.

    Raises:
        KeyError: no rule fits the feature, or ``features`` lacks the needed one.
    """
    stem = re.sub(r"(_\d+)+$", "", name)
    rows = re.search(r"\d+$", name)
    for pattern, turn in RULES:
        if re.fullmatch(pattern, stem):
            return turn(features[needed(name)], CENTRES[variant], float(rows[0]) if rows else 0.0)
    raise KeyError(name)


_COUNT = "agg_count_"
"""Prefix of features that count the clock's rows with a value: on the pair's own bars every window would be full."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A market together with its clock."""

    market: Market
    clock: Clock

    def pairs(self, currency: str | None = None) -> list[str]:
        """Return the pairs that have bars, in market order: all of them, or a currency's."""
        names = [pair.name for pair in ALL_PAIRS if currency in (None, pair.base, pair.quote)]
        return [name for name in names if name in self.market.pairs]

    def present(self, currency: str | None = None) -> Floats:
        """Return at each row how many of all pairs, or of a currency's pairs, have a bar."""
        present = np.zeros(self.clock.rows)
        for pair in self.pairs(currency):
            present[self.clock.places[pair]] += 1.0
        return present

    def series(self, pair: str, variant: Variant) -> Floats:
        """Return a pair's close, index or BQX, one entry for each of its own bars."""
        return source_of(self.market.pairs[pair], variant).values

    def level(self, pair: str, variant: Variant) -> Floats:
        """Return a pair's series on the clock."""
        return self.on_clock(pair, self.series(pair, variant))

    def on_clock(self, pair: str, values: Floats) -> Floats:
        """Return a pair's values (one per bar) on the clock; NaN where the pair has no bar."""
        return self.clock.put(self.clock.places[pair], values)

    def features(self, kind: str, variant: Variant, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Floats]]]:
        """Yield each pair's features on the clock, as the market quotes it. **Cost**: one pair's features at a time."""
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
        """Return the clock's rows on which all given pairs have a bar, and each pair's one-bar returns there."""
        bars = [self.market.pairs[pair] for pair in pairs]
        times = common_times([each.times for each in bars])
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


class Sums:
    """Count and sum of the members added so far, which are enough for a mean.

    **Shape**: one entry per row of the clock. **Cost**: nine bytes per row, however many members.
    """

    def __init__(self, rows: int) -> None:
        self._count = np.zeros(rows, np.int8)
        self._total: Floats = np.zeros(rows)

    def add(self, values: Floats) -> None:
        """Add one member; its NaN rows are skipped."""
        known = ~np.isnan(values)
        self._count += known
        np.add(self._total, values, out=self._total, where=known)

    def mean(self) -> Floats:
        """Return the mean, NaN where no member has a value."""
        return ratio(self._total, self._count.astype(np.float64))


class Moments:
    """Count, mean and squared deviations of the members added so far.

    **Shape**: one entry per row of the clock. **Cost**: three arrays, however many members (Welford's update).
    """

    def __init__(self, rows: int) -> None:
        self._count: Floats = np.zeros(rows)
        self._mean: Floats = np.zeros(rows)
        self._squares: Floats = np.zeros(rows)

    def add(self, values: Floats) -> None:
        """Add one member; its NaN rows are skipped."""
        known = ~np.isnan(values)
        self._count += known
        distance = np.where(known, values - self._mean, 0.0)
        self._mean += distance / np.maximum(self._count, 1.0)
        self._squares += distance * np.where(known, values - self._mean, 0.0)

    def mean(self) -> Floats:
        """Return the mean, NaN where no member has a value."""
        return np.where(self._count > 0.0, self._mean, np.nan)

    def variance(self) -> Floats:
        """Return the sample variance (divisor n - 1), NaN where fewer than two members have a value."""
        return ratio(self._squares, np.maximum(self._count - 1.0, 0.0))

    def deviation(self) -> Floats:
        """Return the sample standard deviation."""
        return np.sqrt(self.variance())
