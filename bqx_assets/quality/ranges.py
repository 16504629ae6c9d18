"""Which columns are read together, and which bytes of the file that takes.

Belongs here: groups of columns under a byte bound, their ranges, and every byte being in one range. Does not: reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bqx_assets.quality.statistics import StatedGroup

GROUP_BYTES = 32 << 20
"""Decoded size of the columns in work at once; one column of a very long row group may pass it.

Encoded they take about half: blocks that the allocator keeps, where larger ones are mapped anew each time.
"""
_GROUP_COLUMNS = 512
_CELL_BYTES = {"BOOL": 1, "STRING": 16}
_DELTA_BYTE_ARRAY = 7
"""An encoding, by parquet.thrift."""
_GAP_BYTES = 128 << 10
"""Bytes that nobody needs are read where they are fewer: a request takes as long as that many bytes."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes read at once; of them those before ``counted_from`` belong to an earlier range as well."""

    start: int
    end: int
    counted_from: int
    """``end``: all of them."""


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of one row group read and decoded together, by position, ascending."""

    row_group: int
    places: tuple[int, ...]
    ranges: tuple[Range, ...]


def column_groups(
    types: Sequence[str | None], stated: StatedGroup, places: Sequence[int], bound_bytes: int
) -> list[list[int]]:
    """Return ``places`` (column positions, ascending) cut into groups of at most ``bound_bytes`` decoded."""
    groups: list[list[int]] = []
    room_bytes = 0
    for place in places:
        size_bytes = _CELL_BYTES.get(types[place] or "", 8) * stated.rows
        if types[place] == "STRING":
            # Where each text states only how it differs from the one before, its stored bytes tell nothing: alone.
            size_bytes += bound_bytes if _DELTA_BYTE_ARRAY in stated.encodings[place] else stated.raw_bytes[place]
        if not groups or size_bytes > room_bytes or len(groups[-1]) == _GROUP_COLUMNS:
            groups.append([])
            room_bytes = bound_bytes
        groups[-1].append(place)
        room_bytes -= size_bytes
    return groups


def group_of(row_group: int, places: Sequence[int], stated: StatedGroup) -> Group:
    """Return columns of a row group with their bytes: one range where their chunks lie together, else one for each."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((stated.start[place], stated.end[place]) for place in places):
        if merged and start <= merged[-1][1] + _GAP_BYTES:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return Group(row_group, tuple(places), tuple(Range(start, end, start) for start, end in merged))


def counted_once(groups: Sequence[Group], end: int) -> list[Group]:
    """Return the groups with each byte before ``end`` counted in at most one range, small gaps read along.

    Between a slab's last column and the next slab lies its own footer; of the columns of a damaged file anything is
    possible, ranges within each other included.
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
    """Return the group as one whose bytes all belong to other groups' ranges as well."""
    return replace(group, ranges=tuple(replace(each, counted_from=each.end) for each in group.ranges))


def holes(groups: Sequence[Group], end: int, piece_bytes: int) -> list[tuple[int, int]]:
    """Return the stretches (start, end) before ``end`` that no range counts, in pieces."""
    found: list[tuple[int, int]] = []
    sofar = 0
    counted = sorted((each.counted_from, each.end) for group in groups for each in group.ranges)
    for start, stop in sorted([*counted, (end, end)]):
        found += [(at, min(at + piece_bytes, start)) for at in range(sofar, start, piece_bytes)]
        sofar = max(sofar, stop)
    return found
