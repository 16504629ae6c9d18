"""Describes a column chunk as a footer states it: its position, its encoding, and the statistics of its values.

**Source**: parquet-format, ``ColumnMetaData``, ``Statistics`` and ``ColumnOrder``; bounds are in plain encoding.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any, NamedTuple

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.parquet_fields import (
    BLOOM_FILTER,
    BOOLEAN,
    BYTE_ARRAY,
    CHUNK,
    CHUNK_OFFSET,
    CODEC,
    COLUMN_INDEX,
    CRYPTO,
    DATA_PAGE,
    DICTIONARY_PAGE,
    DOUBLE,
    ENCODING_STATS,
    ENCODINGS,
    ENCRYPTED_META,
    FILE_PATH,
    FLOAT,
    HIGH,
    HIGH_EXACT,
    INT32,
    INT64,
    KIND,
    LOW,
    LOW_EXACT,
    LZ4,
    LZO,
    META,
    NULLS,
    OFFSET_INDEX,
    OLD_HIGH,
    OLD_LOW,
    OLD_LZ4,
    PATH,
    RAW_BYTES,
    SIZE_BYTES,
    SIZES,
    SPLIT,
    STATISTICS,
    VALUES,
)
from bqx_assets.base.thrift import Struct, render
from bqx_assets.merge.schema import Leaf

Value = float | int | str | bool | None

UNKNOWN = -1
"""Stands for a number that the footer does not state."""
_LONGEST_BYTES = 4096
"""The longest bounds that are kept, as in pyarrow. Longer ones would bloat a footer of 17,000 columns."""
_WRITER = re.compile(rb"(parquet-mr|parquet-cpp|impala)(?: version (\d+)\.(\d+))?")
_FIRST_RIGHT = {b"parquet-mr": (1, 10), b"parquet-cpp": (1, 3), b"impala": (3, 0)}
"""The first release of each writer whose text bounds are correct: PARQUET-251, PARQUET-1025, IMPALA-6527."""


class Stated(NamedTuple):
    """The statistics of one column chunk or page; None for what is not stated."""

    nulls: int | None
    low: Value | bytes
    high: Value | bytes
    """The bound of a text stays bytes: a shortened one may end within a character."""
    low_exact: bool | None = None
    high_exact: bool | None = None
    """Whether the bounds are values, not shortened ones; None where the footer does not say so."""

    def wrong(self, nulls: int, low: Value, high: Value) -> str:
        """Return how this differs from values with that many nulls, from ``low`` to ``high``; empty if it does not.

        The bound of a text may be shortened unless the footer says otherwise: it is right if no value exceeds it.
        """
        found = (
            ("nulls", self.nulls, nulls, self.nulls not in (None, nulls)),
            ("min", self.low, low, _excluded(self.low, low, exact=self.low_exact, upper=False)),
            ("max", self.high, high, _excluded(self.high, high, exact=self.high_exact, upper=True)),
        )
        return "; ".join(f"{word} {_shown(told)} stated, {_shown(is_)} found" for word, told, is_, bad in found if bad)


def texts_unordered(creator: bytes) -> bool:
    """Return whether text bounds of this writer are unreliable, although it states their order."""
    found = _WRITER.match(creator)
    if found is None:
        return not creator
    version = (int(found[2]), int(found[3])) if found[2] else (0, 0)
    return b"arrow" not in creator and version < _FIRST_RIGHT[found[1]]


@cache
def decoder(type_name: str | None) -> Callable[[bytes | None], Value | bytes]:
    """Return the function that decodes a bound of that type, by BigQuery's name; it returns None for other types."""
    known = COLUMN_TYPES.get(type_name or "")
    if known is None:
        return lambda _: None
    if known.bound_code is None:
        return lambda data: data
    layout = struct.Struct(known.bound_code)
    # A bound of another length than its type's values is refused with its chunk.
    return lambda data: None if data is None else layout.unpack(data)[0]


def kept_statistics(stated: Stated, leaf: Leaf) -> Struct | None:
    """Return the statistics, as fields, that a merged file may keep; None if there are none.

    A reader skips rows by them, so bounds that may be wrong for any reader are dropped.
    """
    facts: Struct = {} if stated.nulls is None else {NULLS: stated.nulls}
    low, high = stated.low, stated.high
    if not leaf.ordered or low is None or high is None:
        return facts or None
    if isinstance(low, bytes) and isinstance(high, bytes):
        fit = max(len(low), len(high)) <= _LONGEST_BYTES and _ascend(low, high)
        bounds = (low, high)
    else:
        fit = low <= high  # type: ignore[operator] # NaN is in no order
        code = COLUMN_TYPES[leaf.type or ""].bound_code or ""
        # The format demands it: as a lower bound a zero means -0.0, as an upper bound +0.0.
        signed = (-0.0 if low == 0 else low, 0.0 if high == 0 else high) if code == "<d" else (low, high)
        bounds = struct.pack(code, signed[0]), struct.pack(code, signed[1])
    if fit:
        facts |= {LOW: bounds[0], HIGH: bounds[1], LOW_EXACT: stated.low_exact, HIGH_EXACT: stated.high_exact}
    return facts or None


def _ascend(low: bytes, high: bytes) -> bool:
    try:
        return low.decode() <= high.decode()
    except UnicodeDecodeError:  # DuckDB refuses a file with a bound that is not text
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


_WIDTHS = {BOOLEAN: 1, INT32: 4, INT64: 8, FLOAT: 4, DOUBLE: 8}
"""Bytes of a bound, by physical type: DuckDB refuses a file with a bound of another length."""
_MOST_PACKED = 1 << 20
"""Bytes that no codec can compress into one: a page of 16 MiB of a single value takes about 20 bytes."""
_ENCODINGS = frozenset(range(SPLIT + 1)) - {1}
"""All encodings; number 1 was never in use."""


class Chunk(NamedTuple):
    """One column's part of a row group. A tuple takes a quarter of the memory of the parsed fields."""

    path: bytes
    kind: int
    values: int
    encodings: tuple[int, ...]
    codec: int
    raw_bytes: int
    """Size encoded but not compressed."""
    size_bytes: int
    data_page: int
    dictionary_page: int
    nulls: int
    low: bytes | None
    high: bytes | None
    low_exact: bool | None
    high_exact: bool | None
    """Whether the bounds were not shortened; None where the footer does not say so."""
    beyond: tuple[int, ...]
    """Positions of its page indexes and its Bloom filter."""
    histograms: tuple[int, int, bool]
    """From its size statistics: counts of repetition and definition levels, and whether bytes of texts are counted."""

    def stated(self, decode: Callable[[bytes | None], Value | bytes]) -> Stated:
        """Return the statistics of its values; ``decode`` is the ``decoder`` of its type."""
        nulls = None if self.nulls == UNKNOWN else self.nulls
        return Stated(nulls, decode(self.low), decode(self.high), self.low_exact, self.high_exact)

    @property
    def start(self) -> int:
        """The position of its first byte in the file."""
        return self.data_page if self.dictionary_page == UNKNOWN else self.dictionary_page

    @property
    def end(self) -> int:
        """The position behind its last byte."""
        return self.start + self.size_bytes


def parsed_chunk(chunk: Struct) -> Chunk:
    """Return a chunk from its parsed fields. Raises ValueError where its bytes are in another file or encrypted."""
    if FILE_PATH in chunk or CRYPTO in chunk or ENCRYPTED_META in chunk:
        raise ValueError("a column in another file or encrypted")
    meta: Struct = chunk[META]
    facts: Struct = meta.get(STATISTICS) or {}
    low, high = bounds_of(facts, meta[KIND])
    if not 0 <= facts.get(NULLS, 0) <= meta[VALUES]:
        raise ValueError(f"{facts[NULLS]:,} nulls of {meta[VALUES]:,} values")
    for each in meta.get(ENCODING_STATS) or ():
        if not 0 <= each[1] <= 3 or each[2] not in _ENCODINGS or each[3] < 0:  # noqa: PLR2004 -- the last kind of page
            raise ValueError(f"encoding statistics of {each[3]:,} pages of type {each[1]}, encoding {each[2]}")
    sizes: Struct = meta.get(SIZES) or {}
    places = (chunk.get(OFFSET_INDEX), chunk.get(COLUMN_INDEX), meta.get(BLOOM_FILTER))
    return Chunk(
        path=b"\0".join(meta[PATH]),
        kind=meta[KIND],
        values=meta[VALUES],
        encodings=_shared(*meta[ENCODINGS]),
        codec=meta[CODEC],
        raw_bytes=meta[RAW_BYTES],
        size_bytes=meta[SIZE_BYTES],
        data_page=meta[DATA_PAGE],
        # Some writers state 0 where there is no dictionary page.
        dictionary_page=meta.get(DICTIONARY_PAGE) or UNKNOWN,
        nulls=facts.get(NULLS, UNKNOWN),
        low=low,
        high=high,
        low_exact=facts.get(LOW_EXACT),
        high_exact=facts.get(HIGH_EXACT),
        beyond=tuple(each for each in places if each is not None),
        histograms=_shared(len(sizes.get(2) or ()), len(sizes.get(3) or ()), 1 in sizes),
    )


@lru_cache(1_000, typed=True)
def _shared(*numbers: Any) -> tuple[Any, ...]:  # noqa: ANN401 -- whole numbers and truths
    """Return a tuple that all chunks with these numbers share: tuples of their own took 200 bytes a chunk."""
    return numbers


def bounds_of(facts: Struct, kind: int) -> tuple[bytes | None, bytes | None]:
    """Return the bounds in statistics of a chunk or a page. Raises ValueError where their size does not fit ``kind``.

    Older writers state bounds in fields that have no defined order: usable for numbers, not for texts.
    """
    bounds = [facts[field] for field in (OLD_LOW, OLD_HIGH, LOW, HIGH) if field in facts]
    width = _WIDTHS.get(kind)
    if width is not None and bounds and {*map(len, bounds)} != {width}:
        raise ValueError(f"bounds of {[len(each) for each in bounds]} bytes for physical type {kind}")
    old = kind < BYTE_ARRAY and LOW not in facts and HIGH not in facts
    return facts.get(OLD_LOW if old else LOW), facts.get(OLD_HIGH if old else HIGH)


def checked_chunk(chunk: Chunk, leaf: Leaf, rows: int, data: tuple[int, int]) -> Chunk:
    """Return the chunk without its path. ``data``: the range of the file that columns may occupy.

    Raises:
        ValueError: this is not a chunk of that column with that many rows, or some reader refuses it.
    """
    if (chunk.path, chunk.kind, chunk.values) != (leaf.name.encode(), leaf.kind, rows):
        raise ValueError(f"path {chunk.path[:80]!r}, type {chunk.kind} or {chunk.values:,} values, not {rows:,}")
    if not 0 <= chunk.codec <= LZ4 or chunk.codec in (LZO, OLD_LZ4):
        raise ValueError(f"codec {chunk.codec}, which not all readers have: write it with ZSTD, SNAPPY or LZ4_RAW")
    if not _ENCODINGS.issuperset(chunk.encodings):
        raise ValueError(f"encodings {chunk.encodings}")
    repetitions, definitions, texts = chunk.histograms
    if repetitions > 1 or definitions not in (0, 1 + leaf.optional) or texts > (chunk.kind == BYTE_ARRAY):
        raise ValueError(f"size statistics of {repetitions} and {definitions} levels, of texts: {texts}")
    if not rows:  # some writers write no page at all: the offsets may be anything
        return chunk._replace(path=b"", data_page=data[0], dictionary_page=UNKNOWN, size_bytes=0, raw_bytes=0, nulls=0)
    last = chunk.data_page if chunk.dictionary_page == UNKNOWN else max(chunk.data_page, chunk.dictionary_page + 1)
    if not data[0] <= chunk.start <= chunk.data_page == last < chunk.end <= data[1] or chunk.raw_bytes < 0:
        raise ValueError(f"at {chunk.start:,}, {chunk.size_bytes:,} bytes, not within {data[0]:,} to {data[1]:,}")
    if chunk.raw_bytes > chunk.size_bytes * (_MOST_PACKED if chunk.codec else 1):
        raise ValueError(f"{chunk.raw_bytes:,} bytes in {chunk.size_bytes:,} of codec {chunk.codec}")
    if chunk.beyond and not data[0] <= min(chunk.beyond) <= max(chunk.beyond) < data[1]:
        raise ValueError("a page index or Bloom filter outside the file")
    return chunk._replace(path=b"", values=rows)


def refuse_overlap(chunks: Iterable[tuple[Chunk, Leaf]]) -> None:
    """Raise ValueError where two chunks share bytes."""
    sofar = 0
    for chunk, leaf in sorted(((c, leaf) for c, leaf in chunks if c.size_bytes), key=lambda each: each[0].start):
        if chunk.start < sofar:
            raise ValueError(f"{leaf.name} at {chunk.start:,}, within another column that ends at {sofar:,}")
        sofar = chunk.end


def moved(chunk: Chunk, offset: int) -> Chunk:
    """Return the chunk ``offset`` bytes further back in the file."""
    pages = chunk.dictionary_page
    return chunk._replace(
        data_page=chunk.data_page + offset, dictionary_page=pages if pages == UNKNOWN else pages + offset
    )


def render_chunk(chunk: Chunk, leaf: Leaf, offset: int) -> bytes:
    """Return the bytes that describe a chunk in a footer; ``offset``: how much further back in the file it lies.

    Only what was checked is written. Page indexes and Bloom filters contain absolute offsets themselves, and counts of
    distinct values or encodings were not verified.
    """
    pages = chunk.dictionary_page
    meta: Struct = {
        KIND: chunk.kind,
        ENCODINGS: chunk.encodings,
        PATH: [leaf.name.encode()],
        CODEC: chunk.codec,
        VALUES: chunk.values,
        RAW_BYTES: chunk.raw_bytes,
        SIZE_BYTES: chunk.size_bytes,
        DATA_PAGE: chunk.data_page + offset,
        DICTIONARY_PAGE: None if pages == UNKNOWN else pages + offset,
        STATISTICS: kept_statistics(chunk.stated(decoder(leaf.type)), leaf),
    }
    return render({CHUNK_OFFSET: 0, META: meta}, CHUNK)
