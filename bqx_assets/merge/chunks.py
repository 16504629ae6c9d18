"""One column chunk as a footer states it: where it lies, how it is encoded, and its statistics as bytes.

Belongs here: a chunk's fields, and which of them cannot be. Does not: what statistics mean (``bounds``), its pages.

**Source**: parquet-format, ``ColumnMetaData``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bqx_assets.merge.bounds import UNKNOWN, Stated, Value, carried, decoder
from bqx_assets.merge.fields import (
    BLOOM_FILTER,
    BOOLEAN,
    BYTE_ARRAY,
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
from bqx_assets.merge.schema import Leaf
from bqx_assets.merge.thrift import Struct

_WIDTHS = {BOOLEAN: 1, INT32: 4, INT64: 8, FLOAT: 4, DOUBLE: 8}
"""Bytes of a bound: DuckDB refuses a file with another one."""
_MOST_PACKED = 1 << 20
"""Bytes that no codec makes one byte of: a page of 16 MiB of one value takes some 20."""
_ENCODINGS = frozenset(range(SPLIT + 1)) - {1}
"""All but one that was never in use."""


class Chunk(NamedTuple):
    """One column's part of a row group. A tuple takes a quarter of the memory of the fields as they are parsed."""

    path: bytes
    kind: int
    values: int
    encodings: tuple[int, ...]
    codec: int
    raw_bytes: int
    """Uncompressed, as encoded."""
    size_bytes: int
    data_page: int
    dictionary_page: int
    nulls: int
    low: bytes | None
    high: bytes | None
    low_exact: bool | None
    high_exact: bool | None
    """None: the footer does not say whether the bound was shortened."""
    beyond: tuple[int, ...]
    """Where its page indexes and its Bloom filter lie."""
    histograms: tuple[int, int, bool]
    """Of its size statistics: repetition and definition levels counted, and whether a text's bytes are."""

    def stated(self, decode: Callable[[bytes | None], Value | bytes]) -> Stated:
        """Return what is stated of its values, by its type's ``decoder``."""
        nulls = None if self.nulls == UNKNOWN else self.nulls
        return Stated(nulls, decode(self.low), decode(self.high), self.low_exact, self.high_exact)

    @property
    def start(self) -> int:
        """Its first byte in the file."""
        return self.data_page if self.dictionary_page == UNKNOWN else self.dictionary_page

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + self.size_bytes


def made_chunk(chunk: Struct) -> Chunk:
    """Return a chunk from its fields. Raises ValueError where its bytes are in another file or encrypted."""
    if any(field in chunk for field in (FILE_PATH, CRYPTO, ENCRYPTED_META)):
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
        encodings=tuple(meta[ENCODINGS]),
        codec=meta[CODEC],
        raw_bytes=meta[RAW_BYTES],
        size_bytes=meta[SIZE_BYTES],
        data_page=meta[DATA_PAGE],
        # 0 is some writers' word for none.
        dictionary_page=meta.get(DICTIONARY_PAGE) or UNKNOWN,
        nulls=facts.get(NULLS, UNKNOWN),
        low=low,
        high=high,
        low_exact=facts.get(LOW_EXACT),
        high_exact=facts.get(HIGH_EXACT),
        beyond=tuple(each for each in places if each is not None),
        histograms=(len(sizes.get(2) or ()), len(sizes.get(3) or ()), 1 in sizes),
    )


def bounds_of(facts: Struct, kind: int) -> tuple[bytes | None, bytes | None]:
    """Return the bounds in statistics of a chunk or a page. Raises ValueError where they are of another type's size.

    Older writers state numbers' bounds in fields without an order; of texts those are of no use to anybody.
    """
    bounds = [facts[field] for field in (OLD_LOW, OLD_HIGH, LOW, HIGH) if field in facts]
    if any(len(each) != _WIDTHS.get(kind, len(each)) for each in bounds):
        raise ValueError(f"bounds of {[len(each) for each in bounds]} bytes for physical type {kind}")
    old = kind < BYTE_ARRAY and LOW not in facts and HIGH not in facts
    return facts.get(OLD_LOW if old else LOW), facts.get(OLD_HIGH if old else HIGH)


def checked(chunk: Chunk, leaf: Leaf, rows: int, data: tuple[int, int]) -> Chunk:
    """Return the chunk without its path. ``data``: first and last byte that columns may take.

    Raises:
        ValueError: not a chunk of that column and of so many rows, or one that some reader refuses.
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
    if not rows:  # no page at all, as some writers have it: its offsets may be anything
        return chunk._replace(path=b"", data_page=data[0], dictionary_page=UNKNOWN, size_bytes=0, raw_bytes=0, nulls=0)
    last = chunk.data_page if chunk.dictionary_page == UNKNOWN else max(chunk.data_page, chunk.dictionary_page + 1)
    if not data[0] <= chunk.start <= chunk.data_page == last < chunk.end <= data[1] or chunk.raw_bytes < 0:
        raise ValueError(f"at {chunk.start:,}, {chunk.size_bytes:,} bytes, not within {data[0]:,} to {data[1]:,}")
    if chunk.raw_bytes > chunk.size_bytes * (_MOST_PACKED if chunk.codec else 1):
        raise ValueError(f"{chunk.raw_bytes:,} bytes in {chunk.size_bytes:,} of codec {chunk.codec}")
    if any(not data[0] <= place < data[1] for place in chunk.beyond):
        raise ValueError("a page index or Bloom filter outside the file")
    return chunk._replace(path=b"")


def refuse_overlap(chunks: Iterable[tuple[Chunk, Leaf]]) -> None:
    """Raise ValueError where two chunks share bytes."""
    sofar = 0
    for chunk, leaf in sorted(((c, leaf) for c, leaf in chunks if c.size_bytes), key=lambda each: each[0].start):
        if chunk.start < sofar:
            raise ValueError(f"{leaf.name} at {chunk.start:,}, within another column that ends at {sofar:,}")
        sofar = chunk.end


def moved(chunk: Chunk, offset: int) -> Chunk:
    """Return the chunk ``offset`` bytes further on."""
    pages = chunk.dictionary_page
    return chunk._replace(
        data_page=chunk.data_page + offset, dictionary_page=pages if pages == UNKNOWN else pages + offset
    )


def described(chunk: Chunk, leaf: Leaf) -> Struct:
    """Return the fields of a chunk as they are written.

    Only what was checked is written: page indexes and Bloom filters hold absolute offsets themselves, and nobody has
    counted distinct values or encodings.
    """
    meta: Struct = {
        KIND: chunk.kind,
        ENCODINGS: chunk.encodings,
        PATH: [leaf.name.encode()],
        CODEC: chunk.codec,
        VALUES: chunk.values,
        RAW_BYTES: chunk.raw_bytes,
        SIZE_BYTES: chunk.size_bytes,
        DATA_PAGE: chunk.data_page,
        DICTIONARY_PAGE: None if chunk.dictionary_page == UNKNOWN else chunk.dictionary_page,
        STATISTICS: carried(chunk.stated(decoder(leaf.type)), leaf),
    }
    return {CHUNK_OFFSET: 0, META: meta}
