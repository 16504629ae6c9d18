"""Features of one series, asked for by kind and column name.

Belongs here: which formulas compute a kind, and which windows are asked for. Does not: the formulas, or tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bqx_assets.sandbox.features import course, level, turns
from bqx_assets.sandbox.features.regression import regression
from bqx_assets.sandbox.features.source import WINDOWS, Source, Variant, source_of
from bqx_assets.sandbox.market import Floats

__all__ = ["WINDOWS", "Source", "Variant", "series_features", "source_of"]

Features = Mapping[str, Floats]


def _nothing(_source: Source) -> Features:
    return {}


@dataclass(frozen=True, slots=True)
class _Formulas:
    windowed: Callable[[Source, int], Features] | None
    """Features of one window, without the window in their names."""
    overall: Callable[[Source], Features] = _nothing
    """Features of several windows, by their full names."""


_KINDS = {
    "agg": _Formulas(level.aggregate),
    "align": _Formulas(level.place, level.alignment),
    "cyc": _Formulas(None, turns.cycle),
    "der": _Formulas(course.derivative, course.derivative_composite),
    "div": _Formulas(None, course.divergence),
    "ext": _Formulas(level.extreme, level.extreme_overall),
    "mom": _Formulas(course.momentum),
    "mrt": _Formulas(level.tension, turns.reversion),
    "reg": _Formulas(regression),
    "rev": _Formulas(turns.deceleration, turns.reversal),
    "vol": _Formulas(course.volatility),
}


def series_features(kind: str, source: Source, columns: Collection[str]) -> dict[str, Floats]:
    """Return the asked columns of a kind (``agg_mean_45``, ``dir_45``), in the order asked.

    **Shape**: one entry a row of the source, NaN where the windows are not full or the feature is undefined; INT64 and
    BOOL columns come as whole numbers. Each value depends on its own and earlier rows only.

    **Cost**: only the windows that are asked for; the arrays of one kind are held at once.

    Raises:
        KeyError: for a kind or a column that is none of the grammar's.
    """
    formulas = _KINDS[kind]
    found: dict[str, Floats] = {}
    if formulas.windowed is not None:
        for window in WINDOWS:
            wanted = {match[1] for name in columns if (match := re.fullmatch(rf"(.+)_{window}", name))}
            if wanted:
                features = formulas.windowed(source, window)
                found |= {f"{stem}_{window}": features[stem] for stem in wanted & features.keys()}
    if not found.keys() >= set(columns):
        found = {**formulas.overall(source), **found}
    return {name: found[name] for name in columns}
