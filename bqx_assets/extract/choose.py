"""Chooses the encoding of each column: the one that costs least.

The cost of an encoding is that of 125 million values, which are 1 GB of decoded numbers, in processor seconds::

    price of a stored GB x GB that are stored + seconds to encode the values once and decode them several times

``sample`` describes a column by some of its rows, ``sizes`` estimates from that the bytes of each encoding, and
``encodings`` lists the seconds and, for each value of ``BQX_ENCODING``, the price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from bqx_assets.base.settings import EncodingPolicy
from bqx_assets.extract.encodings import COMPRESSION, POLICIES, Encoding, Kind, Policy, seconds_of
from bqx_assets.extract.sample import sampled
from bqx_assets.extract.sample_facts import Facts
from bqx_assets.extract.sizes import SAFE, Size, sizes_of

_VALUE_BYTES = 8
"""Decoded bytes of a number."""
_NUMBER_LEVELS = (1, 3)
"""Levels of zstd for numbers and times: 9 takes several times as long and saves next to nothing."""
_FLAG_LEVELS: Final[dict[Kind, tuple[int, ...]]] = {"plain": (9,)}
_TEXT_LEVELS: Final[dict[Kind, tuple[int, ...]]] = {"plain": (1,), "dictionary": (9,)}
"""The same for flags and texts, by the kind of encoding: flags and dictionaries of texts are few bytes, so that 9 is
affordable; plain texts become larger by higher levels."""
_STAYS = 1.1
"""An earlier choice stays while it costs at most so much more than the best: files of growing data change little."""


def choose(frame: pl.DataFrame, setting: EncodingPolicy, before: Mapping[str, Encoding]) -> dict[str, Encoding]:
    """Return the encoding of each column of a row group, by name.

    ``before``: the encodings that the columns had in an earlier slab, as far as they are known.
    **Cost**: 0.2 ms a column, a third of it to fetch rows that lie far apart in memory; ``python -m
    benchmarks.encoding`` compares it with encoding.
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
    """An encoding that the values of a type may have by a setting."""

    encoding: Encoding
    size: Size
    seconds: float
    """Processor seconds of 125 million values in the encoding, without a codec."""
    codec_seconds: float
    """Seconds that the codec adds if the values stay as large as they are; of smaller ones it adds a part."""

    def cost(self, facts: Facts, price: float) -> float:
        """Return the cost of 125 million values in processor seconds, with ``price`` for each GB that they take."""
        levels = facts.packed_levels if self.encoding.codec == COMPRESSION else facts.levels
        gigabytes = (self.size(facts, self.encoding) + levels) / _VALUE_BYTES
        return price * gigabytes + self.seconds + self.codec_seconds * min(1.0, gigabytes)


def _chosen(facts: Facts | None, candidates: Sequence[_Candidate], policy: Policy, before: Encoding | None) -> Encoding:
    """Return the encoding that a column had before if it may stay, else the cheapest.

    A column with too few values for facts keeps what it had, or gets an encoding that is never far larger than the
    best: its first value may come after the first row group, by which the encoding is chosen.
    """
    known = [each.encoding for each in candidates]
    earlier = before if before in known else None
    if facts is None:
        packed = [each for each in candidates if each.encoding.codec in (COMPRESSION, "snappy")]
        return earlier or max(packed, key=lambda each: (each.size in SAFE, each.encoding.level or 0)).encoding
    costs = {each.encoding: each.cost(facts, policy.price) for each in candidates}
    best = min(costs, key=costs.__getitem__)
    return earlier if earlier is not None and costs[earlier] <= _STAYS * costs[best] else best


def _candidates(kind: pl.DataType, policy: Policy) -> list[_Candidate]:
    sizes, few = sizes_of(kind), isinstance(kind, pl.Boolean | pl.String)
    # The seconds that are known are those of numbers: of flags and texts only sizes are compared.
    return [
        _Candidate(each, sizes[each.kind], *((0.0, 0.0) if few else seconds_of(each))) for each in allowed(kind, policy)
    ]


def allowed(kind: pl.DataType, policy: Policy) -> list[Encoding]:
    """Return the encodings that a setting allows for a type of values."""
    sizes = sizes_of(kind)
    levels = _FLAG_LEVELS if isinstance(kind, pl.Boolean) else _TEXT_LEVELS if isinstance(kind, pl.String) else {}
    return [
        each
        for each in policy.encodings
        if each.kind in sizes and (each.level is None or each.level in levels.get(each.kind, _NUMBER_LEVELS))
    ]
