"""Describes columns by a sample: how often values repeat, how much their bytes vary, how even their steps are.

The sample of a column is pairs of neighbouring rows, spread evenly over it. The first rows of all pairs tell how often
values repeat anywhere; the two rows of each pair tell how much changes from one row to the next. Columns of one type
are described together, because one call of numpy for 25 columns costs little more than one for a single column.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, log2, sqrt
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl

LEAST_PAIRS: Final = 64
"""Least number of pairs without nulls by which a column is described."""
_PAIRS = 1_536
"""Number of pairs in the sample of a column."""
_ROWS_A_PAIR, _LEAST_OF_SHORT = 16, 256
"""A shorter column has a pair for each 16 rows, or 256, or as many as there are: more would cost more than encoding."""
_SIZES = (1_408, 704, 352, 176, LEAST_PAIRS)
"""Numbers of pairs by which columns are described: of each column the largest that it has without nulls. There are few,
so that columns with different numbers of nulls are described together."""
_MODE_SHARE = 0.01
"""Share of the sample from which a value is a mode. Modes say nothing about the number of the other values."""
_MOSTLY_RARE = 0.25
"""Share of values that occur once from which a sample counts as one of rare values, where fewer rows make a mode."""
_MODE_CHANCE = 0.05
"""Expected number of values, if all were equally frequent, below which so many occurrences are those of a mode."""
_FACTORIALS: Final = np.cumprod([1.0, *range(1, 100)])
"""The factorial of each number of occurrences, for the chance of so many in a Poisson distribution."""
_MINIBLOCK = 32
"""Number of steps that DELTA_BINARY_PACKED stores with as many bits as the widest of them needs."""
_FEW_DISTINCT = 0.03
"""Share of distinct floats up to which a dictionary is always smaller than split bytes, so that planes need no look."""
_NOISY = 0.95
"""Share of fresh values from which a column counts as one of new values only."""
_RUN_BYTES = 3
"""Bytes that definition levels take for each run of nulls or of values."""
_FEW_STEPS = 16
"""Number of distinct steps, of 64, below which a column rises evenly."""
_LOGS: Final = np.concatenate([[0.0], np.arange(1, _PAIRS + 1) * np.log2(np.arange(1, _PAIRS + 1))])
"""The number n log2(n) for each count n, which entropies are made of."""

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Plane(NamedTuple):
    """The bytes at one of the 8 places of all values, which BYTE_STREAM_SPLIT stores next to each other."""

    entropy: float
    """Bits a byte, without regard to order: 8 if all 256 bytes are equally frequent, 0 if there is only one."""
    changing: float
    """Share of rows in which the byte differs from that of the row before."""


_NOISE = Plane(8.0, 1.0)


class Facts(NamedTuple):
    """Facts of a column by its sample. Nulls do not count among its values and rows, except in the levels.

    A **mode** is a value of at least a hundredth of the rows, or of fewer where most values are rare. A **fresh** value
    is neither a mode nor equal to that of the row before. An entropy is in bits a value, without regard to order.
    """

    width: float
    """Mean bytes of a value as PLAIN stores it."""
    distinct: float
    """Number of distinct values in the whole column, estimated."""
    distinct_share: float
    """Number of distinct values divided by the number of all values."""
    entropy: float
    """Entropy of the values, estimated for the whole column."""
    steady: float
    """Share of rows whose value is that of the row before."""
    fresh: float
    """Share of rows whose value is fresh."""
    choice_bits: float
    """Entropy of the choice among the modes and between them and a fresh value."""
    equivalent_values: float
    """Number of equally frequent values among which two draws would be equal as often as two rows are, without modes;
    infinite if no two are equal."""
    equivalent_without_byte: float
    """The same of the values without their lowest byte, in which results of the same sum in another order differ."""
    equivalent_without_bytes: float
    """The same without their two lowest bytes."""
    equivalent_low_halves: float
    """The same of the lower 4 bytes of distinct values: decimals of few digits have few of them."""
    levels: float
    """Bytes a row that definition levels take, which tell nulls from values."""
    packed_levels: float
    """Bytes a row that zstd leaves of them."""
    planes: tuple[Plane, ...] = ()
    """The byte planes of numbers and times, the lowest byte first; empty if a dictionary is always smaller."""
    step_bits: float = 64.0
    """Bits that DELTA_BINARY_PACKED stores for a step from one row to the next; of whole numbers and times."""
    step_entropy: float = 64.0
    """Entropy of the steps, estimated for the whole column."""


class _Runs(NamedTuple):
    """The counts of each distinct value in several columns, as one flat array."""

    counts: Numbers
    columns: Numbers
    """The number of the column that each count belongs to."""


class _Sample(NamedTuple):
    """The pairs of a column, and what is known of the whole column by them."""

    here: Words
    """The values in the first rows of the pairs without nulls, as words of 64 bits; texts as hashes."""
    after: Words
    """The values in the second rows."""
    known: float
    """Number of values of the column, estimated."""
    width: float
    levels: float
    packed_levels: float


def sampled(columns: list[pl.Series]) -> list[Facts | None]:
    """Return the facts of each column; None for one of which fewer than ``LEAST_PAIRS`` pairs have no null.

    **Shape**: series of one type and length. **Cost**: 0.1 to 0.2 ms a column of 177,748 rows.
    """
    samples = [_sample(column) for column in columns]
    of_sizes: dict[int, list[int]] = {}
    for place, each in enumerate(samples):
        if size := next((size for size in _SIZES if each.here.size >= size), 0):
            of_sizes.setdefault(size, []).append(place)
    facts: dict[int, Facts] = {}
    for size, places in of_sizes.items():
        facts |= zip(places, _described([samples[place] for place in places], columns[0].dtype, size), strict=True)
    return [facts.get(place) for place in range(len(columns))]


@lru_cache(64)
def _pairs(rows: int) -> Numbers:
    """Return the positions of a sample's pairs in so many rows: number of pairs x 2."""
    return np.add.outer(_spread(min(_PAIRS, rows // 2, max(_LEAST_OF_SHORT, rows // _ROWS_A_PAIR)), rows - 1), (0, 1))


@lru_cache(64)
def _spread(count: int, among: int) -> Numbers:
    """Return ``count`` different positions below ``among``, spread evenly."""
    return np.linspace(0, max(0, among - 1), max(0, min(count, among))).astype(np.intp)


def _sample(column: pl.Series) -> _Sample:
    rows = column.len()
    positions = _pairs(rows)
    pairs, valid = _taken(column, positions.reshape(-1))
    pairs, width = pairs.reshape(-1, 2), _width(column, positions[:, 0])
    if valid is None or valid.all():
        return _Sample(pairs[:, 0], pairs[:, 1], rows, width, 0.0, 0.0)
    valid, share = valid.reshape(-1, 2), float(valid.mean())
    both = valid.all(axis=1)
    if np.count_nonzero(both) < LEAST_PAIRS <= rows - column.null_count() < rows:
        return _sample(column.drop_nulls())
    levels = min(0.125, _RUN_BYTES * np.count_nonzero(valid[:, 0] != valid[:, 1]) / len(valid))
    entropy = -share * log2(share) - (1 - share) * log2(1 - share) if share > 0 else 0.0
    return _Sample(pairs[both, 0], pairs[both, 1], rows * share, width, levels, min(levels, entropy / 8))


def _taken(column: pl.Series, rows: Numbers) -> tuple[Words, Mask | None]:
    """Return the values in ``rows``, which ascend, as words of 64 bits, and a mask that is false for nulls.

    The mask is None if the column has no null.
    """
    if isinstance(column.dtype, pl.String | pl.Boolean):
        taken = column[rows]
        words = taken.hash() if isinstance(column.dtype, pl.String) else taken.cast(pl.UInt64).fill_null(0)
        return words.to_numpy(), taken.is_not_null().to_numpy() if column.null_count() else None
    # Read from Arrow's buffers: Polars would wake all its threads for a few rows.
    chunks = [cast("Any", chunk).to_arrow() for chunk in column.get_chunks()]
    starts = np.cumsum([0, *map(len, chunks)])
    bounds = np.searchsorted(rows, starts)
    words, mask = np.empty(rows.size, np.uint64), np.ones(rows.size, np.bool_)
    for chunk, start, first, last in zip(chunks, starts, bounds, bounds[1:], strict=False):
        places = rows[first:last] - (start - chunk.offset)
        validity, values = chunk.buffers()
        words[first:last] = np.frombuffer(values, f"<u{chunk.type.bit_width // 8}")[places]
        if validity is not None:
            mask[first:last] = np.frombuffer(validity, np.uint8)[places >> 3] >> (places & 7) & 1
    return words, mask if column.null_count() else None


def _width(column: pl.Series, rows: Numbers) -> float:
    """Return the mean bytes of a value: of a text its own and 4 for its length, of a flag one bit."""
    if isinstance(column.dtype, pl.String):
        return 4.0 + cast("float", column[rows].str.len_bytes().mean() or 0.0)
    return 0.125 if isinstance(column.dtype, pl.Boolean) else 8.0


class _Counts(NamedTuple):
    """The counts of the values in a column's sample."""

    distinct: int
    singles: int
    """Number of values that occur once."""
    modes: int
    """Number of values that are modes."""
    others: int
    """Number of rows whose value is no mode."""
    equivalent_values: float
    equivalent_without_byte: float
    equivalent_without_bytes: float
    equivalent_low_halves: float
    entropy: float
    """Entropy of the sample."""
    mode_entropy: float
    """Part of the entropy that the modes have in the choice among them and all other values together."""


def _counted(here: Words, *, floats: bool) -> list[_Counts]:
    """Return the counts of each column. **Shape**: ``here`` is columns x sampled values.

    ``floats``: parts of values are counted as well, which decide on nothing for other types.
    """
    many, size = here.shape
    ordered = np.sort(here, axis=1)
    runs = _runs(ordered)
    singles, doubles = (np.bincount(runs.columns[runs.counts == count], minlength=many) for count in (1, 2))
    frequent = runs.counts >= _least_of_modes(singles, doubles, size)[runs.columns]
    modes = _Runs(runs.counts[frequent], runs.columns[frequent])
    rare = _Runs(runs.counts[~frequent], runs.columns[~frequent])
    distinct = np.bincount(runs.columns, minlength=many)
    number_of_modes = np.bincount(modes.columns, minlength=many)
    others = np.bincount(rare.columns, rare.counts, minlength=many).astype(np.int64)
    parts = [np.full(many, inf)] * 3
    if floats:
        of_modes = _equal_pairs(modes, many)
        upper = (_equal_pairs(_runs(ordered >> np.uint64(bits)), many) - of_modes for bits in (8, 16))
        parts = [_equivalent(others, pairs) for pairs in upper]
        parts.append(_equivalent(distinct - number_of_modes, _equal_pairs(_low_runs(ordered, runs, frequent), many)))
    shares = modes.counts / size
    counts = (
        distinct,
        singles,
        number_of_modes,
        others,
        _equivalent(others, _equal_pairs(rare, many)),
        *parts,
        _entropies(runs, many, size),
        np.bincount(modes.columns, -shares * np.log2(shares), minlength=many),
    )
    return [_Counts(*column) for column in zip(*(each.tolist() for each in counts), strict=True)]


def _least_of_modes(singles: Numbers, doubles: Numbers, size: int) -> Numbers:
    """Return from how many occurrences on a value of the sample is a mode, for each column.

    Where most values are rare, fewer occurrences make a mode: so many that hardly one value would have them if all were
    equally frequent. If they made none, two such values, for example the bounds that values are clipped to, would let
    a column of new values appear to have few.
    """
    usual = int(max(_MODE_SHARE * size, 1)) + 1
    counts = np.arange(min(3, usual), usual + 1)
    rate = (2 * doubles + 1) / np.maximum(singles, 1)
    values = singles[:, None] * rate[:, None] ** (counts - 1) / _FACTORIALS[counts]
    least = counts[np.argmax((values < _MODE_CHANCE) | (counts == usual), axis=1)]
    return np.where(singles > _MOSTLY_RARE * size, least, usual)


def _described(samples: list[_Sample], kind: pl.DataType, size: int) -> list[Facts]:
    """Return the facts of columns of one type by ``size`` pairs of each."""
    rows = [_spread(size, each.here.size) for each in samples]
    here = np.stack([each.here[chosen] for each, chosen in zip(samples, rows, strict=True)])
    after = np.stack([each.after[chosen] for each, chosen in zip(samples, rows, strict=True)])
    counts, steady = _counted(here, floats=kind.is_float()), np.count_nonzero(here == after, axis=1) / size
    has_bytes = not isinstance(kind, pl.String | pl.Boolean)
    steps = _steps(after - here) if has_bytes and not kind.is_float() else None
    found: list[Facts] = []
    for place, each in enumerate(samples):
        facts = _facts(each, counts[place], float(steady[place]), size)
        if has_bytes and (
            not kind.is_float() or facts.distinct_share > _FEW_DISTINCT or _is_even(here[place], after[place])
        ):
            noisy = kind.is_float() and facts.equivalent_low_halves == inf and facts.fresh > _NOISY
            facts = facts._replace(planes=_planes(here[place], after[place], noisy=noisy))
        if steps is not None:
            facts = facts._replace(step_bits=steps[0][place].item(), step_entropy=steps[1][place].item())
        found.append(facts)
    return found


def _facts(sample: _Sample, counts: _Counts, steady: float, size: int) -> Facts:
    """Return the facts of a column, without its byte planes and steps."""
    rest = sample.known * counts.others / size
    equivalent = counts.equivalent_values
    # Drawn at random from equally frequent values, so many values are known to have so many distinct ones.
    unlike = equivalent * (1.0 - exp(-rest / equivalent)) if equivalent < inf else rest
    # More values occur once than would if all were equally frequent: the others of a heavy tail.
    expected = counts.others * exp(-counts.others / equivalent)
    excess = max(0.0, counts.singles - expected - 2 * sqrt(counts.singles))
    unlike += excess * sqrt(sample.known / size)
    distinct = max(1.0, counts.modes + min(unlike, rest, sample.known * (1.0 - steady)))
    fresh = min(1.0 - steady, counts.others / size)
    if counts.modes:
        choice_bits = counts.mode_entropy - fresh * log2(max(fresh, 1 / size))
    else:  # one bit for each fresh value, because the values before it may end anywhere; none if all are fresh
        choice_bits = max(fresh, -fresh * log2(max(fresh, 1 / size))) if fresh < _NOISY else 0.0
    return Facts(
        width=sample.width,
        distinct=distinct,
        distinct_share=distinct / sample.known,
        # Values that occur once in the sample stand for many that it missed.
        entropy=counts.entropy + counts.singles / size * max(0.0, log2(distinct / counts.distinct)),
        steady=steady,
        fresh=fresh,
        choice_bits=choice_bits,
        equivalent_values=equivalent,
        equivalent_without_byte=counts.equivalent_without_byte,
        equivalent_without_bytes=counts.equivalent_without_bytes,
        equivalent_low_halves=counts.equivalent_low_halves,
        levels=sample.levels,
        packed_levels=sample.packed_levels,
    )


def _runs(ordered: Words) -> _Runs:
    """Return how often each distinct value occurs in each column. **Shape**: ``ordered`` is columns x sorted values."""
    many, size = ordered.shape
    ends = np.ones((many, size), np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=ends[:, :-1])
    last = np.flatnonzero(ends)
    return _Runs(np.diff(last, prepend=-1), last // size)


def _low_runs(ordered: Words, runs: _Runs, frequent: Mask) -> _Runs:
    """Return how often the lower 4 bytes occur among the distinct values of each column that are no modes."""
    rare = (np.cumsum(runs.counts) - 1)[~frequent]
    # All other places have numbers that differ from each other and from any lower bytes.
    low = np.arange(1, ordered.size + 1, dtype=np.uint64) << np.uint64(32)
    low[rare] = ordered.reshape(-1)[rare] & np.uint64(0xFFFF_FFFF)
    return _runs(np.sort(low.reshape(ordered.shape), axis=1))


def _equal_pairs(runs: _Runs, many: int) -> Shares:
    """Return in how many ways two of a column's rows with equal values can be chosen."""
    several = runs.counts > 1
    counts = runs.counts[several]
    return np.bincount(runs.columns[several], counts * (counts - 1) / 2, minlength=many).astype(np.float64)


def _equivalent(sampled_values: Numbers, equal_pairs: Shares) -> Shares:
    """Return of how many equally frequent values a sample would have so many equal pairs; infinity of none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = sampled_values * (sampled_values - 1) / 2 / equal_pairs
    return np.where((equal_pairs > 0) & (sampled_values > 1), found, inf)


def _entropies(runs: _Runs, many: int, size: int) -> Shares:
    """Return the entropy of each of ``many`` columns of ``size`` sampled values."""
    several = runs.counts > 1
    return log2(size) - np.bincount(runs.columns[several], _LOGS[runs.counts[several]], minlength=many) / size


def _is_even(here: Words, after: Words) -> bool:
    """Return whether a column rises so evenly, in few distinct steps, that its bytes come back in order."""
    return np.unique(after[:: here.size // 64] - here[:: here.size // 64]).size < _FEW_STEPS


def _planes(here: Words, after: Words, *, noisy: bool) -> tuple[Plane, ...]:
    """Return the 8 byte planes; if ``noisy``, the lower 4 are taken for noise, as in numbers with all digits."""
    different, of_bytes = here ^ after, np.ascontiguousarray(here).view(np.uint8).reshape(-1, 8)
    places = range(4 if noisy else 0, 8)
    spread = np.stack([np.bincount(of_bytes[:, place], minlength=256) for place in places])
    entropies: list[float] = (log2(here.size) - _LOGS[spread].sum(axis=1) / here.size).tolist()
    changing = [np.count_nonzero(different & np.uint64(0xFF << 8 * place)) / here.size for place in places]
    return (*[_NOISE] * places.start, *map(Plane, entropies, changing))


def _steps(steps: Words) -> tuple[Shares, Shares]:
    """Return the bits and the entropy of each column's steps. **Shape**: ``steps`` is columns x sampled steps.

    The bits are the mean width of miniblocks that are made of the steps of neighbouring pairs.
    """
    many, size = steps.shape
    blocks = steps.view(np.int64)[:, : size - size % _MINIBLOCK].reshape(many, -1, _MINIBLOCK)
    spread = (blocks.max(axis=2) - blocks.min(axis=2)).view(np.uint64).astype(np.float64)
    bits = np.ceil(np.log2(spread + 1)).mean(axis=1)
    runs = _runs(np.sort(steps, axis=1))
    singles, seen = (np.bincount(columns, minlength=many) for columns in (runs.columns[runs.counts == 1], runs.columns))
    return bits, _entropies(runs, many, size) + singles / size * np.maximum(0.0, bits - np.log2(seen))
