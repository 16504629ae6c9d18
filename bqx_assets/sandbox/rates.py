"""A market from the user's own rates: a Parquet or CSV file of bars of any length, of one pair or several.

Belongs here: what a bar must be, and the market that bars make. Does not: the file's form (``rates_file``,
``rates_times``, ``rates_pairs``), what is possible and hardly true (``rates_doubts``), deriving pairs
(``triangulate``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from bqx_assets.base.errors import DuplicateKeys
from bqx_assets.base.files import open_regular
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.sandbox.instruments import INSTRUMENTS
from bqx_assets.sandbox.market import Bars, Market
from bqx_assets.sandbox.rates_doubts import doubts_of
from bqx_assets.sandbox.rates_file import PAIR, PRICES, VOLUME, RatesFile, bad_file, read_file
from bqx_assets.sandbox.rates_pairs import name_rows
from bqx_assets.sandbox.rates_times import to_utc
from bqx_assets.sandbox.triangulate import derive_missing, shortest_chain, tail

_ROUNDING = 2e-7
"""Relative: more than a FLOAT32 rounds a price by, and a thirtieth of the smallest step that a pair is quoted in."""


def load_market(path: Path, rows: int, *, only: str | None = None, invert: bool = False) -> Market:
    """Return the most recent ``rows`` bars of each pair in the file or derivable from it, and of its instruments.

    ``only`` is whose rates they are where the file has no column for it; ``invert`` turns pairs that are quoted the
    other way round. A missing open is the pair's close before; a missing high or low the larger or smaller of open and
    close; a missing ``tick_volume`` is 0; the market says each of these. **Cost**: the file in memory.

    Raises:
        BadSetting: the file's format, columns, types, times or numbers are not those described.
        UnknownPair: a name is that of no pair, or of a reversed one without ``invert``.
        TableDefect, DuplicateKeys: a value is missing, not positive, or contradicts another; a bar stands twice.
    """
    file = read_file(path)
    to_utc(file)
    _refuse_bad_values(file)
    name_rows(file, only, invert=invert)
    _refuse_repeated(file)
    frame = _filled(file)
    parts = {str(name): part for (name,), part in frame.partition_by(PAIR, as_dict=True, include_key=False).items()}
    given = {name: _bars(part) for name, part in parts.items()}
    pairs, missing = derive_missing({name: bars for name, bars in given.items() if name not in INSTRUMENTS})
    _tell(file, rows, given, pairs)
    return Market(
        pairs={pair.name: tail(pairs[pair.name], rows) for pair in ALL_PAIRS if pair.name in pairs},
        instruments={name: tail(given[name], rows) for name in INSTRUMENTS if name in given},
        missing=missing,
        said=tuple(file.said),
        doubts=doubts_of({name: part for name, part in parts.items() if name not in INSTRUMENTS}),
    )


def rates_digest(path: Path) -> str:
    """Return the SHA-256 of a file of rates. Raises BadSetting where it is missing, or no file."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise bad_file(path, error.strerror or str(error), "a .parquet or .csv file", "Name the file.") from error


def _refuse_bad_values(file: RatesFile) -> None:
    if file.frame.is_empty():
        raise file.defect("no row", "bars", "Correct the file.")
    _refuse(file, pl.any_horizontal(pl.all().is_null()), "with an empty value", "every value filled")
    prices = pl.col(*(name for name in PRICES if name in file.frame.columns))
    wrong = pl.any_horizontal(~(prices.is_finite() & (prices > 0)))
    _refuse(file, wrong, "with a price not above 0, or none", "finite prices above 0")
    if VOLUME in file.frame.columns:
        _refuse(file, pl.col(VOLUME) < 0, "with a negative volume", "volumes from 0")


def _refuse_repeated(file: RatesFile) -> None:
    repeated = pl.struct(KEY, PAIR).is_duplicated()
    if file.frame.select(repeated.any()).item():
        raise DuplicateKeys(
            f"rates {file.path}",
            got=file.rows_where(repeated, f"share {KEY} and pair"),
            expected="one bar a pair and time",
            cure="Remove the repeated bars.",
        )


def _filled(file: RatesFile) -> pl.DataFrame:
    """The bars with every column, by pair and time, each price between its low and high."""
    file.frame = file.frame.sort(PAIR, KEY)
    given = file.frame.columns
    if "open" not in given:
        before = pl.col("close").shift(1).over(PAIR).fill_null(pl.col("close"))
        # A given high or low bounds the bar's own open; the close before may lie outside after a gap.
        bounds = [pl.col(name) if name in given else None for name in ("low", "high")]
        file.frame = file.frame.with_columns(before.clip(*bounds).alias("open"))
        file.said.append("no column open: a bar opens at the pair's close before")
    highest, lowest = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    for name, bound in (("high", highest), ("low", lowest)):
        if name not in given:
            file.frame = file.frame.with_columns(bound.alias(name))
            file.said.append(f"no column {name}: it is the {name}er of open and close")
    if VOLUME not in given:
        file.frame = file.frame.with_columns(pl.lit(0, pl.Int64).alias(VOLUME))
        file.said.append(f"no column {VOLUME}: every volume is 0")
    outside = (pl.col("low") > lowest * (1 + _ROUNDING)) | (highest > pl.col("high") * (1 + _ROUNDING))
    _refuse(file, outside, "with open or close outside low and high", "low <= open, close <= high")
    # Prices that were divided or kept as FLOAT32 may be out of order by their last digit.
    ordered = [pl.max_horizontal("high", highest).alias("high"), pl.min_horizontal("low", lowest).alias("low")]
    return file.frame.with_columns(ordered)


def _bars(part: pl.DataFrame) -> Bars:
    prices = {name: part.get_column(name).to_numpy() for name in PRICES}
    return Bars(
        times=part.get_column(KEY).to_physical().to_numpy(), volume=part.get_column(VOLUME).to_numpy(), **prices
    )


def _tell(file: RatesFile, rows: int, given: Mapping[str, Bars], pairs: Mapping[str, Bars]) -> None:
    derived = {
        name: shortest_chain(pair, [*given]) for pair in ALL_PAIRS if (name := pair.name) in pairs.keys() - given
    }
    chains = [f"{name} ({', '.join(leg for leg, _ in chain or ())})" for name, chain in derived.items()]
    if chains:
        file.said.append(f"pairs derived, high and low from open and close alone: {', '.join(chains)}")
    longer = sum(bars.rows > rows for bars in given.values())
    if longer:
        file.said.append(f"bars used: the last {rows:,} of {longer} pairs that have more")


def _refuse(file: RatesFile, wrong: pl.Expr, got: str, expected: str) -> None:
    if file.frame.select(wrong.any()).item():
        raise file.defect(file.rows_where(wrong, got), expected, "Correct the file.")
