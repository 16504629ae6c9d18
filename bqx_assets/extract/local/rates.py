"""A market from the user's own rates: a Parquet or CSV file of bars of any length.

Belongs here: reading such a file strictly, and the market it makes. Does not: deriving pairs (``triangulate``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from bqx_assets.base.errors import BadSetting, DuplicateKeys, TableDefect
from bqx_assets.base.files import open_regular
from bqx_assets.base.frame_files import scan_csv, scan_parquet
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.extract.local.instruments import simulate_instruments
from bqx_assets.extract.local.market import Bars, Floats, Integers, Market
from bqx_assets.extract.local.triangulate import derive_missing, tail, union_times

_REQUIRED = (KEY, "pair", "close")
_PRICES = ("open", "high", "low", "close")
_VOLUME = "tick_volume"
_READERS = {".parquet": scan_parquet, ".csv": scan_csv}


def load_market(path: Path, rows: int, seed: int) -> Market:
    """Return the most recent ``rows`` bars of each pair in the file or derivable from it, and simulated instruments.

    A missing open is the pair's close before; a missing high or low the larger or smaller of open and close; a missing
    ``tick_volume`` is 0. Times without a zone are UTC. **Cost**: the file in memory.

    Raises:
        BadSetting: the file's format, columns or types are not those described.
        UnknownPair: a pair's name is not one of the 28; a reversed one is not either.
        TableDefect, DuplicateKeys: a value is missing, not positive, or contradicts another; a bar stands twice.
    """
    frame = _checked(_read(path), path)
    parts = frame.partition_by("pair", as_dict=True, include_key=False)
    pairs, missing = derive_missing({str(name): _bars(part) for (name,), part in parts.items()})
    pairs = {name: tail(bars, rows) for name, bars in pairs.items()}
    times = union_times(pairs.values())
    activity = np.ones(times.size)
    return Market(
        pairs={pair.name: pairs[pair.name] for pair in ALL_PAIRS if pair.name in pairs},
        instruments=simulate_instruments(times, _strengths(pairs, times), activity, seed),
        missing=missing,
    )


def rates_digest(path: Path) -> str:
    """Return the SHA-256 of a file of rates. Raises BadSetting where it is missing, or no file."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _bad(path, error.strerror or str(error), "a .parquet or .csv file", "Name the file.") from error


def _read(path: Path) -> pl.DataFrame:
    scan = _READERS.get(path.suffix.lower())
    if scan is None:
        raise _bad(path, f"a {path.suffix or 'nameless'} file", "a .parquet or .csv file", "Convert the file.")
    try:
        lazy = scan(path)
        columns = lazy.collect_schema().names()
        absent = [name for name in _REQUIRED if name not in columns]
        if absent:
            raise _bad(path, f"no column {', '.join(absent)}", ", ".join(_REQUIRED), "Rename or add the column.")
        frame = lazy.select(name for name in (KEY, "pair", *_PRICES, _VOLUME) if name in columns).collect()
        return frame.select(
            _time(frame, path),
            pl.col("pair").cast(pl.String),
            pl.col(*(name for name in _PRICES if name in columns)).cast(pl.Float64),
            *([pl.col(_VOLUME).cast(pl.Int64)] if _VOLUME in columns else []),
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _bad(
            path,
            str(error).splitlines()[0],
            f"{KEY} as timestamp, pair as text, prices as numbers, {_VOLUME} as whole number",
            "Correct the file.",
        ) from error


def _time(frame: pl.DataFrame, path: Path) -> pl.Expr:
    """The key in UTC microseconds; text is ISO 8601, with or without an offset."""
    dtype, key = frame.schema[KEY], pl.col(KEY)
    if dtype == pl.String:
        key = key.str.to_datetime(time_unit="us", time_zone="UTC", strict=True)
    elif not isinstance(dtype, pl.Datetime):
        raise _bad(path, f"{KEY} of type {dtype}", "a timestamp, or ISO 8601 text", "Convert the column.")
    elif dtype.time_zone is None:
        key = key.dt.replace_time_zone("UTC")
    return key.dt.convert_time_zone("UTC").cast(KEY_TYPE)


def _checked(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The rows by pair and time, each trusted."""
    if frame.is_empty():
        raise _defect(path, "no row", "bars", frame)
    _refuse(path, frame, pl.any_horizontal(pl.all().is_null()), "with an empty value", "every value filled")
    prices = pl.col(*(name for name in _PRICES if name in frame.columns))
    _refuse(
        path,
        frame,
        pl.any_horizontal(~(prices.is_finite() & (prices > 0))),
        "with a price not above 0",
        "prices above 0",
    )
    if _VOLUME in frame.columns:
        _refuse(path, frame, pl.col(_VOLUME) < 0, "with a negative volume", "volumes from 0")
    for name in frame.get_column("pair").unique(maintain_order=True):
        parse_pair(name)
    repeated = frame.filter(pl.struct(KEY, "pair").is_duplicated())
    if not repeated.is_empty():
        raise DuplicateKeys(
            f"rates {path}",
            got=f"{repeated.height:,} rows share {KEY} and pair, first {_show(repeated)}",
            expected="one bar a pair and time",
            cure="Remove the repeated bars.",
        )
    frame = _filled(frame.sort("pair", KEY))
    inside = (pl.col("low") <= pl.min_horizontal("open", "close")) & (
        pl.max_horizontal("open", "close") <= pl.col("high")
    )
    _refuse(path, frame, ~inside, "with open or close outside low and high", "low <= open, close <= high")
    return frame


def _filled(frame: pl.DataFrame) -> pl.DataFrame:
    """The optional columns, from what is there. **Shape**: sorted by pair and time."""
    given = frame.columns
    if "open" not in given:
        before = pl.col("close").shift(1).over("pair").fill_null(pl.col("close"))
        # A given high or low bounds the bar's own open; the close before may lie outside after a gap.
        bounds = [pl.col(name) if name in given else None for name in ("low", "high")]
        frame = frame.with_columns(before.clip(*bounds).alias("open"))
    return frame.with_columns(
        *([] if "high" in given else [pl.max_horizontal("open", "close").alias("high")]),
        *([] if "low" in given else [pl.min_horizontal("open", "close").alias("low")]),
        *([] if _VOLUME in given else [pl.lit(0, pl.Int64).alias(_VOLUME)]),
    )


def _bars(part: pl.DataFrame) -> Bars:
    prices = {name: part.get_column(name).to_numpy() for name in _PRICES}
    return Bars(
        times=part.get_column(KEY).to_physical().to_numpy(), volume=part.get_column(_VOLUME).to_numpy(), **prices
    )


def _strengths(pairs: dict[str, Bars], times: Integers) -> dict[str, Floats]:
    """The mean log rate of each currency against the others, at every time, the last known close held."""
    rates: dict[str, list[Floats]] = {}
    for name, bars in pairs.items():
        pair = parse_pair(name)
        held = np.clip(np.searchsorted(bars.times, times, side="right") - 1, 0, None)
        log = np.log(bars.close[held])
        rates.setdefault(pair.base, []).append(log)
        rates.setdefault(pair.quote, []).append(-log)
    return {currency: np.mean(logs, axis=0) for currency, logs in rates.items()}


def _refuse(path: Path, frame: pl.DataFrame, wrong: pl.Expr, got: str, expected: str) -> None:
    found = frame.filter(wrong)
    if not found.is_empty():
        raise _defect(path, f"{found.height:,} rows {got}, first {_show(found)}", expected, frame)


def _defect(path: Path, got: str, expected: str, frame: pl.DataFrame) -> TableDefect:
    return TableDefect(f"rates {path}", got=f"{got} of {frame.height:,}", expected=expected, cure="Correct the file.")


def _bad(path: Path, got: str, expected: str, cure: str) -> BadSetting:
    return BadSetting(f"--rates {path}", got=got, expected=expected, cure=cure)


def _show(frame: pl.DataFrame) -> str:
    return ", ".join(f"{name} {value}" for name, value in frame.row(0, named=True).items())
