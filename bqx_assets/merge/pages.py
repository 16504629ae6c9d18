"""Compares a column chunk's pages with what their headers and the footer state: sizes, checksums and statistics.

Nothing is decoded here. Readers verify checksums only when they are told to, and each reader finds other
contradictions: where one refuses a page, another reads wrong values from it.

**Source**: parquet-format, ``PageHeader``; the CRC-32 is that of the page's bytes as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, NamedTuple, cast
from zlib import crc32

import polars as pl

from bqx_assets.base.errors import FooterError
from bqx_assets.base.parquet_fields import (
    BIT_PACKED,
    BOOLEAN,
    BYTE_ARRAY,
    DELTA,
    DELTA_BYTES,
    DELTA_LENGTH,
    DOUBLE,
    FIXED,
    FLOAT,
    GZIP,
    HIGH,
    HIGH_EXACT,
    INT32,
    INT64,
    INT96,
    LENGTH,
    LOW,
    LOW_EXACT,
    NULLS,
    OLD_HIGH,
    OLD_LOW,
    PAGE_BYTES,
    PAGE_CRC,
    PAGE_DICTIONARY,
    PAGE_HEADER,
    PAGE_KIND,
    PAGE_RAW_BYTES,
    PAGE_V1,
    PAGE_V2,
    PLAIN,
    PLAIN_DICTIONARY,
    RLE,
    RLE_DICTIONARY,
    SNAPPY,
    SPLIT,
    UNCOMPRESSED,
)
from bqx_assets.base.thrift import Struct, parse, varint
from bqx_assets.merge.chunks import UNKNOWN, Chunk, Stated, Value, bounds_of, decoder
from bqx_assets.merge.footer import Footer, Read
from bqx_assets.merge.schema import Leaf

_NOTHING = Stated(None, None, None)
_HEADER_BYTES = 256
"""First read of a page header; a longer one, which contains long bounds, is read again."""
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_WIDTHS = {INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8}
"""Bytes of a plain value, by physical type."""
_DICTIONARIES = frozenset((PLAIN_DICTIONARY, RLE_DICTIONARY))
_OLD_ENCODINGS = frozenset((PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY, RLE, BIT_PACKED))
_OLD_CODECS = frozenset((UNCOMPRESSED, SNAPPY, GZIP))
_KINDS = {
    PLAIN: frozenset(range(8)),
    RLE: frozenset((BOOLEAN,)),
    DELTA: frozenset((INT32, INT64)),
    DELTA_LENGTH: frozenset((BYTE_ARRAY,)),
    DELTA_BYTES: frozenset((BYTE_ARRAY, FIXED)),
    SPLIT: frozenset((INT32, INT64, FLOAT, DOUBLE, FIXED)),
    **dict.fromkeys(_DICTIONARIES, frozenset(range(1, 8))),
}
"""The physical types that a data page of each encoding may have."""


class Page(NamedTuple):
    """A data page: its values, and the statistics in its header."""

    values: int
    stated: Stated
    bounded: bool
    """Whether its header contains any statistics."""


def refuse_damaged_pages(file: BinaryIO, footer: Footer, columns: Iterable[str]) -> dict[str, list[Page]]:
    """Compare the pages of ``columns`` with their headers and the footer, and return the data pages by column.

    Columns that the file does not have are ignored. **Cost**: reads 256 bytes a page, and all bytes of pages that have
    a checksum.

    Raises:
        FooterError: a page is damaged or contradicts its column; names the column.
    """
    wanted = {*columns}
    found: dict[str, list[Page]] = {}

    def read(start: int, length: int) -> bytes:
        file.seek(start)
        return file.read(length)

    for place, leaf in enumerate(footer.leaves):
        for group in footer.groups if leaf.name in wanted else ():
            try:
                found[leaf.name] = [*found.get(leaf.name, ()), *check_pages(read, group.chunks[place], leaf)]
            except (ValueError, IndexError) as error:
                expected = "pages as their headers, their checksums and the footer state them"
                raise _refused(footer, leaf, str(error), expected) from error
    return found


def unordered_texts(footer: Footer, pages: Mapping[str, Sequence[Page]]) -> bool:
    """Return whether pages of text columns have bounds in an order that the footer does not state.

    Such pages cannot be copied into a file whose footer states an order for all columns.
    """
    ordered = {leaf.name for leaf in footer.leaves if leaf.ordered or leaf.type != "STRING"}
    return any(page.bounded for name, found in pages.items() if name not in ordered for page in found)


def newer_than_2015(footer: Footer) -> bool:
    """Return whether a column has an encoding or a codec that some readers of 2015 do not know."""
    chunks = [chunk for group in footer.groups for chunk in group.chunks]
    return any(chunk.codec not in _OLD_CODECS or not _OLD_ENCODINGS.issuperset(chunk.encodings) for chunk in chunks)


def refuse_false_statistics(footer: Footer, frame: pl.DataFrame, pages: Mapping[str, Sequence[Page]]) -> None:
    """Compare the statistics that a merge copies, those of chunks and those in page headers, with the values.

    DuckDB skips pages by the statistics in their headers, and a splice copies these with the pages.
    **Shape**: ``frame`` has the file's rows and any of its columns; ``pages`` come from ``refuse_damaged_pages``.
    **Cost**: six passes over the values.

    Raises:
        FooterError: statistics and values differ, so one of them is damaged; names the column.
    """
    places = {name: place for place, name in enumerate(footer.columns)}
    for series in frame.iter_columns():
        leaf, first = footer.leaves[places[series.name]], 0
        for group in footer.groups:
            stated = group.chunks[places[series.name]].stated(decoder(leaf.type))
            known = stated if leaf.ordered else Stated(stated.nulls, None, None)
            wrong = _wrong(known, series[first : first + group.rows])
            first += group.rows
            if wrong:
                raise _refused(footer, leaf, wrong, "statistics as the values are")
        wrong = false_pages(pages[series.name], series)
        if wrong:
            raise _refused(footer, leaf, wrong, "statistics as the values are")


def false_pages(pages: Iterable[Page], series: pl.Series) -> str:
    """Return how the statistics in a page's header differ from the page's values; empty if they agree."""
    first = 0
    for page in pages:
        wrong = _wrong(page.stated, series[first : first + page.values]) if page.bounded else ""
        if wrong:
            return f"a page of rows from {first:,}: {wrong}"
        first += page.values
    return ""


def _wrong(stated: Stated, series: pl.Series) -> str:
    part = series.to_physical() if series.dtype.is_temporal() else series
    wrong = stated.wrong(part.null_count(), cast("Value", part.min()), cast("Value", part.max()))
    return "" if wrong and part.dtype.is_float() and part.is_nan().any() else wrong


def check_pages(read: Read, chunk: Chunk, leaf: Leaf) -> list[Page]:
    """Compare a chunk's pages with their headers and the footer, and return its data pages.

    Raises:
        ValueError: they contradict each other, or a page fails its checksum.
        IndexError: a header does not end.
    """
    at, raw_bytes, dictionary = chunk.start, 0, False
    pages: list[Page] = []
    first = at
    while at < chunk.end:
        header, body = _header(read, at, chunk.end)
        size = _checked_size(header, chunk.end - body)
        if header.get(PAGE_CRC) is not None and crc32(read(body, size)) != header[PAGE_CRC] & 0xFFFFFFFF:
            raise ValueError(f"the page at byte {at:,} fails its own CRC-32")
        if header[PAGE_KIND] == _DICTIONARY:
            if at != first or not _is_dictionary(header, leaf):
                raise ValueError(
                    f"no dictionary of {header[PAGE_DICTIONARY][1]:,} values at byte {at:,}, or another one"
                )
            dictionary = True
        else:
            pages.append(_page(header, _values(header, chunk, leaf, dictionary=dictionary), leaf))
            if leaf.optional:
                _refuse_levels(read, body, header, chunk)
        if at == first and chunk.dictionary_page != UNKNOWN and (not dictionary or body + size != chunk.data_page):
            raise ValueError(f"no dictionary page from byte {at:,} to {chunk.data_page:,}")
        raw_bytes += body - at + header[PAGE_RAW_BYTES]
        at = body + size
    values = sum(page.values for page in pages)
    if (values, raw_bytes) != (chunk.values, chunk.raw_bytes):
        raise ValueError(
            f"pages of {values:,} values, {raw_bytes:,} bytes; stated {chunk.values:,} and {chunk.raw_bytes:,}"
        )
    return pages


def _page(header: Struct, values: int, leaf: Leaf) -> Page:
    facts: Struct = header.get(PAGE_V1, {}).get(5) or header.get(PAGE_V2, {}).get(8) or {}
    if not facts:
        return Page(values, _NOTHING, bounded=False)
    low, high = map(decoder(leaf.type), bounds_of(facts, leaf.kind))
    stated = Stated(facts.get(NULLS), low, high, facts.get(LOW_EXACT), facts.get(HIGH_EXACT))
    return Page(values, stated, bounded=any(field in facts for field in (OLD_LOW, OLD_HIGH, LOW, HIGH, NULLS)))


def _refused(footer: Footer, leaf: Leaf, got: str, expected: str) -> FooterError:
    cure = "Fetch the file again, or write it again from its source."
    return FooterError(footer.subject, got=f"column {leaf.name}: {got}", expected=expected, cure=cure)


def _header(read: Read, at: int, end: int) -> tuple[Struct, int]:
    """Return a page's header, and the position of its content."""
    length = min(_HEADER_BYTES, end - at)
    try:
        header, size = parse(read(at, length), PAGE_HEADER)
    except (ValueError, IndexError):
        if length == end - at:
            raise
        header, size = parse(read(at, end - at), PAGE_HEADER)
    return header, at + size


def _checked_size(header: Struct, room_bytes: int) -> int:
    size, raw_bytes = header[PAGE_BYTES], header[PAGE_RAW_BYTES]
    of_kind = {_DATA: PAGE_V1, _DICTIONARY: PAGE_DICTIONARY, _DATA_V2: PAGE_V2}.get(header[PAGE_KIND])
    if of_kind is None or of_kind not in header:
        raise ValueError(f"a page of type {header[PAGE_KIND]} without its header")
    if not 0 <= size <= room_bytes or raw_bytes < 0:
        raise ValueError(f"a page of {size:,} bytes, {room_bytes:,} left")
    return int(size)


def _refuse_levels(read: Read, body: int, header: Struct, chunk: Chunk) -> None:
    """Check the definition levels, which mark the nulls, if they are stored uncompressed.

    Only 0 and 1 are valid. Polars reads any other level as one of them; pyarrow refuses the file.
    Raises ValueError, IndexError.
    """
    if header[PAGE_KIND] == _DATA_V2:
        values, data = header[PAGE_V2][1], read(body, header[PAGE_V2][5])
    elif chunk.codec == UNCOMPRESSED:
        values, size = header[PAGE_V1][1], int.from_bytes(read(body, 4), "little")
        if size > header[PAGE_BYTES] - 4:
            raise ValueError(f"levels of {size:,} bytes in a page of {header[PAGE_BYTES]:,}")
        data = read(body + 4, size)
    else:
        return
    at = known = 0
    while known < values:
        run, at = varint(data, at)
        if run & 1:  # groups of eight levels, a bit each
            known, at = known + 8 * (run >> 1), at + (run >> 1)
        elif run == 0 or data[at] > 1:
            raise ValueError(f"a level of {data[at]} where there are nulls and values alone")
        else:
            known, at = known + (run >> 1), at + 1
    if at > len(data):
        raise ValueError(f"{values:,} levels, more than their {len(data):,} bytes hold")


def _is_dictionary(header: Struct, leaf: Leaf) -> bool:
    page, raw_bytes = header[PAGE_DICTIONARY], header[PAGE_RAW_BYTES]
    width = leaf.element.get(LENGTH) if leaf.kind == FIXED else _WIDTHS.get(leaf.kind)
    fit = page[1] * width == raw_bytes if width else 0 <= 4 * page[1] <= raw_bytes
    return fit and page[2] in (PLAIN, PLAIN_DICTIONARY)


def _values(header: Struct, chunk: Chunk, leaf: Leaf, *, dictionary: bool) -> int:
    """Return how many values a data page has. Raises ValueError where its encoding does not fit its column."""
    if header[PAGE_KIND] == _DATA:
        values, encoding, levels, repetitions = (header[PAGE_V1][field] for field in (1, 2, 3, 4))
        fit = levels in (RLE, BIT_PACKED)[: 2 - leaf.optional] and repetitions in (RLE, BIT_PACKED)
        stored = chunk.codec != UNCOMPRESSED
        level_bytes = 0
    else:
        page = header[PAGE_V2]
        values, encoding, level_bytes = page[1], page[4], page[5]
        fit = 0 <= page[2] <= values == page[3] and page[6] == 0 <= level_bytes and (leaf.optional or not page[2])
        stored = chunk.codec != UNCOMPRESSED and page.get(7, True)
    size, raw_bytes = header[PAGE_BYTES], header[PAGE_RAW_BYTES]
    if not fit or values < 0 or level_bytes > min(size, raw_bytes) or (not stored and size != raw_bytes):
        raise ValueError(f"a page of {values:,} values whose header contradicts itself or its column")
    known = {RLE_DICTIONARY if each == PLAIN_DICTIONARY else each for each in chunk.encodings}
    if (
        leaf.kind not in _KINDS.get(encoding, ())
        or (RLE_DICTIONARY if encoding == PLAIN_DICTIONARY else encoding) not in known
        or (encoding in _DICTIONARIES and not dictionary)
    ):
        raise ValueError(f"a page of encoding {encoding}, physical type {leaf.kind}, stated {chunk.encodings}")
    return int(values)
