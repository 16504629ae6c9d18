"""Chooses the encoding of a column: the one that costs least, by the size that a sample of the values lets expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, exp, inf, log2
from typing import Final, NamedTuple

import polars as pl

from bqx_assets.base.settings import EncodingPolicy
from bqx_assets.extract.encodings import COMPRESSION, POLICIES, Encoding, Kind, Policy
from bqx_assets.extract.sample import Facts, Plane, sampled

_VALUE_BYTES = 8
_QUICK, _HARD, _HARDEST = 1, 3, 9
"""Levels of zstd: of numbers, the first two; of flags and of a dictionary of texts, which are few bytes, the last."""
_STAYS = 1.1
"""An earlier choice stays while it costs at most so much more than the best: files of growing data change little."""
_WORTH = 0.9
"""Whole numbers and times are compressed only if this makes them a tenth smaller. The others always are: Polars
compresses everything, and without compression they would be up to a fifth larger than in its files."""


def choose(frame: pl.DataFrame, setting: EncodingPolicy, before: Mapping[str, Encoding]) -> dict[str, Encoding]:
    """Return the encoding of each column of a row group, by name.

    ``before``: the encodings that the columns had in an earlier slab, as far as they are known.
    **Cost**: at most 3% of encoding them (``python -m benchmarks.encoding``).
    """
    policy = POLICIES[setting]
    of_type: dict[pl.DataType, list[pl.Series]] = {}
    for column in frame:
        of_type.setdefault(column.dtype, []).append(column)
    return {
        column.name: _chosen(facts, candidates, policy, before.get(column.name))
        for kind, columns in of_type.items()
        for candidates in [_candidates(kind, policy)]
        for column, facts in zip(columns, sampled(columns), strict=True)
    }


class _Candidate(NamedTuple):
    """An encoding that a type of values may have in a setting."""

    encoding: Encoding
    size: Callable[[Facts, Encoding], float]
    """Returns how many bytes a value takes, from a column's facts."""
    seconds: float
    """Processor seconds of 125 million values, whatever their size."""
    packing: float
    """Those that the codec takes besides if values stay as large as they are; of smaller ones it takes a part."""

    def cost(self, facts: Facts, price: float) -> float:
        """Return the seconds that 125 million values are worth, with ``price`` for each GB that they take."""
        levels = facts.levels_entropy if self.encoding.codec == COMPRESSION else facts.levels
        share = (self.size(facts, self.encoding) + levels) / _VALUE_BYTES
        return price * share + self.seconds + self.packing * min(1.0, share)


def _chosen(facts: Facts | None, candidates: Sequence[_Candidate], policy: Policy, before: Encoding | None) -> Encoding:
    if facts is None:
        allowed = [each.encoding for each in candidates]
        packed = next(each for each in allowed if each.codec != "none")
        return before if before is not None and before in allowed else packed
    costs = {each.encoding: each.cost(facts, policy.price) for each in candidates}
    best = min(costs, key=costs.__getitem__)
    return before if before is not None and before in costs and costs[before] <= _STAYS * costs[best] else best


def _candidates(kind: pl.DataType, policy: Policy) -> list[_Candidate]:
    """Return the encodings that a setting allows for a type of values."""
    kinds: dict[Kind, Callable[[Facts, Encoding], float]] = {"plain": _integers, "dictionary": _dictionary}
    if isinstance(kind, pl.Boolean):
        kinds = {"plain": _flags}
    elif isinstance(kind, pl.String):
        kinds |= {"plain": _texts}
    elif kind.is_float():
        kinds |= {"plain": _floats, "split": _split}
    else:
        kinds |= {"split": _split_integers, "delta": _delta}
    few = isinstance(kind, pl.Boolean | pl.String)  # they take a codec so few bytes that only sizes are compared
    plain = _HARDEST if isinstance(kind, pl.Boolean) else _QUICK
    levels: dict[Kind, tuple[int, ...]] = {"plain": (plain,), "dictionary": (_HARDEST,)} if few else {}
    return [
        _Candidate(each, kinds[each.kind], *((0.0, 0.0) if few else policy.seconds(each)))
        for each in policy.encodings
        if each.kind in kinds and (each.level is None or each.level in levels.get(each.kind, (_QUICK, _HARD)))
    ]


def _worth(stored: float, uncompressed: float) -> float:
    """Return the size that a codec gives; infinite where it is not worth to be used."""
    return stored if stored <= _WORTH * uncompressed else inf


def _texts(facts: Facts, encoding: Encoding) -> float:
    share = {"none": 1.0, COMPRESSION: _TEXT}.get(encoding.codec, 2 * _TEXT)
    again = facts.width if encoding.codec == "none" else _FOUND
    return share * facts.width * facts.distinct_share + again * (1.0 - facts.distinct_share)


def _flags(facts: Facts, encoding: Encoding) -> float:
    if encoding.codec == "none":
        return facts.width
    runs = min(facts.entropy / 8, 1.0 - facts.steady)
    return min(facts.width, runs if encoding.codec == COMPRESSION else 3 * runs)


def _integers(facts: Facts, encoding: Encoding) -> float:
    """Return the size of whole numbers one after another, which other encodings make far smaller where they can."""
    return facts.width if encoding.codec in ("none", "snappy") else inf


def _floats(facts: Facts, encoding: Encoding) -> float:
    """Return the size of floats one after another: codecs shorten what they find in the megabyte before."""
    if encoding.codec == "none":
        return facts.width
    again = (1.0 - facts.fresh) * _AGAIN[encoding.codec]
    return facts.fresh * _fresh(facts, encoding) + again + _CHANGES[encoding.codec] * facts.choice


_TEXT = 0.45
"""Share of a text that zstd leaves at level 1, which shortens texts more than level 3 does."""
_FLOAT: Final = {"lz4": 8.05, "snappy": 8.05, COMPRESSION: 7.67}
"""Bytes of a float with all digits: zstd packs its sign and exponent."""
_FOUND = 2.95
"""Bytes of a value that zstd finds again."""
_LOWER: Final = {None: 0.3, 1: 0.5, 3: 3.5}
"""Bytes that a codec saves, by its level, if it finds the lower bytes of a value again."""
_TOP, _UPPER, _TOP_OF_NOISE = 6, 0.75, 0.9
"""Bytes that zstd saves of the two highest bytes where they hardly vary; those of noise take 0.9 bytes if split."""
_NEAR, _FAR = 6_000, 65_000
"""Number of values in which zstd finds lower bytes, and whole values, again."""
_AGAIN: Final = {"lz4": 0.033, "snappy": 0.375, COMPRESSION: 0.003}
"""Bytes of a value in a long run of equal ones."""
_CHANGES: Final = {"lz4": 0.6, "snappy": 0.6, COMPRESSION: 0.375}
"""Bytes that it takes to tell new values from earlier ones, for each bit of that choice."""


def _fresh(facts: Facts, encoding: Encoding) -> float:
    """Return the size of a fresh float, some of which a codec finds again, in whole or by their lower bytes."""
    lower = 1.0 - exp(-_NEAR / facts.low_alike)
    whole = (1.0 - exp(-_FAR / facts.alike)) * (1.0 if encoding.level == _HARD else 0.6)
    top = sum(_plane(plane, encoding) for plane in facts.planes[_TOP:]) if facts.planes else 1.0
    upper = _UPPER * max(0.0, 1.0 - top / _TOP_OF_NOISE) if encoding.codec == COMPRESSION else 0.0
    new = _FLOAT[encoding.codec] - _LOWER[encoding.level] * lower - upper
    return new - whole * (new - _FOUND)


_ENTRIES: Final = {None: 1.0, 1: 0.96, 3: 0.94, 9: 0.94}
"""Share of a dictionary's floats with all digits that remains, by a codec's level."""
_DECIMALS: Final = {None: 0.1, 1: 0.25, 3: 0.43, 9: 0.43}
"""Share of a dictionary's decimals that a codec saves besides, by its level."""


def _dictionary(facts: Facts, encoding: Encoding) -> float:
    """Return the size of packed indexes, and of the distinct values that they refer to."""
    bits = ceil(log2(facts.distinct)) if facts.distinct > 1 else 0
    indexes = bits / 8 * (1.0 - facts.steady**7)  # eight equal values in a row are stored as a run
    if encoding.codec == COMPRESSION:
        even = facts.steady**7
        indexes = min((0.98 - 0.6 * even) * indexes, (1.0 + even) * facts.entropy / 8)
    saved = 0.0 if encoding.codec == "none" else _DECIMALS[encoding.level] * (1.0 - exp(-_NEAR / facts.low_alike))
    entry = facts.width * (_ENTRIES[encoding.level] - saved)
    return indexes + entry * facts.distinct_share + 0.001


_MANY, _SLOW = 5, (0.2, 0.89)


def _split(facts: Facts, encoding: Encoding) -> float:
    return sum(_plane(plane, encoding) for plane in facts.planes) or inf


def _split_integers(facts: Facts, encoding: Encoding) -> float:
    return _worth(_split(facts, encoding), facts.width) if encoding.codec != "none" else facts.width


def _plane(plane: Plane, encoding: Encoding) -> float:
    """Return the bytes that one of the 8 bytes of a value takes: runs of equal bytes, else by how they are spread."""
    if encoding.codec == "none":
        return 1.0
    runs = plane.changing * ((1.2 if encoding.codec == COMPRESSION else 2.5) + 7.0 * plane.changing)
    spread = max(1.0, plane.entropy) / 8 if encoding.codec == COMPRESSION else 1.0
    if encoding.level == _HARD and plane.entropy > _MANY and _SLOW[0] < plane.changing < _SLOW[1]:
        spread *= 0.96  # level 3 finds longer stretches again where values move slowly
    return min(1.0, runs, spread)


def _delta(facts: Facts, encoding: Encoding) -> float:
    """Return the size of steps, packed; steps that hardly differ are runs of equal bytes."""
    packed = facts.step_bits / 8 + 0.03
    if encoding.codec == "none":
        return packed
    spread = facts.step_entropy / 8 * (1.08 if encoding.codec == COMPRESSION else 8) + 0.003
    return _worth(min(packed, spread), packed)
