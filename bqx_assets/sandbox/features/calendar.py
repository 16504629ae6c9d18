"""What the clock says of a bar: tmp.

Belongs here: calendar and session features of the bars' times, all UTC. Does not: prices.
"""

from __future__ import annotations

import math

import polars as pl

_TIME = pl.col("time")
_SESSIONS = {"asian": (0, 9), "european": (7, 16), "american": (13, 22)}
"""First hour, and the hour after the last."""
_FRIDAY, _SATURDAY = 5, 6


def calendar(times: pl.Series) -> pl.DataFrame:
    """Return the 23 features of each time (Datetime, UTC).

    **Shape**: a row a time. ``day_of_week`` is 1 on Monday; ``{day,hour,month}_{sin,cos}`` place day of week, time of
    day and month on a circle; flags are 0 or 1; ``trading_session`` names the open sessions, joined by ``_``, or
    ``closed``.
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
