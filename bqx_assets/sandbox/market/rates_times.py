"""The times of a rates file become UTC microseconds: timestamps, days, ISO 8601 text, or counts since 1970."""

from __future__ import annotations

import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.sandbox.market.rates_file import CLOCK, RatesFile

_FORMS = "ISO 8601: 2024-03-31, 2024-03-31T22:15:00, with a zone 2024-03-31T22:15:00Z or 2024-03-31T22:15:00+02:00"
_ISO = (
    r"^(\d{4})-?(\d{2})-?(\d{2})(?:[T ](\d{2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?"
    r" ?(Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?)?$"
)
"""Year, month, day, hour, minute, second, fraction, zone; extended or basic form, with T or a blank before the hour."""
_COUNT = r"^\d{9,}$"
"""A count since 1970. Eight digits would be a day in ISO 8601's basic form; nine or more are never a time of it."""
_FIRST_SECOND, _LAST_SECOND = 631_152_000, 1_970_010_099
"""The range of counts that are read as seconds since 1970: from 1990 to 2032. A greater count may be a day and hour
written in digits (1970010100). Each smaller unit gives counts a thousand times larger, so that a count fits only one
unit."""
_PER_SECOND = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}
_CURE = "Write the column as such text, or in Parquet as a timestamp with a zone."
_WHOLE = "times of whole microseconds"
_NANOSECONDS = 1_000
_DAY_HOURS, _SIXTY, _MOST_HOURS_AHEAD = 24, 60, 18


def to_utc(file: RatesFile) -> None:
    """Convert ``interval_time`` to UTC microseconds in place, and note how times without a zone were read.

    **Cost**: text takes about ten times its size while it is converted.

    Raises:
        BadSetting: a time of unknown form, digits below the microsecond, or a zone on some rows only.
    """
    frame = file.frame
    if CLOCK in frame.columns:
        day, time = (frame.get_column(name).cast(pl.String).str.strip_chars() for name in (KEY, CLOCK))
        frame = file.frame = frame.with_columns((day + " " + time).alias(KEY)).drop(CLOCK)
    given = frame.get_column(KEY)
    kind = given.dtype
    if kind == pl.String:
        given = given.str.strip_chars()
        found = _of_count(file, given) if given.str.contains(_COUNT).any() else _of_text(file, given)
    elif kind.is_integer() or kind.is_float():
        found = _of_count(file, given)
    elif isinstance(kind, pl.Datetime):
        found = _of_timestamp(file, given, kind)
    elif kind == pl.Date:
        found = given.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        _say(file, "days without a zone, each taken as its midnight UTC")
    else:
        raise file.bad(f"{KEY} of type {kind}", f"a timestamp, a date, or text in {_FORMS}", _CURE)
    file.frame = frame.with_columns(found.dt.convert_time_zone("UTC").cast(KEY_TYPE).alias(KEY))


def _of_timestamp(file: RatesFile, given: pl.Series, kind: pl.Datetime) -> pl.Series:
    if kind.time_unit == "ns":
        file.refuse(given.to_physical() % _NANOSECONDS != 0, KEY, _WHOLE, "Round the times.")
    if kind.time_zone is not None:
        return given
    _say(file, "times without a zone, taken as UTC")
    return given.dt.replace_time_zone("UTC")


def _of_text(file: RatesFile, given: pl.Series) -> pl.Series:
    year, month, day, hour, minute, second, fraction, zone = (
        given.str.extract_groups(_ISO).struct.unnest().get_columns()
    )
    midnight = (year + "-" + month + "-" + day).str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    hours, minutes, seconds = (part.fill_null("0").cast(pl.Int64) for part in (hour, minute, second))
    nanoseconds = fraction.fill_null("0").str.pad_end(9, "0").cast(pl.Int64)
    sign, zone_hours, zone_minutes = zone.str.extract_groups(r"^([+-])(\d{2}):?(\d{2})?$").struct.unnest().get_columns()
    ahead = zone_hours.cast(pl.Int64).fill_null(0) * _SIXTY + zone_minutes.cast(pl.Int64).fill_null(0)
    possible = (
        (hours < _DAY_HOURS) & (minutes < _SIXTY) & (seconds < _SIXTY) & (ahead <= _MOST_HOURS_AHEAD * _SIXTY)
    ) & midnight.is_not_null()
    file.refuse(given.is_not_null() & ~possible, KEY, _FORMS, _CURE)
    file.refuse(nanoseconds % _NANOSECONDS != 0, KEY, _WHOLE, "Round the times.")
    naive = given.is_not_null() & zone.is_null()
    if naive.any():
        if zone.is_not_null().any():
            cure = "Give every time its zone, for example Z for UTC."
            file.refuse(naive, KEY, "a zone on every row, as other rows of the file have one", cure)
        _say(file, "times without a zone, taken as UTC" if hour.is_not_null().any() else "days, taken as midnight UTC")
    ahead = ahead * sign.replace_strict({"-": -1}, default=1, return_dtype=pl.Int64)
    since = ((hours * _SIXTY + minutes - ahead) * _SIXTY + seconds) * 1_000_000 + nanoseconds // _NANOSECONDS
    return (midnight.cast(pl.Int64) + since).cast(pl.Datetime("us", "UTC"))


def _of_count(file: RatesFile, given: pl.Series) -> pl.Series:
    counts = given.cast(pl.Int64, strict=False)
    fits = {
        unit: counts.is_between(_FIRST_SECOND * per_second, _LAST_SECOND * per_second)
        for unit, per_second in _PER_SECOND.items()
    }
    # The first unit that fits any row; rows that do not fit it are refused.
    unit = next((unit for unit, fitting in fits.items() if fitting.any()), "seconds")
    whole = counts.cast(given.dtype) == given if given.dtype.is_float() else counts.is_not_null()
    file.refuse(
        given.is_not_null() & ~(fits[unit] & whole).fill_null(value=False),
        KEY,
        f"{_FORMS}; or whole {', '.join(_PER_SECOND)} since 1970, of one unit, from 1990 to 2032",
        _CURE,
    )
    if unit == "nanoseconds":
        file.refuse(counts % _NANOSECONDS != 0, KEY, _WHOLE, "Round the times.")
    _say(file, f"{unit} since 1970-01-01 UTC")
    microseconds = counts // _NANOSECONDS if unit == "nanoseconds" else counts * (1_000_000 // _PER_SECOND[unit])
    return microseconds.cast(pl.Datetime("us", "UTC"))


def _say(file: RatesFile, what: str) -> None:
    file.said.append(f"{KEY}: {what}")
