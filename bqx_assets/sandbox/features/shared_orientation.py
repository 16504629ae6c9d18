"""Which way a pair's feature points for a currency: as it is for the base, turned round for the quote.

Belongs here: how each feature turns, as data. Does not: means over pairs.

A currency rises where a pair of which it is the base rises, or one of which it is the quote falls. A pair seen from
its quote is its series mirrored at its centre (an index at 100, BQX at 0); what that does to a feature depends on it.
A feature in percent of the index (roc, cv) turns as if the index stayed near its centre.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from bqx_assets.sandbox.features.source import Variant
from bqx_assets.sandbox.market import Floats

CENTRES: Mapping[Variant, float] = {"idx": 100.0, "bqx": 0.0}

_SAME = (
    r"agg_(count|cv|range|std)|align_(mean|trend)(_score)?|align_unanimous|cyc_.*|ext_distance_zero|mom_strength"
    r"|mrt_(half_life|reversion_probability)|reg_(r2|range_pct|resid_(kurt|std|var)|rmse|std|total_var)"
    r"|rev_(decel|exhaustion|turning_prob)|vol_.*"
)
"""A size, a length, a share of agreement: the same from both sides."""
_OPPOSITE = (
    r"align_(pos|zscore)_diff|der_.*|dir|zscore|ext_(sigma_band|zscore)|mom_(diff|dir|roc|roc_smooth|zscore)"
    r"|mrt_tension(_composite)?|reg_(acceleration|curv_sign|deviation|direction|(lin|quad)_(norm|term)|residual|slope)"
    r"|reg_resid_(last|max|min|norm|skew)|reg_(trend_str|zscore)|rev_divergence"
)
"""A change or a distance from a mean."""

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
"""A feature without its numbers, and how it turns: from its values, the series' centre and the window's rows."""

_PARTNERS = {"min": "max", "max": "min", "lower": "upper", "upper": "lower"}
"""The mirrored least is the greatest."""


def needed(name: str) -> str:
    """Return the feature that ``name`` is computed from where the currency is the quote."""
    return re.sub(r"(?<=_)(min|max|lower|upper)(?=_\d+$)", lambda found: _PARTNERS[found[0]], name)


def seen_from_quote(name: str, features: Mapping[str, Floats], variant: Variant) -> Floats:
    """Return a pair's feature as it is for the quote currency; ``features`` holds :func:`needed` of it.

    Raises:
        KeyError: for a feature that no rule names, or none that is :func:`needed`.
    """
    stem = re.sub(r"(_\d+)+$", "", name)
    rows = re.search(r"\d+$", name)
    for pattern, turn in RULES:
        if re.fullmatch(pattern, stem):
            return turn(features[needed(name)], CENTRES[variant], float(rows[0]) if rows else 0.0)
    raise KeyError(name)
