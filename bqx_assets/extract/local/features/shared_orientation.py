"""Which way a pair's feature points for a currency: as it is for the base, turned round for the quote.

Belongs here: how each feature turns, as data. Does not: means over pairs.

A currency rises where a pair of which it is the base rises, or one of which it is the quote falls. A pair seen from
its quote is its series mirrored at its centre (an index at 100, BQX at 0); what that does to a feature depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bqx_assets.extract.local.features.source import Variant
from bqx_assets.extract.local.market import Floats

CENTRES: Mapping[Variant, float] = {"idx": 100.0, "bqx": 0.0}

_STAYS = frozenset({
    *"agg_count agg_cv agg_range agg_std".split(),
    *"align_mean align_mean_score align_trend align_trend_score align_unanimous".split(),
    *"cyc_avg_cycle_length cyc_current_cycle_progress cyc_intervals_since_ext cyc_intervals_since_zero".split(),
    *"ext_distance_zero mom_strength mrt_half_life mrt_reversion_probability".split(),
    *"reg_quad_norm reg_r2 reg_range_pct reg_resid_kurt reg_resid_norm reg_resid_std reg_resid_var reg_rmse".split(),
    *"reg_std reg_total_var rev_decel rev_exhaustion rev_turning_prob".split(),
    *"vol_atr vol_normalized vol_of_vol vol_range_pct vol_realized vol_zscore".split(),
})
"""A size, a length, a share of agreement: the same from both sides."""

_CHANGES_SIGN = frozenset({
    *"align_pos_diff align_zscore_diff der_v1 der_v2 der_v3_composite dir zscore ext_sigma_band ext_zscore".split(),
    *"mom_diff mom_dir mom_roc mom_roc_smooth mom_zscore mrt_tension mrt_tension_composite".split(),
    *"reg_acceleration reg_curv_sign reg_deviation reg_direction reg_lin_norm reg_lin_term reg_quad_term".split(),
    *"reg_resid_last reg_resid_max reg_resid_min reg_resid_skew reg_residual reg_slope reg_trend_str".split(),
    *"reg_zscore rev_divergence".split(),
})
"""A change or a distance from a mean."""

_LEVELS = frozenset({
    *"agg_max agg_mean agg_min reg_ci_lower reg_ci_upper reg_const_term reg_first reg_forecast reg_max reg_mean".split(),
    "reg_min",
})
"""A value of the series: mirrored at its centre."""

_SHARES = frozenset({"agg_position", "ext_percentile", "pos"})
"""A place in a range of 0 to 1, which the mirror counts from the other end."""

_PARTNERS = {
    one: other
    for low, high in (
        ("agg_min", "agg_max"), ("reg_min", "reg_max"), ("reg_ci_lower", "reg_ci_upper"),
        ("reg_resid_min", "reg_resid_max"),
    )
    for one, other in ((low, high), (high, low))
}  # fmt: skip
"""The mirrored least is the greatest."""


def needed(name: str) -> str:
    """Return the feature that ``name`` is computed from where the currency is the quote."""
    stem = _stem(name)
    return name.replace(stem, _PARTNERS.get(stem, stem), 1)


def seen_from_quote(name: str, features: Mapping[str, Floats], variant: Variant) -> Floats:
    """Return a pair's feature as it is for the quote currency; ``features`` holds :func:`needed` of it.

    Raises:
        KeyError: for a feature that has no rule here.
    """
    stem = _stem(name)
    values = features[needed(name)]
    centre = CENTRES[variant]
    if stem in _STAYS:
        return values
    if stem in _CHANGES_SIGN:
        return -values
    if stem in _LEVELS:
        return 2.0 * centre - values
    if stem in _SHARES:
        return 1.0 - values
    rows = float(name.rsplit("_", 1)[1])
    whole = {"agg_sum": 2.0 * centre * rows, "mom_pos_count": rows}
    return whole[stem] - values


def _stem(name: str) -> str:
    return re.sub(r"(_\d+)+$", "", name)
