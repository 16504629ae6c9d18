"""Features of a pair's own bars besides those of ``series``: base, lag, regime and the calendar (tmp)."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.frames import Column
from bqx_assets.sandbox.features.source import WINDOWS, Source, bqx
from bqx_assets.sandbox.market.bars import Bars, Floats


def base_bqx(bars: Bars) -> dict[str, Floats]:
    """Return ``bqx_w``, and ``target_w``, which is the same ``w`` rows ahead and therefore looks into the future.

    The users' own table has this label leak; it is reproduced so that the quarantine has something to find.
    """
    found: dict[str, Floats] = {}
    for window in WINDOWS:
        found[f"bqx_{window}"] = values = bqx(bars.close, window)
        found[f"target_{window}"] = np.append(values[window:], np.full(min(window, bars.rows), np.nan))
    return found


def base_idx(bars: Bars) -> dict[str, Floats]:
    """Return the prices as an index, 100 at the first close, and the volume as one, 100 at the first volume."""
    prices: dict[str, Floats] = {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
    traded = bars.volume[bars.volume > 0]
    first_volume = float(traded[0]) if traded.size else 1.0
    found = {f"{name}_idx": price * (100.0 / bars.close[0]) for name, price in prices.items()}
    found["volume_idx"] = np.round(bars.volume.astype(np.float64) * (100.0 / first_volume))
    return found


_REGIME_WINDOW = 1440
_FLAT = 0.25
"""A return counts as flat up to this share of the volatility."""


def lagged_bars(bars: Bars, source: Source, window: int) -> dict[str, Column]:
    """Return the bar of ``window`` rows ago and the window's averages.

    ``return_lag`` is the one-row return (percent) of that bar, ``momentum`` the change since it, ``volatility`` the
    deviation of one-row returns, ``hl_range`` the highest minus the lowest. The open is scaled as the source is.
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
    """Return the state of the window and its regimes, each as text and as a code.

    Volatility, range and momentum are low (0), medium (1) or high (2) by the terciles of their last 1,440 rows, which
    are in ``p33`` and ``p66``. The return is negative (-1), flat (0: within a quarter of the volatility) or positive.
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
    """Return 0 below the lower tercile of the last 1,440 rows, 1 between the terciles, 2 above the upper one."""
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


_TIME = pl.col("time")
_SESSIONS = {"asian": (0, 9), "european": (7, 16), "american": (13, 22)}
"""First hour of a session in UTC, and the hour after its last."""
_FRIDAY, _SATURDAY = 5, 6


def calendar(times: pl.Series) -> pl.DataFrame:
    """Return the 23 calendar features of each time (Datetime, UTC).

    **Shape**: one row for each time. ``day_of_week`` is 1 on Monday; ``{day,hour,month}_{sin,cos}`` place day of week,
    time of day and month on a circle; flags are 0 or 1; ``trading_session`` names the open sessions, joined by ``_``,
    or is ``closed``.
    """
    return times.rename("time").to_frame().select(**_parts(), **_circles(), **_flags(), **_sessions())


def _parts() -> dict[str, pl.Expr]:
    clock = _TIME.dt
    return {
        "day_of_month": clock.day(),
        "day_of_week": clock.weekday(),
        "hour_of_day": clock.hour(),
        "month": clock.month(),
        "quarter": clock.quarter(),
        "week_of_year": clock.week(),
    }


def _circles() -> dict[str, pl.Expr]:
    clock = _TIME.dt
    shares = {
        "day": (clock.weekday() - 1) / 7,
        "hour": (clock.hour().cast(pl.Int32) * 60 + clock.minute()) / 1440,
        "month": (clock.month() - 1) / 12,
    }
    angles = {name: share * math.tau for name, share in shares.items()}
    return {f"{name}_{wave}": getattr(angle, wave)() for name, angle in angles.items() for wave in ("sin", "cos")}


def _flags() -> dict[str, pl.Expr]:
    clock = _TIME.dt
    return {
        "is_friday": clock.weekday() == _FRIDAY,
        "is_monday": clock.weekday() == 1,
        "is_month_end": clock.day() == clock.month_end().dt.day(),
        "is_month_start": clock.day() == 1,
        "is_weekend": clock.weekday() >= _SATURDAY,
    }


def _sessions() -> dict[str, pl.Expr]:
    hour = _TIME.dt.hour()
    opened = {name: hour.is_between(first, end, closed="left") for name, (first, end) in _SESSIONS.items()}
    names = [pl.when(is_open).then(pl.lit(name)) for name, is_open in opened.items()]
    joined = pl.concat_str(names, separator="_", ignore_nulls=True)
    return {
        **{f"is_{name}_session": is_open for name, is_open in opened.items()},
        "is_asian_european_overlap": opened["asian"] & opened["european"],
        "is_european_american_overlap": opened["european"] & opened["american"],
        "trading_session": pl.when(joined == "").then(pl.lit("closed")).otherwise(joined),
    }
