"""What a column chunk's statistics state of its values: read, held against the values, and carried on.

Belongs here: null counts, smallest and largest values, and whose bounds can be relied on. Does not: where a chunk lies
(``chunks``).

**Source**: parquet-format, ``Statistics`` and ``ColumnOrder``; plain encoding for min_value and max_value.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from bqx_assets.merge.fields import HIGH, HIGH_EXACT, LOW, LOW_EXACT, NULLS
from bqx_assets.merge.schema import Leaf
from bqx_assets.merge.thrift import Struct

Value = float | int | str | bool | None

UNKNOWN = -1
"""Where the footer has no such number."""
_LONGEST_BYTES = 4096
"""As pyarrow writes them at most. Longer ones make a footer of 17,000 columns too large for what they are worth."""
_CODES = {"FLOAT64": "<d", "INT64": "<q", "TIMESTAMP": "<q", "BOOL": "<?"}
_WRITER = re.compile(rb"(parquet-mr|parquet-cpp|impala)(?: version (\d+)\.(\d+))?")
_FIRST_RIGHT = {b"parquet-mr": (1, 10), b"parquet-cpp": (1, 3), b"impala": (3, 0)}
"""Releases from which text bounds are in the order of the format: PARQUET-251, PARQUET-1025, IMPALA-6527."""


class Stated(NamedTuple):
    """One column chunk's statistics. None where there are none."""

    nulls: int | None
    low: Value | bytes
    high: Value | bytes
    """Of a text the bytes: a shortened one may end within a character."""
    low_exact: bool | None = None
    high_exact: bool | None = None
    """None: the footer does not say so."""

    def wrong(self, nulls: int, low: Value, high: Value) -> str:
        """Return how this differs from values with so many nulls, from ``low`` to ``high``; empty where it does not.

        A text's bound may have been shortened unless the footer says that it was not: it is right where it bounds.
        """
        found = (
            ("nulls", self.nulls, nulls, self.nulls not in (None, nulls)),
            ("min", self.low, low, _excluded(self.low, low, exact=self.low_exact, upper=False)),
            ("max", self.high, high, _excluded(self.high, high, exact=self.high_exact, upper=True)),
        )
        return "; ".join(f"{word} {_shown(told)} stated, {_shown(is_)} found" for word, told, is_, bad in found if bad)


def texts_unordered(creator: bytes) -> bool:
    """Return whether a writer's text bounds are not to be relied on, its stated order notwithstanding."""
    found = _WRITER.match(creator)
    if found is None:
        return not creator
    version = (int(found[2]), int(found[3])) if found[2] else (0, 0)
    return b"arrow" not in creator and version < _FIRST_RIGHT[found[1]]


@cache
def decoder(type_name: str | None) -> Callable[[bytes | None], Value | bytes]:
    """Return what reads a bound of a column of that type, by BigQuery's name; None of other types' bounds."""
    if type_name == "STRING":
        return lambda data: data
    code = _CODES.get(type_name or "")
    if code is None:
        return lambda _: None
    layout = struct.Struct(code)
    # A bound of another length than its type's values is refused with its chunk.
    return lambda data: None if data is None else layout.unpack(data)[0]


def carried(stated: Stated, leaf: Leaf) -> Struct | None:
    """Return the statistics that no reader can lose rows by, as they are written; None where there are none."""
    facts: Struct = {} if stated.nulls is None else {NULLS: stated.nulls}
    low, high = stated.low, stated.high
    if not leaf.ordered or low is None or high is None:
        return facts or None
    if isinstance(low, bytes) and isinstance(high, bytes):
        fit = max(len(low), len(high)) <= _LONGEST_BYTES and _ascend(low, high)
        bounds = (low, high)
    else:
        fit = low <= high  # type: ignore[operator] # NaN is in no order
        code = _CODES[leaf.type or ""]
        # A zero stands for both zeros, as the format has it.
        signed = (-0.0 if low == 0 else low, 0.0 if high == 0 else high) if code == "<d" else (low, high)
        bounds = struct.pack(code, signed[0]), struct.pack(code, signed[1])
    if fit:
        facts |= {LOW: bounds[0], HIGH: bounds[1], LOW_EXACT: stated.low_exact, HIGH_EXACT: stated.high_exact}
    return facts or None


def _ascend(low: bytes, high: bytes) -> bool:
    try:
        return low.decode() <= high.decode()
    except UnicodeDecodeError:  # DuckDB refuses a file with a bound that is no text
        return False


def _excluded(stated: Value | bytes, found: Value, *, exact: bool | None, upper: bool) -> bool:
    if stated is None:
        return False
    value = found.encode() if isinstance(found, str) else found
    if value is None or exact or (exact is None and not isinstance(stated, bytes)):
        return stated != value
    return stated < value if upper else stated > value  # type: ignore[operator]


def _shown(value: Value | bytes) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 40 else f"{text[:40]}... of {len(text):,} characters"  # noqa: PLR2004
