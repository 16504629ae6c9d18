"""Reads parquet footers, selects and renames their columns, and merges them into the footer of a concatenated file.

**Source**: parquet-format, ``parquet.thrift``. A reader finds all column data by absolute offsets in the footer, so
other bytes may lie between the columns: here the footers of the concatenated files.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from bqx_assets.base.errors import FooterError
from bqx_assets.base.files import open_regular
from bqx_assets.base.frame_files import PARQUET_MAGIC, TAIL_BYTES, parquet_end_bytes
from bqx_assets.base.parquet_fields import (
    CHILDREN,
    CHUNKS,
    CREATOR,
    ENCRYPTION,
    FILE_SCHEMA,
    GROUP,
    GROUP_BYTES,
    GROUP_COMPRESSED,
    GROUP_OFFSET,
    GROUP_ROWS,
    GROUPS,
    KEY_VALUES,
    NAME,
    ORDERS,
    ROWS,
    SCHEMA,
    SIGNING_KEY,
    VERSION,
    file_metadata,
)
from bqx_assets.base.printable import some_of
from bqx_assets.base.thrift import Struct, parse, render
from bqx_assets.merge.chunks import (
    Chunk,
    checked_chunk,
    moved,
    parsed_chunk,
    refuse_overlap,
    render_chunk,
    texts_unordered,
)
from bqx_assets.merge.schema import Leaf, leaves_of

CREATED_BY = b"bqx-assets"
Read = Callable[[int, int], bytes]
"""Reads bytes of a file: from where, and how many at most."""
_NAMED = 5
_FLAT = "flat columns as all readers take them"


class RowGroup(NamedTuple):
    """A row group: its number of rows, and one chunk for each column."""

    rows: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer of one flat parquet file, checked against the file's size and the format.

    **Cost**: about 400 bytes of memory a column chunk, 200 a column, and the key-value metadata.
    """

    subject: str
    file_bytes: int
    leaves: tuple[Leaf, ...]
    groups: tuple[RowGroup, ...]
    key_values: tuple[tuple[bytes, bytes], ...] = ()
    creator: bytes = b""
    """The program that wrote the file, as the file itself states it."""

    @property
    def rows(self) -> int:
        """The number of rows of the file."""
        return sum(self.row_groups)

    @property
    def row_groups(self) -> tuple[int, ...]:
        """The number of rows of each row group."""
        return tuple(group.rows for group in self.groups)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the file's order."""
        return tuple(leaf.name for leaf in self.leaves)

    @property
    def types(self) -> tuple[str | None, ...]:
        """BigQuery's name of each column's type; None for a type that a training file cannot contain."""
        return tuple(leaf.type for leaf in self.leaves)

    @property
    def raw_bytes(self) -> int:
        """The size of all columns, encoded but not compressed."""
        return sum(chunk.raw_bytes for group in self.groups for chunk in group.chunks)

    def metadata(self) -> dict[str, str]:
        """Return the key-value metadata. Raises FooterError where it is not text."""
        try:
            return {key.decode(): value.decode() for key, value in self.key_values}
        except UnicodeDecodeError as error:
            raise _mismatch(self.subject, "metadata that is not text", "UTF-8") from error


def read_footer(path: Path, subject: str = "") -> Footer:
    """Return a local file's footer. **Cost**: reads the footer, about 90 bytes a column chunk, and the first 4 bytes.

    Raises:
        FooterError: the file is not parquet, is cut short, damaged, encrypted or nested, or a chunk lies outside it.
    """
    subject = subject or path.name
    return parse_footer(*read_file_end(path, subject), subject)


def read_file_end(path: Path, subject: str) -> tuple[bytes, int]:
    """Return the end of a local file as ``read_end`` does, and the file's size. Raises FooterError."""
    try:
        with open_regular(path) as file:
            handle = file.fileno()
            file_bytes = os.fstat(handle).st_size

            def read(start: int, length: int) -> bytes:
                return os.pread(handle, length, start)

            end = read_end(read, file_bytes, subject)
            refuse_other_head(read(0, len(PARQUET_MAGIC)), file_bytes, subject)
            return end, file_bytes
    except OSError as error:
        raise _mismatch(subject, str(error), "a readable parquet file") from error


def read_end(read: Read, file_bytes: int, subject: str, *, guess_bytes: int = TAIL_BYTES) -> bytes:
    """Return the end of a parquet file: its footer, the footer's length and the magic.

    ``guess_bytes``: how much is read at first. **Cost**: one more read where the end is longer than that.

    Raises:
        FooterError: not the end of a parquet file.
    """
    first = max(0, file_bytes - max(guess_bytes, TAIL_BYTES))
    last = read(first, file_bytes - first)
    size = _end_bytes(last, file_bytes, subject)
    return last[-size:] if size <= len(last) else read(file_bytes - size, size - len(last)) + last


def refuse_other_head(head: bytes, file_bytes: int, subject: str) -> None:
    """Refuse a file that does not begin as a parquet file does. Raises FooterError."""
    if not head.startswith(PARQUET_MAGIC):
        raise _not_whole(subject, file_bytes)


def footer_as_file(end: bytes) -> bytes:
    """Return a parquet file that consists of a footer, for readers that want the names and types of its columns."""
    return PARQUET_MAGIC + end


def _end_bytes(last: bytes, file_bytes: int, subject: str) -> int:
    """Return the size of a file's end, which its ``last`` bytes state; refuse one that the file has no room for."""
    size = parquet_end_bytes(last)
    if not 0 < size <= file_bytes - len(PARQUET_MAGIC):
        raise _not_whole(subject, file_bytes)
    return size


def parse_footer(end: bytes, file_bytes: int, subject: str) -> Footer:
    """Return the footer of a file from its last bytes, as ``read_end`` gives them. Raises as ``read_footer``."""
    size = _end_bytes(end, file_bytes, subject)
    if size > len(end):
        raise _mismatch(subject, f"the last {len(end):,} bytes", f"the last {size:,}")
    try:
        content, stop = parse(end, file_metadata(parsed_chunk), len(end) - size)
        leaves, groups = _checked(content, file_bytes - size, len(end) - TAIL_BYTES - stop)
    except (ValueError, IndexError) as error:
        reason = "it ends too early" if isinstance(error, IndexError) else str(error)
        raise _mismatch(subject, f"a footer that is damaged, or refused by some reader: {reason}", _FLAT) from error
    key_values = tuple((each[1], each.get(2, b"")) for each in content.get(KEY_VALUES) or ())
    return Footer(subject, file_bytes, leaves, groups, key_values, content.get(CREATOR, b""))


def parse_columns(end: bytes, file_bytes: int, subject: str) -> tuple[Leaf, ...]:
    """Return the columns alone from a file's last bytes, without the order of bounds. **Cost**: 0.2 s for 17,000.

    Raises:
        FooterError: as ``read_footer``, as far as the columns show it.
    """
    try:
        content, _ = parse(end, FILE_SCHEMA, len(end) - _end_bytes(end, file_bytes, subject))
        return leaves_of(content[SCHEMA], None, numbers_only=False)
    except (ValueError, IndexError) as error:
        raise _mismatch(subject, f"a footer that is damaged: {error}", _FLAT) from error


def select(footer: Footer, names: Mapping[str, str]) -> Footer:
    """Return the footer with only the columns in ``names``, in that order, each under its new name.

    The key-value metadata is dropped: it describes the whole file.

    Raises:
        FooterError: a column does not exist.
    """
    place = {name: position for position, name in enumerate(footer.columns)}
    absent = [name for name in names if name not in place]
    if absent:
        raise _mismatch(footer.subject, f"no column {some_of(absent, _NAMED)}", "the recorded columns")
    return replace(
        footer,
        leaves=tuple(footer.leaves[place[old]]._replace(name=new) for old, new in names.items()),
        groups=tuple(RowGroup(rows, tuple(chunks[place[old]] for old in names)) for rows, chunks in footer.groups),
        key_values=(),
    )


def trim(footer: Footer) -> tuple[Footer, int]:
    """Return the footer of the file without the bytes before its first column, and the number of those bytes."""
    start = min((chunk.start for group in footer.groups for chunk in group.chunks), default=0)
    groups = tuple(RowGroup(rows, tuple(moved(chunk, -start) for chunk in chunks)) for rows, chunks in footer.groups)
    return replace(footer, file_bytes=footer.file_bytes - start, groups=groups), start


def merge_footers(periods: Iterable[Sequence[Footer]], row_groups: Sequence[int], metadata: Mapping[str, str]) -> bytes:
    """Return the end of the file that concatenates files of columns and periods: the footer, its length and the magic.

    ``periods``: for each period the footers of its files, in the order of their columns. The files' bytes lie in this
    order, period by period. They are asked for one period at a time.

    **Shape**: the files of a period have the same row groups, those of all periods together are ``row_groups``; each
    period has the same columns, and the merged footer has these.
    **Cost**: memory of four times the merged footer, which has about 100 bytes a chunk; 10 seconds a million chunks.

    Raises:
        FooterError: a file has other row groups or columns, a name repeats, or the footer is larger than 2 GiB.
    """
    merged = _Merged(row_groups)
    for footers in periods:
        merged.add(footers)
    return merged.end(metadata)


class _Merged:
    """The footer of the file that concatenates others, while its row groups are added."""

    def __init__(self, row_groups: Sequence[int]) -> None:
        self._expected = tuple(row_groups)
        self._columns: list[Leaf] | None = None
        self._groups: list[bytes] = []
        """Rendered: as structs they would take 30 times as much memory."""
        self._size_bytes = 0

    def add(self, footers: Sequence[Footer]) -> None:
        """Add a period's files below what is there. Raises FooterError."""
        of_period = footers[0].row_groups
        expected = self._expected[len(self._groups) :][: len(of_period)]
        for footer in footers:
            if footer.row_groups != expected:
                raise _mismatch(footer.subject, f"row groups of {footer.row_groups} rows", f"{expected}")
        if self._columns is None:
            self._columns = _unique_columns(footers)
        else:
            _refuse_other_columns(footers, self._columns)
        offsets = [*accumulate((footer.file_bytes for footer in footers), initial=self._size_bytes)]
        self._groups += (render(_group(footers, offsets, number), GROUP) for number in range(len(of_period)))
        self._size_bytes = offsets[-1]

    def end(self, metadata: Mapping[str, str]) -> bytes:
        """Return the footer, its length and the magic. Raises FooterError."""
        missing, leaves = self._expected[len(self._groups) :], self._columns or []
        if missing:
            raise _mismatch("merged footer", f"no row groups of {missing} rows", f"{self._expected}")
        content: Struct = {
            VERSION: 1,
            SCHEMA: [{NAME: b"schema", CHILDREN: len(leaves)}, *(leaf.canonical for leaf in leaves)],
            ROWS: sum(self._expected),
            GROUPS: self._groups,
            # No ARROW:schema: each slab's own describes only its few columns, and these types do not need one.
            KEY_VALUES: [{1: key.encode(), 2: value.encode()} for key, value in metadata.items()],
            CREATOR: CREATED_BY,
            # Without column orders readers must ignore min_value and max_value.
            ORDERS: [{1: {}}] * len(leaves),
        }
        data = render(content, file_metadata())
        if len(data) > 2**31 - 1:
            raise _mismatch("merged footer", f"{len(data):,} bytes", "less than 2 GiB: fewer row groups")
        return data + struct.pack("<I", len(data)) + PARQUET_MAGIC


def _unique_columns(footers: Sequence[Footer]) -> list[Leaf]:
    leaves = [leaf for footer in footers for leaf in footer.leaves]
    count = Counter(leaf.name for leaf in leaves)
    if len(count) != len(leaves):
        repeated = sorted(name for name, times in count.items() if times > 1)
        subject = some_of([footer.subject for footer in footers], 3)
        raise _mismatch(subject, f"{some_of(repeated, _NAMED)} twice", "unique columns")
    return leaves


def _refuse_other_columns(footers: Sequence[Footer], columns: Sequence[Leaf]) -> None:
    """Raise FooterError unless the files of a period have the columns of the first one."""
    found = [(footer.subject, leaf) for footer in footers for leaf in footer.leaves]
    for (subject, leaf), column in zip(found, columns, strict=False):
        if leaf[:4] != column[:4]:
            raise _mismatch(subject, f"column {leaf.named_type}", f"{column.named_type}, as in the first period")
    if len(found) != len(columns):
        subject, expected = (
            some_of([footer.subject for footer in footers], 3),
            f"{len(columns):,} as in the first period",
        )
        raise _mismatch(subject, f"{len(found):,} columns", expected)


def _group(footers: Sequence[Footer], offsets: Sequence[int], number: int) -> Struct:
    """Return one row group of the merged file, without its ordinal: only encryption needs it, and it has 16 bits."""
    chunks = [chunk for footer in footers for chunk in footer.groups[number].chunks]
    return {
        CHUNKS: [
            render_chunk(chunk, leaf, offset)
            for footer, offset in zip(footers, offsets, strict=False)
            for chunk, leaf in zip(footer.groups[number].chunks, footer.leaves, strict=True)
        ],
        GROUP_BYTES: sum(chunk.raw_bytes for chunk in chunks),
        GROUP_ROWS: footers[0].groups[number].rows,
        GROUP_OFFSET: chunks[0].start + offsets[0],
        GROUP_COMPRESSED: sum(chunk.size_bytes for chunk in chunks),
    }


def _checked(content: Struct, data_end: int, behind_bytes: int) -> tuple[tuple[Leaf, ...], tuple[RowGroup, ...]]:
    """Return columns and row groups. Raises ValueError for damage that a merge would copy, or that a reader refuses."""
    if ENCRYPTION in content or SIGNING_KEY in content:
        raise ValueError("encrypted")
    if behind_bytes:
        raise ValueError(f"{behind_bytes:,} bytes behind its end")
    ordered = None if ORDERS not in content else [1 in each for each in content[ORDERS]]
    leaves = leaves_of(content[SCHEMA], ordered, numbers_only=texts_unordered(content.get(CREATOR, b"")))
    groups = tuple(_row_group(group, leaves, data_end) for group in content[GROUPS])
    if sum(group.rows for group in groups) != content[ROWS]:
        raise ValueError(f"{content[ROWS]:,} rows, not the sum of its row groups")
    refuse_overlap(each for group in groups for each in zip(group.chunks, leaves, strict=True))
    return leaves, groups


def _row_group(group: Struct, leaves: Sequence[Leaf], data_end: int) -> RowGroup:
    rows, chunks = int(group[GROUP_ROWS]), group[CHUNKS]
    sizes = (rows, group[GROUP_BYTES], group.get(GROUP_COMPRESSED, 0))
    if len(chunks) != len(leaves) or min(sizes) < 0:
        raise ValueError(f"a row group of {rows:,} rows, {len(chunks):,} column chunks, {sizes[1]:,} bytes")
    found: list[Chunk] = []
    for chunk, leaf in zip(chunks, leaves, strict=True):
        try:
            found.append(checked_chunk(chunk, leaf, rows, (len(PARQUET_MAGIC), data_end)))
        except ValueError as error:
            raise ValueError(f"{leaf.name}: {error}") from error
    return RowGroup(rows, tuple(found))


def _not_whole(subject: str, file_bytes: int) -> FooterError:
    return _mismatch(subject, f"{file_bytes:,} bytes without a whole footer", "a finished parquet file")


def _mismatch(subject: str, got: str, expected: str) -> FooterError:
    return FooterError(subject, got=got, expected=expected, cure="Make the file again.")
