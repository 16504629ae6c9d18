"""What a footer states of each column chunk: where it lies, null count, smallest and largest value.

Belongs here: the statistics' fields and their encoding. Does not: comparing them with values (``columns``).

**Source**: parquet-format, ``parquet.thrift``, struct ``Statistics``; plain encoding for min_value and max_value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from bqx_assets.merge.footer import Footer
from bqx_assets.merge.thrift import Struct

Value = float | int | str | bool | None

_GROUPS, _CHUNKS, _META, _RAW_BYTES, _SIZE_BYTES, _STATISTICS = 4, 1, 3, 6, 7, 12
_DATA_PAGE, _DICTIONARY_PAGE = 9, 11
_NULLS, _MAX, _MIN, _MAX_EXACT, _MIN_EXACT = 3, 5, 6, 7, 8


@dataclass(frozen=True, slots=True)
class Stated:
    """One column chunk by its footer. None where it does not say, or says it inexactly (a shortened text)."""

    nulls: int | None
    low: Value
    high: Value
    raw_bytes: int
    """As encoded, uncompressed."""
    start: int
    end: int
    """The chunk's bytes in the file."""


def stated_chunks(footer: Footer) -> list[list[Stated]]:
    """Return for each row group one entry a column, in column order."""
    decoders = [_DECODERS.get(kind or "") for kind in footer.types]
    return [
        [_stated(chunk[_META], decode) for chunk, decode in zip(group[_CHUNKS], decoders, strict=True)]
        for group in footer.content[_GROUPS]
    ]


def _stated(meta: Struct, decode: Callable[[bytes], Value] | None) -> Stated:
    facts: Struct = meta.get(_STATISTICS) or {}
    start = min(int(meta[field]) for field in (_DATA_PAGE, _DICTIONARY_PAGE) if meta.get(field) is not None)
    return Stated(
        nulls=facts.get(_NULLS),
        low=_bound(facts.get(_MIN), facts.get(_MIN_EXACT), decode),
        high=_bound(facts.get(_MAX), facts.get(_MAX_EXACT), decode),
        raw_bytes=int(meta[_RAW_BYTES]),
        start=start,
        end=start + int(meta[_SIZE_BYTES]),
    )


def _bound(data: bytes | None, exact: bool | None, decode: Callable[[bytes], Value] | None) -> Value:  # noqa: FBT001 -- a field
    if data is None or exact is False or decode is None:
        return None
    try:
        return decode(data)
    except (struct.error, UnicodeDecodeError):
        return None


def _number(code: str) -> Callable[[bytes], Value]:
    layout = struct.Struct(code)
    return lambda data: layout.unpack(data)[0]


_DECODERS: dict[str, Callable[[bytes], Value]] = {
    "FLOAT64": _number("<d"),
    "INT64": _number("<q"),
    "TIMESTAMP": _number("<q"),
    "BOOL": _number("<?"),
    "STRING": lambda data: data.decode(),
}
