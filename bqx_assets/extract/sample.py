"""Describes columns by a sample: how often values repeat, how much their bytes vary, how even their steps are.

The sample is made of pairs of neighbouring rows, spread evenly over the columns: the first rows of all pairs show how
often values repeat anywhere, the two rows of each pair how much changes from one row to the next. Columns of the same
type are described together, because one call for 25 columns costs little more than one for a single column.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, log2
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl

LEAST_PAIRS: Final = 64
"""Least number of pairs, without nulls, from which a sample decides."""
_PAIRS = 1_536
_TOGETHER = (1_408, 704, 352, 176, LEAST_PAIRS)
"""Numbers of pairs without nulls, of which a column is described with the largest that it has, together with others."""
_MODE_SHARE = 0.01
"""Share of the sample from which a value is a mode. Modes say nothing about the number of the other values."""
_MINIBLOCK = 32
"""Number of steps that DELTA_BINARY_PACKED stores with as many bits as the widest of them needs."""
_VARIED = 0.03
"""Share of distinct values up to which a dictionary is so much smaller that bytes need no look."""
_NOISY = 0.95
"""Share of fresh values from which bytes that nothing repeats are noise."""
_RUN_BYTES = 3
"""Bytes of a run of nulls or of values."""
_FEW_STEPS = 16
_SECOND: Final = np.tile([0, 1], _PAIRS)
_LOGS: Final = np.concatenate([[0.0], np.arange(1, _PAIRS + 1) * np.log2(np.arange(1, _PAIRS + 1))])

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Plane(NamedTuple):
    """One of the 8 bytes of all values."""

    entropy: float
    """Bits that the choice of the byte takes, without regard to order."""
    changing: float
    """Share of rows in which the byte differs from that of the row before."""


_NOISE = Plane(8.0, 1.0)


class Facts(NamedTuple):
    """Facts of a column by its sample. Shares and numbers are of its known values; nulls take no space."""

    width: float
    """Mean bytes of a value as PLAIN stores it."""
    distinct: float
    """Estimated number of distinct values in the column."""
    distinct_share: float
    """The same for each value of the column."""
    entropy: float
    """Estimated bits that the choice among the distinct values takes, without regard to order."""
    steady: float
    """Share of rows whose value is that of the row before."""
    fresh: float
    """Share of rows whose value is neither that of the row before nor a mode."""
    choice: float
    """Bits that the choice among the modes, and between them and fresh values, takes, without regard to order."""
    alike: float
    """Number of values of which two fresh ones are equal by the same chance as if all of them were equally frequent."""
    low_alike: float
    """The same of the lower 4 bytes of distinct values: decimals of few digits have few of them."""
    levels: float
    """Bytes a value that tell nulls from values, packed."""
    levels_entropy: float
    """The same, as small as a codec can make them."""
    planes: tuple[Plane, ...] = ()
    """The bytes of numbers and times, the lowest first; empty where a dictionary is much smaller anyway."""
    step_bits: float = 64.0
    """Bits that a step from one row to the next takes as DELTA_BINARY_PACKED stores it; of whole numbers and times."""
    step_entropy: float = 64.0
    """Estimated bits that the choice among all steps takes."""


class _Runs(NamedTuple):
    """The counts of each distinct value in rows of sorted values, as one flat array."""

    counts: Numbers
    columns: Numbers
    """The row that each count belongs to."""


class _Sample(NamedTuple):
    """The pairs of a column, and what is known of the whole column by them."""

    here: Words
    """The first rows of the pairs without nulls, as words of 64 bits; texts as hashes."""
    after: Words
    """The second rows."""
    known: float
    """Number of values of the column, estimated."""
    width: float
    levels: float
    levels_entropy: float


def sampled(columns: list[pl.Series]) -> list[Facts | None]:
    """Return the facts of each column; None for one of which fewer than ``LEAST_PAIRS`` pairs are known.

    **Shape**: series of one type and length. **Cost**: 30 to 60 microseconds a column, at most 3% of encoding it.
    """
    samples = [_sample(column) for column in columns]
    places: dict[int, list[int]] = {}
    for place, each in enumerate(samples):
        if size := next((size for size in _TOGETHER if each.here.size >= size), 0):
            places.setdefault(size, []).append(place)
    facts: dict[int, Facts] = {}
    for size, of_size in places.items():
        facts |= zip(of_size, _described([samples[place] for place in of_size], columns[0].dtype, size), strict=True)
    return [facts.get(place) for place in range(len(columns))]


@lru_cache(64)
def _spread(count: int, among: int) -> Numbers:
    """Return ``count`` different positions below ``among``, spread evenly."""
    return np.linspace(0, max(0, among - 1), max(0, min(count, among))).astype(np.intp)


def _sample(column: pl.Series) -> _Sample:
    rows = column.len()
    first = _spread(min(_PAIRS, rows // 2), rows - 1)
    pairs, valid = _taken(column, np.repeat(first, 2) + _SECOND[: 2 * first.size])
    pairs, width = pairs.reshape(-1, 2), _width(column, first)
    if valid is None or valid.all():
        return _Sample(pairs[:, 0], pairs[:, 1], rows, width, 0.0, 0.0)
    valid, share = valid.reshape(-1, 2), float(valid.mean())
    both = valid.all(axis=1)
    if np.count_nonzero(both) < LEAST_PAIRS <= rows - column.null_count() < rows:
        return _sample(column.drop_nulls())
    packed = min(0.125, _RUN_BYTES * np.count_nonzero(valid[:, 0] != valid[:, 1]) / len(valid))
    least = -share * log2(share) - (1 - share) * log2(1 - share) if share > 0 else 0.0
    return _Sample(pairs[both, 0], pairs[both, 1], rows * share, width, packed, min(packed, least / 8))


def _taken(column: pl.Series, rows: Numbers) -> tuple[Words, Mask | None]:
    """Return rows of a column as words of 64 bits, and which of them are no nulls; None if the column has none."""
    if isinstance(column.dtype, pl.String | pl.Boolean):
        taken = column[rows]
        words = taken.hash() if isinstance(column.dtype, pl.String) else taken.cast(pl.UInt64).fill_null(0)
        return words.to_numpy(), taken.is_not_null().to_numpy() if column.null_count() else None
    # Through its buffers: Polars would wake all its threads for a few rows.
    chunks = [cast("Any", chunk).to_arrow() for chunk in column.get_chunks()]
    starts = np.cumsum([0, *map(len, chunks)])
    bounds = np.searchsorted(rows, starts)
    words, masks = np.empty(rows.size, np.uint64), np.ones(rows.size, np.bool_)
    for chunk, start, first, last in zip(chunks, starts, bounds, bounds[1:], strict=False):
        places = rows[first:last] - (start - chunk.offset)
        known, numbers = chunk.buffers()
        words[first:last] = np.frombuffer(numbers, f"<u{chunk.type.bit_width // 8}")[places]
        if known is not None:
            masks[first:last] = np.frombuffer(known, np.uint8)[places >> 3] >> (places & 7) & 1
    return words, masks if column.null_count() else None


def _width(column: pl.Series, rows: Numbers) -> float:
    if isinstance(column.dtype, pl.String):
        return 4.0 + cast("float", column[rows].str.len_bytes().mean() or 0.0)
    return 0.125 if isinstance(column.dtype, pl.Boolean) else 8.0


class _Counted(NamedTuple):
    """Counts of the values in the samples of columns, an entry for each column."""

    distinct: Numbers
    singles: Numbers
    """Number of values that occur once."""
    modes: Numbers
    others: Numbers
    """Number of rows whose value is no mode."""
    alike: Shares
    low_alike: Shares
    entropy: Shares
    among_modes: Shares
    """Bits that the choice among the modes takes."""


def _counted(here: Words) -> _Counted:
    """Return the counts of columns. **Shape**: ``here`` is columns x sampled values."""
    many, size = here.shape
    ordered = np.sort(here, axis=1)
    runs = _runs(ordered)
    frequent = runs.counts > max(_MODE_SHARE * size, 1)
    modes = _Runs(runs.counts[frequent], runs.columns[frequent])
    rare = _Runs(runs.counts[~frequent], runs.columns[~frequent])
    distinct = np.bincount(runs.columns, minlength=many)
    number_of_modes = np.bincount(modes.columns, minlength=many)
    others = np.bincount(rare.columns, rare.counts, minlength=many).astype(np.int64)
    shares = modes.counts / size
    return _Counted(
        distinct,
        np.bincount(runs.columns[runs.counts == 1], minlength=many),
        number_of_modes,
        others,
        _alike(others, _equal_pairs(rare, many)),
        _alike(distinct - number_of_modes, _equal_pairs(_low_runs(ordered, runs, frequent), many)),
        _entropies(runs, many, size),
        np.bincount(modes.columns, -shares * np.log2(shares), minlength=many).astype(np.float64),
    )


def _described(samples: list[_Sample], kind: pl.DataType, size: int) -> list[Facts]:
    """Return the facts of columns of one type by ``size`` pairs of each."""
    rows = [_spread(size, each.here.size) for each in samples]
    here = np.stack([each.here[chosen] for each, chosen in zip(samples, rows, strict=True)])
    after = np.stack([each.after[chosen] for each, chosen in zip(samples, rows, strict=True)])
    counted, steady = _counted(here), np.count_nonzero(here == after, axis=1) / size
    has_bytes = not isinstance(kind, pl.String | pl.Boolean)
    stepped = _steps(after - here) if has_bytes and not kind.is_float() else None
    found: list[Facts] = []
    for place, each in enumerate(samples):
        facts = _facts(each, _Counted(*(of[place].item() for of in counted)), float(steady[place]), size)
        if has_bytes and (facts.distinct_share > _VARIED or _is_even(here[place], after[place])):
            noisy = kind.is_float() and facts.low_alike == inf and facts.fresh > _NOISY
            facts = facts._replace(planes=_planes(here[place], after[place], noisy=noisy))
        if stepped is not None:
            facts = facts._replace(step_bits=stepped[0][place].item(), step_entropy=stepped[1][place].item())
        found.append(facts)
    return found


def _facts(sample: _Sample, counted: Any, steady: float, size: int) -> Facts:  # noqa: ANN401 -- one column's numbers
    """Return the facts of one column, its bytes and steps apart."""
    rest = sample.known * counted.others / size
    unlike = counted.alike * (1.0 - exp(-rest / counted.alike)) if counted.alike < inf else rest
    distinct = max(1.0, counted.modes + min(unlike, sample.known * (1.0 - steady)))
    fresh = min(1.0 - steady, counted.others / size)
    if counted.modes:
        choice = counted.among_modes - fresh * log2(max(fresh, 1 / size))
    else:
        choice = fresh if fresh < _NOISY else 0.0  # a value that holds ends anywhere
    return Facts(
        width=sample.width,
        distinct=distinct,
        distinct_share=distinct / sample.known,
        entropy=counted.entropy + counted.singles / size * max(0.0, log2(distinct / counted.distinct)),
        steady=steady,
        fresh=fresh,
        choice=choice,
        alike=counted.alike,
        low_alike=counted.low_alike,
        levels=sample.levels,
        levels_entropy=sample.levels_entropy,
    )


def _runs(ordered: Words) -> _Runs:
    """Return how often each distinct value occurs in each row. **Shape**: ``ordered`` is columns x sorted values."""
    many, size = ordered.shape
    ends = np.ones((many, size), np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=ends[:, :-1])
    last = np.flatnonzero(ends)
    return _Runs(np.diff(last, prepend=-1), last // size)


def _low_runs(ordered: Words, runs: _Runs, frequent: npt.NDArray[np.bool_]) -> _Runs:
    """Return how often the lower 4 bytes occur among the distinct values of each row that are no modes."""
    last = np.cumsum(runs.counts) - 1
    low = np.arange(ordered.size, dtype=np.uint64).reshape(ordered.shape) << np.uint64(32)  # unlike any other
    kept = last[~frequent]
    low.reshape(-1)[kept] = ordered.reshape(-1)[kept] & np.uint64(0xFFFF_FFFF)
    low.reshape(-1)[0] |= np.uint64(1 << 63)  # the only one of the others that could be equal to lower bytes
    low.sort(axis=1)
    return _runs(low)


def _equal_pairs(runs: _Runs, many: int) -> Shares:
    several = runs.counts > 1
    counts = runs.counts[several]
    return np.bincount(runs.columns[several], counts * (counts - 1) / 2, minlength=many).astype(np.float64)


def _alike(sampled_values: npt.NDArray[Any], equal_pairs: Shares) -> Shares:
    """Return of how many equally frequent values so many sampled ones would have so many equal pairs; inf of none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = sampled_values * (sampled_values - 1) / 2 / equal_pairs
    return np.where((equal_pairs > 0) & (sampled_values > 1), found, inf)


def _entropies(runs: _Runs, many: int, size: int) -> Shares:
    several = runs.counts > 1
    return log2(size) - np.bincount(runs.columns[several], _LOGS[runs.counts[several]], minlength=many) / size


def _is_even(here: Words, after: Words) -> bool:
    """Return whether a column rises so evenly that its bytes come back: few distinct steps."""
    return np.unique(after[:: here.size // 64] - here[:: here.size // 64]).size < _FEW_STEPS


def _planes(here: Words, after: Words, *, noisy: bool) -> tuple[Plane, ...]:
    """Return the facts of the 8 bytes; ``noisy``: the lower 4 are those of numbers with all digits."""
    different, of_bytes = here ^ after, np.ascontiguousarray(here).view(np.uint8).reshape(-1, 8)
    places = range(4 if noisy else 0, 8)
    spread = np.stack([np.bincount(of_bytes[:, place], minlength=256) for place in places])
    entropies: list[float] = (log2(here.size) - _LOGS[spread].sum(axis=1) / here.size).tolist()
    changing = [np.count_nonzero(different & np.uint64(0xFF << 8 * place)) / here.size for place in places]
    return (*[_NOISE] * places.start, *map(Plane, entropies, changing))


def _steps(steps: Words) -> tuple[Shares, Shares]:
    """Return the mean width of miniblocks, as if each had the steps of neighbouring pairs, and the steps' entropy."""
    many, size = steps.shape
    blocks = steps.view(np.int64)[:, : size - size % _MINIBLOCK].reshape(many, -1, _MINIBLOCK)
    spread = (blocks.max(axis=2) - blocks.min(axis=2)).view(np.uint64).astype(np.float64)
    bits = np.ceil(np.log2(spread + 1)).mean(axis=1)
    runs = _runs(np.sort(steps, axis=1))
    singles, seen = (np.bincount(columns, minlength=many) for columns in (runs.columns[runs.counts == 1], runs.columns))
    return bits, _entropies(runs, many, size) + singles / size * np.maximum(0.0, bits - np.log2(seen))
