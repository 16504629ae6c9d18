"""The state some rows ago and the regime it makes: lag and regime.

Belongs here: formulas of a pair's bars and of its BQX at one window. Does not: tables.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.source import Source
from bqx_assets.sandbox.market import Bars, Floats

Column = Floats | pl.Series | str

_REGIME_WINDOW = 1440
_FLAT = 0.25
"""A return within this share of the volatility is flat."""


def lagged_bars(bars: Bars, source: Source, window: int) -> dict[str, Column]:
    """Return the bar of ``window`` rows ago and the window's averages.

    ``return_lag`` is the one-row return (percent) of that bar, ``momentum`` the change since it, ``volatility`` the
    deviation of one-row returns, ``hl_range`` highest less lowest. The opening price is scaled as the source is.
    """
    volume = bars.volume.astype(np.float64)
    opening = bars.open * (source.values[0] / bars.close[0])
    prices = {"open": opening, "high": source.high, "low": source.low, "close": source.values, "volume": volume}
    return {
        **{f"{name}_lag_{window}": rolling.lag(price, window) for name, price in prices.items()},
        **_state(source, window),
        f"sma_{window}": rolling.mean(source.values, window),
        f"volume_sma_{window}": rolling.mean(volume, window),
    }


def lagged_bqx(source: Source, window: int) -> dict[str, Column]:
    """Return BQX ``window`` rows ago and its averages; ``positive_ratio`` is the share of rows above zero."""
    values = source.values
    return {
        "bqx_close": values,
        f"bqx_lag_{window}": rolling.lag(values, window),
        f"ema_{window}": rolling.smooth(values, window),
        f"positive_ratio_{window}": rolling.mean(rolling.flag(values > 0, values), window),
        f"sma_{window}": rolling.mean(values, window),
        "period_minutes": _constant(window, values),
        **_state(source, window),
    }


def regimes(source: Source, window: int) -> dict[str, Column]:
    """Return the state of the window and its regimes: text, and a code.

    Volatility, range and momentum are low (0), medium (1) or high (2) by the terciles of their last 1,440 rows, which
    ``p33`` and ``p66`` hold; the return is negative (-1), flat (0: within a quarter of the volatility) or positive (1).
    """
    state = _state(source, window)
    found: dict[str, Column] = {**state, "period_minutes": _constant(window, source.values)}
    for name, short, measure in (
        ("volatility", "vol", "volatility"),
        ("range", "range", "hl_range"),
        ("momentum", "momentum", "momentum"),
    ):
        values = state[f"{measure}_{window}"]
        found[f"{short}_p33"], found[f"{short}_p66"] = terciles(values)
        found |= _coded(name, tercile_code(values), ("low", "medium", "high"), 0)
    returned, volatility = state[f"return_lag_{window}"], state[f"volatility_{window}"]
    direction = np.where(np.abs(returned) <= _FLAT * volatility, 0.0, np.sign(returned))
    direction[np.isnan(returned + volatility)] = np.nan
    return found | _coded("return", direction, ("negative", "flat", "positive"), -1)


def terciles(values: Floats) -> tuple[Floats, Floats]:
    """Return the lower and the upper tercile of the last 1,440 rows."""
    return rolling.quantile(values, _REGIME_WINDOW, 0.33), rolling.quantile(values, _REGIME_WINDOW, 0.66)


def tercile_code(values: Floats) -> Floats:
    """Return 0, 1 or 2: below the lower tercile of the last 1,440 rows, between, above the upper."""
    lower, upper = terciles(values)
    code = (values > lower).astype(np.float64) + (values > upper)
    code[np.isnan(values + lower)] = np.nan
    return code


def _state(source: Source, window: int) -> dict[str, Floats]:
    returns = source.returns()
    span = rolling.greatest(source.high, window) - rolling.least(source.low, window)
    return {
        f"hl_range_{window}": span,
        f"momentum_{window}": rolling.change(source.values, window),
        f"return_lag_{window}": rolling.lag(returns, window),
        f"volatility_{window}": rolling.deviation(returns, window),
    }


def _coded(name: str, code: Floats, words: tuple[str, ...], first: int) -> dict[str, Column]:
    numbers = pl.Series(code, nan_to_null=True).cast(pl.Int64)
    texts = numbers.replace_strict({first + place: word for place, word in enumerate(words)}, return_dtype=pl.String)
    return {f"{name}_regime": texts, f"{name}_regime_code": code}


def _constant(number: int, like: Floats) -> Floats:
    return np.full(len(like), float(number))
