"""Estimates how many bytes a value takes in each encoding, from the facts that a sample gives of its column.

No column is encoded on trial, which would take a tenth of the time of encoding all of it. Each function adds up what an
encoding stores instead:

- PLAIN: all values, of which a codec shortens those that it finds again. A value that equals that of the row before
  costs next to nothing. A mode, which is a frequent value, costs the bits that tell which mode it is. Any other value
  is fresh and costs its bytes, or fewer if the codec finds it in earlier rows, as a whole or by its lower four bytes.
- RLE_DICTIONARY: the number of its dictionary entry for each value, and each distinct value once.
- BYTE_STREAM_SPLIT: each of the eight byte planes, as runs if its bytes seldom change, else by the bytes' entropy.
- DELTA_BINARY_PACKED: the steps from row to row, with as many bits as the widest of 32 neighbouring steps needs.

A codec finds a value again with the probability ``1 - exp(-n / m)`` if it searches ``n`` earlier values that are drawn
from ``m`` equally frequent ones. The constants are empirical: the estimate of the smallest encoding is mostly within a
fifth of the file that pyarrow 26 writes. Those of much larger ones may be several times too large, which changes no
choice. All sizes are bytes of a value that is not null.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, inf, log2
from typing import Final

import polars as pl

from bqx_assets.extract.encodings import COMPRESSION, Encoding, Kind
from bqx_assets.extract.sample_facts import Facts, Plane

Size = Callable[[Facts, Encoding], float]
"""Returns the estimated bytes of a value in an encoding; infinite if the encoding is not to be chosen."""

_HARD = 3
"""The level of zstd that searches harder than level 1 for bytes that it can find again."""
_WORTH = 0.9
"""Largest share of the uncompressed bytes at which whole numbers and times are compressed. All other types always are:
Polars compresses everything, and without compression they would be up to a fifth larger than in its files."""


def sizes_of(kind: pl.DataType) -> dict[Kind, Size]:
    """Return the size functions of a column type, by the kind of each encoding that the type may have."""
    if isinstance(kind, pl.Boolean):
        return {"plain": _plain_flags}
    if isinstance(kind, pl.String):
        return {"plain": _plain_texts, "dictionary": _dictionary_of_texts}
    if kind.is_float():
        return {"plain": _plain_floats, "dictionary": _dictionary, "split": _split_floats}
    return {"plain": _plain_integers, "dictionary": _dictionary, "split": _split_integers, "delta": _delta}


def _worth(compressed: float, uncompressed: float) -> float:
    """Return the compressed size, or infinity if compression saves too little."""
    return compressed if compressed <= _WORTH * uncompressed else inf


_REPEATED_BYTES: Final = {"lz4": 0.033, "snappy": 0.375, COMPRESSION: 0.003}
"""Bytes of a value that is not fresh, by codec."""
_CHOICE_BYTES: Final = {"lz4": 0.6, "snappy": 0.6, COMPRESSION: 0.375}
"""Bytes for each bit of the choice among modes and fresh values, by codec."""


def _plain_floats(facts: Facts, encoding: Encoding) -> float:
    if encoding.codec == "none":
        return facts.width
    repeated = (1.0 - facts.fresh) * _REPEATED_BYTES[encoding.codec]
    return facts.fresh * _fresh_float(facts, encoding) + repeated + _CHOICE_BYTES[encoding.codec] * facts.choice_bits


_NEW_BYTES: Final = {"lz4": 8.05, "snappy": 8.05, COMPRESSION: 7.67}
"""Bytes of a float of which no part is found again, by codec: zstd packs the bits of its sign and exponent."""
_FOUND_BYTES = 2.95
"""Bytes of a reference to an earlier equal value."""
_SAVED_BY_LOW_HALF: Final = {None: 0.3, 1: 0.5, 3: 3.5}
"""Bytes saved if the lower four bytes are found again, by the level of zstd; None stands for lz4 and snappy."""
_FOUND_SHARE: Final = {None: 0.6, 1: 0.6, 3: 1.0}
"""Share of the values that could be found again which a codec finds, by its level."""
_LOW_HALVES_SEARCHED, _VALUES_SEARCHED = 6_000, 65_000
"""Number of earlier values among which a codec finds lower halves, and whole values."""
_TOP_PLANE = 6
"""The first of the two highest byte planes, which hold sign, exponent and the first bits of the digits."""
_SAVED_BY_TOP = 0.75
"""Bytes that zstd saves of the two highest bytes if they never vary."""
_TOP_OF_NOISE = 0.9
"""Bytes that the two highest planes of normally distributed values take, of which zstd saves nothing more."""


def _fresh_float(facts: Facts, encoding: Encoding) -> float:
    """Return the mean size of a fresh float: new, with lower bytes that are found again, or found as a whole."""
    low_half_found = _found(_LOW_HALVES_SEARCHED * facts.fresh, facts.equivalent_low_halves)
    found = [
        _found(_VALUES_SEARCHED * facts.fresh, equivalent) * _FOUND_SHARE[encoding.level]
        for equivalent in (facts.equivalent_values, facts.equivalent_without_byte, facts.equivalent_without_bytes)
    ]
    new = _NEW_BYTES[encoding.codec] - _SAVED_BY_LOW_HALF[encoding.level] * low_half_found
    if facts.planes and encoding.codec == COMPRESSION:
        top = sum(_plane(plane, encoding) for plane in facts.planes[_TOP_PLANE:])
        new -= _SAVED_BY_TOP * max(0.0, 1.0 - top / _TOP_OF_NOISE)
    whole, but_one, but_two = found[0], max(0.0, found[1] - found[0]), max(0.0, found[2] - max(found[:2]))
    return new - sum(
        share * max(0.0, new - _FOUND_BYTES - without) for without, share in enumerate((whole, but_one, but_two))
    )


def _found(searched: float, equally_frequent: float) -> float:
    """Return the probability that a value occurs among ``searched`` earlier ones."""
    return 1.0 - exp(-searched / equally_frequent)


def _plain_integers(facts: Facts, encoding: Encoding) -> float:
    """Return the size without compression; where compression pays, another encoding is always smaller.

    Snappy counts as no compression: the setting that has it must compare this with dictionaries alone.
    """
    return facts.width if encoding.codec in ("none", "snappy") else inf


def _plain_flags(facts: Facts, encoding: Encoding) -> float:
    if encoding.codec == "none":
        return facts.width
    runs = min(facts.entropy / 8, 1.0 - facts.steady)
    return min(facts.width, runs if encoding.codec == COMPRESSION else _UNSEEN_RUNS + 3 * runs)


_UNSEEN_RUNS = 0.003
"""Bytes that lz4 and Snappy take for runs of flags that are so long that the sample has none of their ends."""


_TEXT_KEPT = 0.45
"""Share of a text's bytes that zstd leaves at level 1, which shortens texts more than level 3 does."""


def _plain_texts(facts: Facts, encoding: Encoding) -> float:
    repeated = facts.width if encoding.codec == "none" else _FOUND_BYTES
    return _text_kept(encoding) * facts.width * facts.distinct_share + repeated * (1.0 - facts.distinct_share)


def _text_kept(encoding: Encoding) -> float:
    return {"none": 1.0, COMPRESSION: _TEXT_KEPT}.get(encoding.codec, 2 * _TEXT_KEPT)


_ENTRY_KEPT: Final = {None: 1.0, 1: 0.96, 3: 0.94, 9: 0.94}
"""Share of a dictionary entry's bytes that a codec leaves, by its level."""
_ENTRY_SAVED: Final = {None: 0.1, 1: 0.25, 3: 0.43, 9: 0.43}
"""Share of these bytes that it saves besides if the lower four are those of an earlier entry, as of few decimals."""
_RUN_ROWS = 8
"""Number of equal values in a row from which a dictionary's indexes are stored as a run."""
_DICTIONARY_BYTES = 0.001
"""Bytes a value of page headers and run lengths."""


def _dictionary(facts: Facts, encoding: Encoding) -> float:
    saved = _ENTRY_SAVED[encoding.level] * _found(_LOW_HALVES_SEARCHED, facts.equivalent_low_halves)
    return _indexes(facts, encoding) + facts.width * (_ENTRY_KEPT[encoding.level] - saved) * facts.distinct_share


def _dictionary_of_texts(facts: Facts, encoding: Encoding) -> float:
    return _indexes(facts, encoding) + facts.width * _text_kept(encoding) * facts.distinct_share


def _indexes(facts: Facts, encoding: Encoding) -> float:
    bits = ceil(log2(facts.distinct)) if facts.distinct > 1 else 0
    in_runs = facts.steady ** (_RUN_ROWS - 1)
    indexes = bits / 8 * (1.0 - in_runs)
    if encoding.codec == COMPRESSION:
        indexes = min((0.98 - 0.6 * in_runs) * indexes, (1.0 + in_runs) * facts.entropy / 8)
    return indexes + _DICTIONARY_BYTES


def _split_floats(facts: Facts, encoding: Encoding) -> float:
    return sum(_plane(plane, encoding) for plane in facts.planes) or inf


def _split_integers(facts: Facts, encoding: Encoding) -> float:
    return _worth(_split_floats(facts, encoding), facts.width) if encoding.codec != "none" else facts.width


_SLOW_LEAST, _SLOW_MOST = 0.2, 0.89
"""Shares of changing bytes between which a plane's bytes move so slowly that level 3 finds stretches of them again."""
_SLOW_BITS = 5
"""Least entropy of such a plane, in bits; below it, packing bytes by their entropy is smaller anyway."""
_SLOW_KEPT = 0.96
"""Share of such a plane's bytes that level 3 leaves."""


def _plane(plane: Plane, encoding: Encoding) -> float:
    """Return the bytes of a value that a byte plane takes: at most 1, fewer in runs or packed by entropy."""
    if encoding.codec == "none":
        return 1.0
    runs = plane.changing * ((1.2 if encoding.codec == COMPRESSION else 2.5) + 7.0 * plane.changing)
    packed = max(1.0, plane.entropy) / 8 if encoding.codec == COMPRESSION else 1.0
    if encoding.level == _HARD and plane.entropy > _SLOW_BITS and _SLOW_LEAST < plane.changing < _SLOW_MOST:
        packed *= _SLOW_KEPT
    return min(1.0, runs, packed)


_BLOCK_BYTES = 0.03
"""Bytes a value of the headers of blocks of steps."""


def _delta(facts: Facts, encoding: Encoding) -> float:
    packed = facts.step_bits / 8 + _BLOCK_BYTES
    if encoding.codec == "none":
        return packed
    # zstd packs by entropy; lz4 shortens only what repeats, and takes about a byte for each bit of the choice.
    by_entropy = facts.step_entropy / 8 * (1.08 if encoding.codec == COMPRESSION else 8) + 0.003
    return _worth(min(packed, by_entropy), packed)


SAFE: Final = (_plain_floats, _split_integers, _dictionary_of_texts, _plain_flags)
"""The size functions of the encodings that are never far larger than the best, whatever the values of a type are."""
