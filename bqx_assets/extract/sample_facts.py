"""Describes columns by samples of them: how often values repeat, how much their bytes vary, how even their steps are.

Columns of one type are described together, because one call of numpy for 25 columns costs little more than one for a
single column.
"""

from __future__ import annotations

from math import exp, inf, log2, sqrt
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

MOST_PAIRS: Final = 1_536
"""Largest number of pairs in the sample of a column."""
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
_FEW_STEPS = 16
"""Number of distinct steps, of 64, below which a column rises evenly."""
_LOGS: Final = np.concatenate([[0.0], np.arange(1, MOST_PAIRS + 1) * np.log2(np.arange(1, MOST_PAIRS + 1))])
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


class Sample(NamedTuple):
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


def described(samples: list[Sample], here: Words, after: Words, kind: pl.DataType) -> list[Facts]:
    """Return the facts of columns of one type.

    **Shape**: ``here`` and ``after``, the first and the second rows of pairs, are columns x pairs.
    """
    counts, steady = _counted(here, floats=kind.is_float()), np.count_nonzero(here == after, axis=1) / here.shape[1]
    found = [_facts(*each, here.shape[1]) for each in zip(samples, counts, steady.tolist(), strict=True)]
    if isinstance(kind, pl.String | pl.Boolean):
        return found
    if not kind.is_float():
        found = [
            each._replace(step_bits=bits, step_entropy=entropy)
            for each, bits, entropy in zip(found, *(part.tolist() for part in _steps(after - here)), strict=True)
        ]
    of_bytes = [
        place
        for place, each in enumerate(found)
        if not kind.is_float() or each.distinct_share > _FEW_DISTINCT or _is_even(here[place], after[place])
    ]
    noisy = [kind.is_float() and found[n].equivalent_low_halves == inf and found[n].fresh > _NOISY for n in of_bytes]
    for place, planes in zip(of_bytes, _planes(here[of_bytes], after[of_bytes], noisy), strict=True):
        found[place] = found[place]._replace(planes=planes)
    return found


def _facts(sample: Sample, counts: _Counts, steady: float, size: int) -> Facts:
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


class _Runs(NamedTuple):
    """The values that occur more than once in sorted columns. Most columns have hundreds of others, which cost time."""

    counts: Numbers
    """Number of occurrences of each value, as one flat array."""
    columns: Numbers
    """The number of the column that each count belongs to."""
    ends: Numbers
    """The place where each value occurs last, among the values of all columns."""
    same: Mask
    """Whether the next value of the column is equal. **Shape**: columns x sorted values."""

    @property
    def distinct(self) -> Numbers:
        """The number of distinct values in each column."""
        return self.same.shape[1] - np.count_nonzero(self.same, axis=1)


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
    distinct = runs.distinct
    singles = distinct - np.bincount(runs.columns, minlength=many)
    doubles = np.bincount(runs.columns[runs.counts == 2], minlength=many)  # noqa: PLR2004 -- two of them
    frequent = runs.counts >= _least_of_modes(singles, doubles, size)[runs.columns]
    modes, rare = _chosen(runs, frequent), _chosen(runs, ~frequent)
    number_of_modes = np.bincount(modes.columns, minlength=many)
    others = size - np.bincount(modes.columns, modes.counts, minlength=many).astype(np.int64)
    parts = [np.full(many, inf)] * 3
    if floats:
        of_modes = _equal_pairs(modes, many)
        upper = (_equal_pairs(_runs(ordered >> np.uint64(bits)), many) - of_modes for bits in (8, 16))
        parts = [_equivalent(others, pairs) for pairs in upper]
        parts.append(_equivalent(distinct - number_of_modes, _equal_pairs(_low_runs(ordered, runs, modes), many)))
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


def _runs(ordered: Words) -> _Runs:
    """Return how often values occur in each column. **Shape**: ``ordered`` is columns x sorted values."""
    same = np.zeros(ordered.shape, np.bool_)
    np.equal(ordered[:, 1:], ordered[:, :-1], out=same[:, :-1])
    places = np.flatnonzero(same)
    firsts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    counts = np.diff(firsts, append=places.size) + 1
    starts = places[firsts]
    return _Runs(counts, starts // ordered.shape[1], starts + counts - 1, same)


def _chosen(runs: _Runs, chosen: Mask) -> _Runs:
    return _Runs(runs.counts[chosen], runs.columns[chosen], runs.ends[chosen], runs.same)


def _low_runs(ordered: Words, runs: _Runs, modes: _Runs) -> _Runs:
    """Return how often the lower 4 bytes occur among the distinct values of each column that are no modes."""
    left_out = runs.same.copy()
    left_out.reshape(-1)[modes.ends] = True
    # All other places have numbers that differ from each other and from any lower bytes.
    unlike = np.arange(1, ordered.shape[1] + 1, dtype=np.uint64) << np.uint64(32)
    return _runs(np.sort(np.where(left_out, unlike, ordered & np.uint64(0xFFFF_FFFF)), axis=1))


def _equal_pairs(runs: _Runs, many: int) -> Shares:
    """Return in how many ways two of a column's rows with equal values can be chosen."""
    return np.bincount(runs.columns, runs.counts * (runs.counts - 1) / 2, minlength=many).astype(np.float64)


def _equivalent(sampled_values: Numbers, equal_pairs: Shares) -> Shares:
    """Return of how many equally frequent values a sample would have so many equal pairs; infinity of none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = sampled_values * (sampled_values - 1) / 2 / equal_pairs
    return np.where((equal_pairs > 0) & (sampled_values > 1), found, inf)


def _entropies(runs: _Runs, many: int, size: int) -> Shares:
    """Return the entropy of each of ``many`` columns of ``size`` sampled values."""
    return log2(size) - np.bincount(runs.columns, _LOGS[runs.counts], minlength=many) / size


def _is_even(here: Words, after: Words) -> bool:
    """Return whether a column rises so evenly, in few distinct steps, that its bytes come back in order."""
    return np.unique(after[:: here.size // 64] - here[:: here.size // 64]).size < _FEW_STEPS


def _planes(here: Words, after: Words, noisy: list[bool]) -> list[tuple[Plane, ...]]:
    """Return the 8 byte planes of columns; the lower 4 of noisy ones are taken for noise, as in numbers of all digits.

    **Shape**: ``here`` and ``after`` are columns x sampled values.
    """
    size = here.shape[1]
    changing = (np.count_nonzero(_of_bytes(here ^ after), axis=2) / size).tolist()
    found: list[tuple[Plane, ...]] = []
    for planes, changes, noise in zip(_of_bytes(here), changing, noisy, strict=True):
        least = 4 if noise else 0
        spread = np.stack([np.bincount(plane, minlength=256) for plane in planes[least:]])
        entropies: list[float] = (log2(size) - _LOGS[spread].sum(axis=1) / size).tolist()
        found.append((*[_NOISE] * least, *map(Plane, entropies, changes[least:])))
    return found


def _of_bytes(words: Words) -> npt.NDArray[np.uint8]:
    """Return the bytes of words. **Shape**: columns x values; columns x 8 places, the lowest first, x values."""
    return np.ascontiguousarray(words.view(np.uint8).reshape(*words.shape, 8).transpose(0, 2, 1))


def _steps(steps: Words) -> tuple[Shares, Shares]:
    """Return the bits and the entropy of each column's steps. **Shape**: ``steps`` is columns x sampled steps.

    The bits are the mean width of miniblocks that are made of the steps of neighbouring pairs.
    """
    many, size = steps.shape
    blocks = steps.view(np.int64)[:, : size - size % _MINIBLOCK].reshape(many, -1, _MINIBLOCK)
    spread = (blocks.max(axis=2) - blocks.min(axis=2)).view(np.uint64).astype(np.float64)
    bits = np.ceil(np.log2(spread + 1)).mean(axis=1)
    runs = _runs(np.sort(steps, axis=1))
    singles = runs.distinct - np.bincount(runs.columns, minlength=many)
    return bits, _entropies(runs, many, size) + singles / size * np.maximum(0.0, bits - np.log2(runs.distinct))
