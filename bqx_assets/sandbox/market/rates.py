"""Reads a market from the user's own rates, with the pairs that can be derived from the file's pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path

import numpy as np
import polars as pl

from bqx_assets.base.errors import DuplicateKeys
from bqx_assets.base.files import open_regular
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.sandbox.market.bars import Bars, Lack, Market, take
from bqx_assets.sandbox.market.rates_doubts import doubts_of
from bqx_assets.sandbox.market.rates_file import PAIR, PRICES, VOLUME, RatesFile, bad_file, read_file, to_utc
from bqx_assets.sandbox.market.rates_pairs import name_rows
from bqx_assets.sandbox.market.simulate import INSTRUMENTS

_ROUNDING = 2e-7
"""Relative tolerance: more than the rounding of a FLOAT32 price, and a thirtieth of a pair's smallest step."""


def load_market(path: Path, rows: int, *, only: str | None = None, invert: bool = False) -> Market:
    """Return the last ``rows`` bars of each pair that the file holds or allows to derive, and of its instruments.

    ``only`` names the pair of a file that has no column for it; ``invert`` inverts pairs that are quoted the other way
    round. A missing open is the pair's previous close, a missing high or low the higher or lower of open and close, a
    missing ``tick_volume`` 0; ``Market.said`` reports each of these. **Cost**: the file in memory.

    Raises:
        BadSetting: format, columns, types, times or numbers of the file cannot be read.
        UnknownPair: a name is that of no pair, or of a reversed one without ``invert``.
        TableDefect, DuplicateKeys: a value is missing, not positive, or contradicts another; a bar occurs twice.
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
    """Return the SHA-256 of a file of rates. Raises BadSetting if it cannot be read as a file."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise bad_file(path, error.strerror or str(error), "a .parquet or .csv file", "Name the file.") from error


def _refuse_bad_values(file: RatesFile) -> None:
    if file.frame.is_empty():
        raise file.defect("no row", "bars")
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
    """Return the bars with all columns, sorted by pair and time, with every price between low and high."""
    file.frame = file.frame.sort(PAIR, KEY)
    given = file.frame.columns
    if "open" not in given:
        before = pl.col("close").shift(1).over(PAIR).fill_null(pl.col("close"))
        # After a gap the previous close may lie outside the bar's high and low, which bound its open.
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
    # Prices that were inverted or stored as FLOAT32 may be out of order in their last digit.
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
    longer = [bars.rows for bars in given.values() if bars.rows > rows]
    if longer:
        of = f"{longer[0]:,}" if len(given) == 1 else f"each pair; {len(longer)} have more"
        file.said.append(f"bars used: the last {rows:,} of {of} (--rows)")


def _refuse(file: RatesFile, wrong: pl.Expr, got: str, expected: str) -> None:
    if file.frame.select(wrong.any()).item():
        raise file.defect(file.rows_where(wrong, got), expected)


Step = tuple[str, bool]
"""A given pair, and whether the chain goes through it from base to quote."""


def derive_missing(given: Mapping[str, Bars]) -> tuple[dict[str, Bars], dict[str, Lack]]:
    """Return bars of the given pairs and of all pairs derived from them, and for each other pair why there are none.

    A derived pair has bars at the times that all pairs of its chain have. Its open and close follow exactly. The range
    of the price in between is unknown, so that high and low are the higher and lower of these two. Its volume is the
    smallest of the chain.
    """
    found, missing = dict(given), dict[str, Lack]()
    for pair in ALL_PAIRS:
        if pair.name in given:
            continue
        chain = shortest_chain(pair, tuple(given))
        if chain is None:
            missing[pair.name] = _reason(pair, given)
            continue
        bars = _along(chain, given)
        if bars.rows:
            found[pair.name] = bars
        else:
            missing[pair.name] = Lack(f"{' and '.join(name for name, _ in chain)} have no time in common")
    return found, missing


def shortest_chain(pair: Pair, given: Sequence[str]) -> tuple[Step, ...] | None:
    """Return the shortest chain of given pairs from base to quote; of equally short ones the first in market order."""
    edges = [known for known in ALL_PAIRS if known.name in given]
    chains: dict[str, tuple[Step, ...]] = {pair.base: ()}
    reached = [pair.base]
    for currency in reached:  # breadth first: the list grows while it is iterated
        for edge in edges:
            if currency not in (edge.base, edge.quote):
                continue
            other = edge.quote if currency == edge.base else edge.base
            if other not in chains:
                chains[other] = (*chains[currency], (edge.name, currency == edge.base))
                reached.append(other)
    return chains.get(pair.quote)


def tail(bars: Bars, rows: int) -> Bars:
    """Return the last ``rows`` bars."""
    return take(bars, np.arange(max(0, bars.rows - rows), bars.rows))


def _along(chain: Sequence[Step], given: Mapping[str, Bars]) -> Bars:
    times = reduce(partial(np.intersect1d, assume_unique=True), (given[name].times for name, _ in chain))
    legs = [(take(given[name], np.searchsorted(given[name].times, times)), forward) for name, forward in chain]
    opens, closes = np.ones(times.size), np.ones(times.size)
    for leg, forward in legs:
        opens = opens * leg.open if forward else opens / leg.open
        closes = closes * leg.close if forward else closes / leg.close
    volume = np.min([leg.volume for leg, _ in legs], axis=0)
    return Bars(times, opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, volume)


def _reason(pair: Pair, given: Iterable[str]) -> Lack:
    known = {currency for name in given for currency in (name[:3], name[3:])}
    unknown = [currency for currency in (pair.base, pair.quote) if currency not in known]
    if unknown:
        return Lack("no rate with", tuple(unknown))
    return Lack(f"no chain of given pairs leads from {pair.base} to {pair.quote}")
