"""Reads column chunks: groups columns, lists the byte ranges of a group, and decodes them into values.

Polars decodes the bytes as a small parquet file of their own: dictionaries in half the processor time that Arrow needs,
texts in a tenth. Floats in BYTE_STREAM_SPLIT are decoded by Arrow, in a third of the time that Polars needs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.frame_files import PARQUET_MAGIC, read_parquet
from bqx_assets.base.parquet_fields import DOUBLE, SPLIT
from bqx_assets.base.printable import first_line
from bqx_assets.merge.chunks import Chunk, moved
from bqx_assets.merge.footer import Footer, RowGroup, footer_as_file, merge_footers
from bqx_assets.merge.pages import Page, check_pages, false_pages
from bqx_assets.merge.schema import Leaf
from bqx_assets.quality.scan import StatedGroup

GROUP_BYTES = 32 << 20
"""Decoded size of the columns that are decoded at once; one column of a very long row group may exceed it.

The encoded size is about half: the allocator reuses blocks of that size, and maps larger ones anew each time.
"""
_GROUP_COLUMNS = 512
_DELTA_BYTE_ARRAY = 7
"""The number of this encoding in parquet.thrift."""
_GAP_BYTES = 128 << 10
"""Gaps of fewer unneeded bytes are read along: another request would take as long."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes that are read at once; those before ``counted_from`` belong to an earlier range as well."""

    start: int
    end: int
    counted_from: int
    """Equal to ``end`` if all bytes belong to earlier ranges."""


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of one row group that are read and decoded together."""

    row_group: int
    places: tuple[int, ...]
    """Positions of the columns, ascending."""
    ranges: tuple[Range, ...]


def column_groups(
    types: Sequence[str | None], stated: StatedGroup, places: Sequence[int], bound_bytes: int
) -> list[list[int]]:
    """Return ``places`` (column positions, ascending) cut into groups of at most ``bound_bytes`` decoded."""
    groups: list[list[int]] = []
    room_bytes = 0
    for place in places:
        known = COLUMN_TYPES.get(types[place] or "")
        size_bytes = (known.cell_bytes if known else 8) * stated.rows
        if types[place] == "STRING":
            # This encoding stores only how a text differs from the one before. Its stored size says nothing about the
            # decoded size, so the column is a group of its own.
            size_bytes += bound_bytes if _DELTA_BYTE_ARRAY in stated.encodings[place] else stated.raw_bytes[place]
        if not groups or size_bytes > room_bytes or len(groups[-1]) == _GROUP_COLUMNS:
            groups.append([])
            room_bytes = bound_bytes
        groups[-1].append(place)
        room_bytes -= size_bytes
    return groups


def group_of(row_group: int, places: Sequence[int], stated: StatedGroup) -> Group:
    """Return columns of a row group with the ranges of their bytes; neighbouring chunks share a range."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((stated.start[place], stated.end[place]) for place in places):
        if merged and start <= merged[-1][1] + _GAP_BYTES:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return Group(row_group, tuple(places), tuple(Range(start, end, start) for start, end in merged))


def counted_once(groups: Sequence[Group], end: int) -> list[Group]:
    """Return the groups with each byte before ``end`` counted in at most one range; small gaps are read along.

    A gap may be a slab's own footer, which lies between its last column and the next slab. Ranges of a damaged file may
    overlap in any way.
    """
    order = sorted(
        (each.start, number, place) for number, group in enumerate(groups) for place, each in enumerate(group.ranges)
    )
    changed = [list(group.ranges) for group in groups]
    sofar = 0
    for at, (start, number, place) in enumerate(order):
        each = changed[number][place]
        following = order[at + 1][0] if at + 1 < len(order) else end
        first = 0 if at == 0 and start <= _GAP_BYTES else start
        last = following if each.end < following <= each.end + _GAP_BYTES else each.end
        changed[number][place] = Range(first, last, min(max(first, sofar), last))
        sofar = max(sofar, last)
    return [replace(group, ranges=tuple(ranges)) for group, ranges in zip(groups, changed, strict=True)]


def uncounted(group: Group) -> Group:
    """Return the group marked as one whose bytes all belong to ranges of other groups."""
    return replace(group, ranges=tuple(replace(each, counted_from=each.end) for each in group.ranges))


def holes(groups: Sequence[Group], end: int, piece_bytes: int) -> list[tuple[int, int]]:
    """Return the gaps (start, end) before ``end`` that no range counts, in pieces of at most ``piece_bytes``."""
    found: list[tuple[int, int]] = []
    sofar = 0
    counted = sorted((each.counted_from, each.end) for group in groups for each in group.ranges)
    for start, stop in sorted([*counted, (end, end)]):
        found += [(at, min(at + piece_bytes, start)) for at in range(sofar, start, piece_bytes)]
        sofar = max(sofar, stop)
    return found


Block = tuple[int, bytes]
"""The position of some bytes in the file, and the bytes."""
_Column = tuple[Leaf, Chunk]


class Unreadable(Exception):
    """Says that a group of columns could not be decoded."""


def decode(
    footer: Footer,
    group: StatedGroup,
    places: Sequence[int],
    blocks: Sequence[Block],
    false: dict[int, str] | None = None,
) -> pl.DataFrame:
    """Return a row group's columns at ``places``, named by position. **Cost**: a copy of most of ``blocks``.

    **Shape**: the row group's rows x ``places``. ``blocks`` ascend and contain every byte of the columns. If ``false``
    is given, the statistics in page headers are compared with the values, and differences are added to it by position.

    Raises:
        Unreadable: the bytes cannot be decoded as these columns.
    """
    starts = [start for start, _ in blocks]
    ahead = [sum(len(data) for _, data in blocks[:number]) - start for number, start in enumerate(starts)]
    data = blocks[0][1] if len(blocks) == 1 else b"".join(data for _, data in blocks)
    columns: list[_Column] = []
    pages: list[list[Page]] = []
    try:
        for place in places:
            leaf = footer.leaves[place]._replace(name=str(place))
            chunk = group.chunk(place, leaf.kind)
            columns.append((leaf, moved(chunk, ahead[bisect_right(starts, chunk.start) - 1])))
            pages.append(check_pages(lambda start, length: data[start : start + length], columns[-1][1], leaf))
    except (ValueError, IndexError) as error:
        raise Unreadable(first_line(error)) from error
    split = [column for column in columns if _is_split(*column)]
    others = [column for column in columns if not _is_split(*column)]
    try:
        frames = [_by_arrow(data, split, group.rows)] if split else []
        frames += [_by_polars(data, others, group.rows)] if others else []
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(first_line(error)) from error
    if rows := [each.height for each in frames if each.height != group.rows]:
        raise Unreadable(f"{rows[0]:,} rows decoded, {group.rows:,} stated")
    frame = pl.concat(frames, how="horizontal").select(str(place) for place in places)
    if false is not None:
        for place, found in zip(places, pages, strict=True):
            if wrong := false_pages(found, frame[str(place)]):
                false[place] = wrong
    return frame


def _is_split(leaf: Leaf, chunk: Chunk) -> bool:
    return leaf.kind == DOUBLE and SPLIT in chunk.encodings


def _by_arrow(data: bytes, columns: Sequence[_Column], rows: int) -> pl.DataFrame:
    """Return columns whose bytes lie in ``data``. Nothing is copied: Arrow gets their footer beside the bytes."""
    metadata = pq.read_metadata(pa.BufferReader(footer_as_file(_end(columns, rows))))
    file = pq.ParquetFile(pa.BufferReader(data), metadata=metadata)
    return cast("pl.DataFrame", pl.from_arrow(file.read_row_group(0, use_threads=False), rechunk=False))


def _by_polars(data: bytes, columns: Sequence[_Column], rows: int) -> pl.DataFrame:
    """Return columns whose bytes lie in ``data``. **Cost**: a copy of the bytes, which become a small file."""
    view, end_bytes = memoryview(data), len(PARQUET_MAGIC)
    pieces: list[memoryview] = []
    placed: list[_Column] = []
    for leaf, chunk in columns:
        pieces.append(view[chunk.start : chunk.end])
        placed.append((leaf, moved(chunk, end_bytes - chunk.start)))
        end_bytes += len(pieces[-1])
    return read_parquet(b"".join((PARQUET_MAGIC, *pieces, _end(placed, rows))), use_statistics=False)


def _end(columns: Sequence[_Column], rows: int) -> bytes:
    leaves, chunks = zip(*columns, strict=True)
    return merge_footers([[Footer("", 0, leaves, (RowGroup(rows, chunks),))]], (rows,), {})
