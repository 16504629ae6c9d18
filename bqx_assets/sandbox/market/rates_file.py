"""Reads a file of rates as vendors write it into one form: encoding, separator, columns, numbers and times."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from bqx_assets.base.errors import BadSetting, TableDefect
from bqx_assets.base.files import read_regular
from bqx_assets.base.frame_files import parquet_schema, read_csv, read_parquet
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import first_line, some_of
from bqx_assets.extract.columns import KEY_TYPE

ROW = "row"
"""The column with the row number in the file, from 1 and without the header. Errors name rows by it."""
PAIR, VOLUME = "pair", "tick_volume"
PRICES: tuple[str, ...] = ("open", "high", "low", "close")
CLOCK = "clock"
"""The time of day, where a file has it in a column of its own beside the date."""

_NAMES: Mapping[str, Sequence[frozenset[str]]] = {
    KEY: (
        frozenset({KEY}),
        frozenset({"time", "date", "datetime", "date_time", "timestamp", "gmt_time", "time_utc", "datetime_utc"}),
        frozenset({"index_level_0"}),
    ),
    PAIR: (frozenset({PAIR}), frozenset({"symbol", "ticker", "instrument", "currency_pair", "fx_pair"})),
    **{name: (frozenset({name}), frozenset({name[0]})) for name in PRICES},
    VOLUME: (frozenset({VOLUME, "tickvol", "tickvolume"}), frozenset({"volume", "vol"})),
}
"""Our name of each column and the vendors' names for it (MetaTrader, Yahoo, Dukascopy, OANDA, pandas), surest first.

Names are compared in lower case, with ``_`` for all but letters and digits: ``<TICKVOL>`` is ``tickvol``."""
_TEXT, _PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
_SEPARATORS = ",;\t|"
_DIGITS_OF_A_GROUP = 3
_SHOWN = 20
"""Number of column names that an error lists."""


@dataclass(slots=True)
class RatesFile:
    """The rates of a file under our column names, and the sentences that tell how they were read.

    **Shape**: ``row``, ``interval_time`` (and ``clock`` if the time of day has a column of its own), and those of
    ``pair``, the prices and ``tick_volume`` that the file has. Prices are FLOAT64, volumes INT64; times and pairs have
    the file's type.
    """

    path: Path
    frame: pl.DataFrame
    said: list[str] = field(default_factory=list[str])

    def bad(self, got: str, expected: str, cure: str) -> BadSetting:
        """Return the error for a file whose form cannot be read."""
        return bad_file(self.path, got, expected, cure)

    def defect(self, got: str, expected: str) -> TableDefect:
        """Return the error for values that cannot be trusted."""
        return TableDefect(f"rates {self.path}", got=got, expected=expected, cure="Correct the file.")

    def rows_where(self, wrong: pl.Expr, what: str) -> str:
        """Return a text with the number of ``wrong`` rows, and the row number and values of the first one."""
        found = self.frame.filter(wrong)
        first = ", ".join(f"{name} {value}" for name, value in found.row(0, named=True).items())
        return f"{found.height:,} rows {what}, first {first}, of {self.frame.height:,}"

    def refuse(self, wrong: pl.Series, name: str, expected: str, cure: str) -> None:
        """Raise BadSetting if any row is ``wrong``: the error names the first such row and its value of ``name``."""
        found = self.frame.filter(wrong.fill_null(value=False))
        if not found.is_empty():
            more = f", and {found.height - 1:,} rows more" if found.height > 1 else ""
            raise self.bad(f"{name} {found.item(0, name)!r} in row {found.item(0, ROW):,}{more}", expected, cure)


def bad_file(path: Path, got: str, expected: str, cure: str) -> BadSetting:
    """Return the error for a file whose form cannot be read."""
    return BadSetting(f"--rates {path}", got=got, expected=expected, cure=cure)


def read_file(path: Path) -> RatesFile:
    """Return the file's rates. **Cost**: the file, and the columns that are rates as text, in memory.

    Raises:
        BadSetting: unknown format; no column for time or close; two columns for one quantity; a row with more or fewer
            fields than the header; a number that cannot be read or has two readings.
    """
    try:
        if path.suffix.lower() in _PARQUET:
            columns, ignored = _choose([*parquet_schema(path)], path)
            frame = read_parquet(path, [*columns.values()])
        elif path.suffix.lower() in _TEXT:
            frame, columns, ignored = _read_text(path)
        else:
            raise bad_file(
                path, f"a {path.suffix or 'nameless'} file", "a .parquet or .csv file", "Convert the file to one."
            )
    except (pl.exceptions.PolarsError, OSError, UnicodeError, csv.Error) as error:
        reason = first_line(error)
        raise bad_file(
            path, reason, "a Parquet file, or CSV text in UTF-8 or UTF-16", "Write the file again as one of these."
        ) from error
    frame = frame.select(pl.col(source).alias(name) for name, source in columns.items())
    found = RatesFile(path, frame.with_row_index(ROW, 1))
    renamed = [f"{source!r} as {name}" for name, source in columns.items() if source != name]
    if renamed:
        found.said.append(f"columns read: {', '.join(renamed)}")
    if ignored:
        found.said.append(f"columns ignored: {', '.join(map(repr, ignored))}")
    _to_numbers(found)
    return found


def _choose(names: Sequence[str], path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the file's name for each of our columns, and the file's columns that are ignored."""
    plain = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in names]
    chosen: dict[str, str] = {}
    for ours, tiers in _NAMES.items():
        matches = [[place for place, name in enumerate(plain) if name in tier] for tier in tiers]
        found = next(filter(None, matches), matches[0])
        if ours == KEY and sorted(plain[place] for place in found) == ["date", "time"]:
            chosen[CLOCK] = next(names[place] for place in found if plain[place] == "time")
            found = [place for place in found if plain[place] == "date"]
        if len(found) > 1:
            raise bad_file(
                path,
                f"columns {' and '.join(repr(names[place]) for place in found)}, each of which could be {ours}",
                f"one column for {ours}",
                f"Remove the wrong one, or rename the right one to {ours} and the other to something else.",
            )
        if found:
            chosen[ours] = names[found[0]]
    for ours in (KEY, "close"):
        if ours not in chosen:
            raise bad_file(
                path,
                f"no column {ours} among {some_of([*map(repr, names)], _SHOWN) or 'none'}",
                f"a first line with names of columns, among them {ours} (also read as {ours}: {_also(ours)})",
                f"Rename or add the column {ours}.",
            )
    return chosen, [name for name in names if name not in chosen.values()]


def _also(ours: str) -> str:
    return ", ".join(sorted({name for tier in _NAMES[ours] for name in tier} - {ours, "index_level_0"}))


def _read_text(path: Path) -> tuple[pl.DataFrame, dict[str, str], list[str]]:
    data = read_regular(path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # MetaTrader 5 exports UTF-16
        data = data.decode("utf-16").encode()
    data = data.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    data = data if b"\n" in data else data.replace(b"\r", b"\n")
    if b"\0" in data[:4_096]:
        raise UnicodeError("the bytes are not text")
    header = io.TextIOWrapper(io.BytesIO(data), "utf-8").readline().strip("\r\n")
    separator = max(_SEPARATORS, key=lambda each: len(_fields(header, each)))
    names = _fields(header, separator)
    columns, ignored = _choose(names, path)
    _refuse_ragged(data, separator, len(names), path)
    return read_csv(data, [*columns.values()], separator), columns, ignored


def _fields(line: str, separator: str) -> list[str]:
    return [field for fields in csv.reader([line], delimiter=separator) for field in fields]


def _refuse_ragged(data: bytes, separator: str, width: int, path: Path) -> None:
    """Raise BadSetting for a row with too few or too many fields, which Polars would fill with nulls at its end."""
    lines = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""), delimiter=separator)
    wrong = next(((row, fields) for row, fields in enumerate(lines) if len(fields) != width), None)
    if wrong is not None:
        row, fields = wrong
        raise bad_file(
            path,
            f"{len(fields)} fields in row {row}: {separator.join(fields)[:100]!r}",
            f"{width}, as many as the first line has names, separated by {separator!r}",
            "Correct the row. Numbers with a decimal comma need another separator, for example ;",
        )


def _to_numbers(file: RatesFile) -> None:
    """Convert prices to FLOAT64 and volumes to INT64, in place."""
    frame = file.frame
    names = [name for name in (*PRICES, VOLUME) if name in frame.columns]
    texts = [name for name in names if frame.schema[name] == pl.String]
    frame = file.frame = frame.with_columns(pl.col(texts).str.strip_chars())
    commas = [name for name in texts if frame.get_column(name).str.contains(",", literal=True).any()]
    if commas:
        frame = file.frame = _with_points(file, texts)
    for name in names:
        given = frame.get_column(name)
        if not (given.dtype.is_numeric() or given.dtype == pl.String):
            raise file.bad(f"{name} of type {given.dtype}", "a column of numbers", "Convert the column.")
        # Decimals and texts are rounded only once, to the nearest FLOAT64.
        numbers = given.cast(pl.Float64, strict=False)
        file.refuse(numbers.is_null() & given.is_not_null(), name, "numbers such as 1.0853", "Correct the file.")
        if name == VOLUME:
            whole = (given if given.dtype.is_integer() else numbers).cast(pl.Int64, strict=False)
            file.refuse(
                given.is_not_null() & (whole.is_null() | (whole.cast(pl.Float64) != numbers)),
                name,
                "whole numbers of ticks",
                "Round the column, or rename it (to lots, say): it is then ignored, and every volume is 0.",
            )
            numbers = whole
        frame = frame.with_columns(numbers.alias(name))
    file.frame = frame


def _with_points(file: RatesFile, texts: Sequence[str]) -> pl.DataFrame:
    """Return the frame with decimal points for decimal commas; refuse it if a comma may separate thousands."""
    cure = "Write every number with a decimal point and without a separator of thousands."
    decisive = False
    for name in texts:
        given = file.frame.get_column(name)
        comma, point = given.str.contains(",", literal=True), given.str.contains(".", literal=True)
        mixed = comma & (point | given.str.contains(r",.*,")) | point & bool(comma.any())
        file.refuse(mixed, name, "one form of number, 1.0853 or 1,0853", cure)
        fraction = given.str.extract(r",(\d*)$")
        decisive |= bool((given.str.contains(r"^[+-]?0,") | (fraction.str.len_bytes() != _DIGITS_OF_A_GROUP)).any())
    if not decisive:
        first = next(name for name in texts if file.frame.get_column(name).str.contains(",", literal=True).any())
        every = file.frame.get_column(first).str.contains(",", literal=True)
        file.refuse(every, first, "numbers whose comma can only be the decimal one, or decimal points", cure)
    file.said.append("numbers are read with a decimal comma")
    return file.frame.with_columns(pl.col(texts).str.replace(",", ".", literal=True))


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
