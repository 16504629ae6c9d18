"""Parquet footers: read, narrowed to columns, renamed, and merged into the footer of a concatenation.

Belongs here: what the fields of ``FileMetaData`` mean. Does not: their bytes (``thrift``), copying column data.

**Source**: parquet-format, ``parquet.thrift``. All column data is found by absolute offsets in the footer alone, so
the bytes between (the parts' own footers) are allowed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bqx_assets.base.errors import FooterError
from bqx_assets.base.files import open_regular
from bqx_assets.merge.thrift import Struct, parse, render

_MAGIC = b"PAR1"
TAIL_BYTES = 8
"""Length of the footer and magic."""
_CREATED_BY = "bqx-assets"

# FileMetaData
_VERSION, _SCHEMA, _ROWS, _GROUPS, _KEY_VALUES, _CREATOR, _ORDERS, _ENCRYPTION = 1, 2, 3, 4, 5, 6, 7, 8
# SchemaElement
_PHYSICAL, _REPETITION, _NAME, _CHILDREN, _CONVERTED, _LOGICAL = 1, 3, 4, 5, 6, 10
# RowGroup
_CHUNKS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_COMPRESSED = 1, 2, 3, 5, 6
# ColumnChunk: another file's path; where it was; its metadata; page indexes; encryption
_FILE_PATH, _CHUNK_OFFSET, _META, _PAGE_INDEXES, _CRYPTO = 1, 2, 3, (4, 5, 6, 7), (8, 9)
# ColumnMetaData
_PATH, _VALUES, _RAW_BYTES, _COMPRESSED_BYTES, _STATISTICS = 3, 5, 6, 7, 12
_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE = 9, 10, 11

TYPES: dict[tuple[int, str | None], str] = {
    (0, None): "BOOL",
    (2, None): "INT64",
    (5, None): "FLOAT64",
    (6, "string"): "STRING",
    (2, "utc"): "TIMESTAMP",
}
"""(physical, logical) types that a training file holds, by BigQuery's name."""


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer of one flat parquet file, checked against the file's size."""

    subject: str
    file_bytes: int
    footer_bytes: int
    content: Struct

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return int(self.content[_ROWS])

    @property
    def row_groups(self) -> tuple[int, ...]:
        """Rows of each row group."""
        return tuple(int(group[_GROUP_ROWS]) for group in self.content[_GROUPS])

    @property
    def columns(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(leaf[_NAME].decode() for leaf in self.content[_SCHEMA][1:])

    @property
    def types(self) -> tuple[str | None, ...]:
        """BigQuery's name of each column's type; None for a type that a training file does not hold."""
        return tuple(TYPES.get((leaf.get(_PHYSICAL), _logical(leaf))) for leaf in self.content[_SCHEMA][1:])

    @property
    def raw_bytes(self) -> int:
        """Uncompressed bytes of all columns, as encoded."""
        return sum(int(group[_GROUP_BYTES]) for group in self.content[_GROUPS])

    def metadata(self) -> dict[str, str]:
        """Return the key-value metadata. Raises FooterError where it is no text."""
        try:
            return {each[1].decode(): each.get(2, b"").decode() for each in self.content.get(_KEY_VALUES) or ()}
        except UnicodeDecodeError as error:
            raise _mismatch(self.subject, "metadata that is no text", "UTF-8") from error


def read_footer(path: Path, subject: str = "") -> Footer:
    """Return a file's footer. **Cost**: reads the footer alone, about 90 bytes a column chunk.

    Raises:
        FooterError: not a parquet file, cut short, damaged, encrypted, nested, or chunks outside the file.
    """
    subject = subject or path.name
    try:
        with open_regular(path) as file:
            file_bytes = os.fstat(file.fileno()).st_size
            head = file.read(len(_MAGIC))
            file.seek(max(0, file_bytes - TAIL_BYTES))
            size = end_bytes(file.read(), file_bytes, subject)
            file.seek(file_bytes - size)
            end = file.read()
    except OSError as error:
        raise _mismatch(subject, str(error), "a readable parquet file") from error
    if head != _MAGIC:
        raise _not_whole(subject, file_bytes)
    return parse_footer(end, file_bytes, subject)


def end_bytes(tail: bytes, file_bytes: int, subject: str) -> int:
    """Return how many of a file's last bytes its footer takes, length and magic included, from its last ``TAIL_BYTES``.

    Raises:
        FooterError: not the tail of a parquet file.
    """
    tail = tail[-TAIL_BYTES:]
    size = struct.unpack("<I", tail[:4])[0] if len(tail) == TAIL_BYTES else 0
    if tail[4:] != _MAGIC or not 0 < size <= file_bytes - TAIL_BYTES - len(_MAGIC):
        raise _not_whole(subject, file_bytes)
    return int(size) + TAIL_BYTES


def parse_footer(end: bytes, file_bytes: int, subject: str) -> Footer:
    """Return the footer of a file from its last bytes, at least ``end_bytes`` of them. Raises as ``read_footer``."""
    size = end_bytes(end, file_bytes, subject)
    if size > len(end):
        raise _mismatch(subject, f"the last {len(end):,} bytes", f"the last {size:,}")
    content = parse(end[-size:-TAIL_BYTES], subject)
    try:
        _check(content, file_bytes - size, subject)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise _mismatch(subject, f"{type(error).__name__}: {error}", "the fields of a parquet footer") from error
    return Footer(subject, file_bytes, size - TAIL_BYTES, content)


def select(footer: Footer, names: Mapping[str, str]) -> Footer:
    """Return the footer with only the columns in ``names``, in that order, each under its new name.

    Raises:
        FooterError: a column is not there.
    """
    place = {name: position for position, name in enumerate(footer.columns)}
    absent = [name for name in names if name not in place]
    if absent:
        raise _mismatch(footer.subject, f"no column {', '.join(absent[:5])}", "the recorded columns")
    root, *leaves = footer.content[_SCHEMA]
    content = footer.content | {
        _SCHEMA: [root, *(leaves[place[old]] | {_NAME: new.encode()} for old, new in names.items())],
        _GROUPS: [
            group | {_CHUNKS: [_renamed(group[_CHUNKS][place[old]], new) for old, new in names.items()]}
            for group in footer.content[_GROUPS]
        ],
    }
    grown = sum(2 * len(new.encode()) * (1 + len(content[_GROUPS])) for new in names.values())
    return Footer(footer.subject, footer.file_bytes, footer.footer_bytes + grown, content)


def trim(footer: Footer) -> tuple[Footer, int]:
    """Return the footer of the file without the bytes before its first column, and how many those are."""
    start = min((_start(chunk[_META]) for group in footer.content[_GROUPS] for chunk in group[_CHUNKS]), default=0)
    groups = [
        group | {_CHUNKS: [_shifted(chunk, -start) for chunk in group[_CHUNKS]]} for group in footer.content[_GROUPS]
    ]
    return Footer(
        footer.subject, footer.file_bytes - start, footer.footer_bytes, footer.content | {_GROUPS: groups}
    ), start


def merge_footers(parts: Sequence[Footer], row_groups: Sequence[int], metadata: Mapping[str, str]) -> bytes:
    """Return the end of the file that is the parts' files one behind another: footer, its length, magic.

    **Shape**: every part has ``row_groups``; the columns are the parts', in order. **Cost**: about 3 kB a chunk.

    Raises:
        FooterError: a part's row groups are not ``row_groups``, a name repeats, or the footer passes 2 GiB.
    """
    expected = tuple(row_groups)
    for part in parts:
        if part.row_groups != expected:
            raise _mismatch(part.subject, f"row groups of {part.row_groups} rows", f"{expected}")
    names = [name for part in parts for name in part.columns]
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise _mismatch(", ".join(part.subject for part in parts[:3]), f"{repeated[:5]} twice", "unique columns")
    leaves = [leaf for part in parts for leaf in part.content[_SCHEMA][1:]]
    content: Struct = {
        _VERSION: 1,
        _SCHEMA: [{_NAME: b"schema", _CHILDREN: len(leaves), "i32": 1}, *leaves],
        _ROWS: sum(expected),
        _GROUPS: [_group(parts, number, rows) for number, rows in enumerate(expected)],
        # No ARROW:schema: the slabs' own ones speak of their few columns, and these types need none.
        _KEY_VALUES: [{1: key.encode(), 2: value.encode()} for key, value in metadata.items()],
        _CREATOR: _CREATED_BY.encode(),
        # Without them readers may not use min_value and max_value at all.
        _ORDERS: [{1: {}} for _ in leaves],
        "i32list": [_VERSION],
    }
    source_bytes = sum(part.footer_bytes for part in parts) + sum(len(k) + 4 * len(v) for k, v in metadata.items())
    data = render(content, source_bytes=source_bytes, chunks=(len(expected) + 1) * len(leaves))
    if len(data) > 2**31 - 1:
        raise _mismatch("merged footer", f"{len(data):,} bytes", "less than 2 GiB: fewer row groups")
    return data + struct.pack("<I", len(data)) + _MAGIC


def _group(parts: Iterable[Footer], number: int, rows: int) -> Struct:
    """One row group of the merged file. Its ordinal is left out: only encryption needs it, and it has 16 bits."""
    chunks: list[Struct] = []
    offset = 0
    for part in parts:
        chunks += [_shifted(chunk, offset) for chunk in part.content[_GROUPS][number][_CHUNKS]]
        offset += part.file_bytes
    metas = [chunk[_META] for chunk in chunks]
    return {
        _CHUNKS: chunks,
        _GROUP_BYTES: sum(meta[_RAW_BYTES] for meta in metas),
        _GROUP_ROWS: rows,
        _GROUP_OFFSET: _start(metas[0]),
        _GROUP_COMPRESSED: sum(meta[_COMPRESSED_BYTES] for meta in metas),
    }


def _shifted(chunk: Struct, offset: int) -> Struct:
    """Return the chunk ``offset`` bytes further on.

    Page indexes go: the page locations inside them are absolute as well, and would point into another slab. Bloom
    filters and size statistics (fields 14 to 16) are not written by cencoding.
    """
    meta = {field: value for field, value in chunk[_META].items() if value != []}
    for field in (_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE):
        if meta.get(field) is not None:
            meta[field] += offset
    moved = {field: value for field, value in chunk.items() if field not in _PAGE_INDEXES}
    if moved.get(_CHUNK_OFFSET):  # 0 means unknown, as newer writers have it
        moved[_CHUNK_OFFSET] += offset
    return moved | {_META: meta, "i32list": []}


def _renamed(chunk: Struct, name: str) -> Struct:
    return chunk | {_META: chunk[_META] | {_PATH: [name]}}


def _start(meta: Struct) -> int:
    return int(meta.get(_DICTIONARY_PAGE) or meta[_DATA_PAGE])


def _logical(leaf: Mapping[Any, Any]) -> str | None:
    """Return "string", "utc", None for no logical type, else "other"."""
    logical: dict[int, Any] = leaf.get(_LOGICAL) or {}
    if 1 in logical or (not logical and leaf.get(_CONVERTED) == 0):
        return "string"
    moment = logical.get(8)
    if moment is not None:
        return "utc" if moment.get(1) is True and 2 in moment.get(2, {}) else "other"
    return "other" if logical or leaf.get(_CONVERTED) is not None else None


def _check(content: Struct, data_end: int, subject: str) -> None:
    """Refuse what the merge would carry on into the training file."""
    leaves = content[_SCHEMA][1:]
    names = [leaf[_NAME].decode() for leaf in leaves]
    if content.get(_ENCRYPTION) is not None or content[_SCHEMA][0][_CHILDREN] != len(leaves) or not leaves:
        raise _mismatch(subject, "encrypted or nested columns", "flat, plain columns")
    if any(leaf.get(_CHILDREN) or leaf.get(_REPETITION) not in (0, 1) for leaf in leaves):
        raise _mismatch(subject, "nested or repeated columns", "flat columns")
    if sum(group[_GROUP_ROWS] for group in content[_GROUPS]) != content[_ROWS]:
        raise _mismatch(subject, f"{content[_ROWS]:,} rows", "the sum of its row groups")
    for group in content[_GROUPS]:
        if len(group[_CHUNKS]) != len(leaves) or not isinstance(group[_GROUP_BYTES], int):
            raise _mismatch(subject, f"{len(group[_CHUNKS])} column chunks", f"{len(leaves)}")
        for chunk, leaf, name in zip(group[_CHUNKS], leaves, names, strict=True):
            _check_chunk(chunk, leaf, (name, group[_GROUP_ROWS]), data_end, subject)


def _check_chunk(chunk: Struct, leaf: Struct, expected: tuple[str, int], data_end: int, subject: str) -> None:
    name, rows = expected
    meta = chunk[_META]
    if any(chunk.get(field) is not None for field in (_FILE_PATH, *_CRYPTO)):
        raise _mismatch(subject, f"{name} in another file or encrypted", "plain chunks")
    if meta[_PATH] != [name] or meta[1] != leaf[_PHYSICAL] or meta[_VALUES] != rows:
        raise _mismatch(subject, f"{name}: path, type or {meta[_VALUES]:,} values", f"its own, and {rows:,} values")
    first = min(meta[field] for field in (_DATA_PAGE, _DICTIONARY_PAGE) if meta.get(field) is not None)
    if not len(_MAGIC) <= first <= first + meta[_COMPRESSED_BYTES] <= data_end or meta[_RAW_BYTES] < 0:
        size_bytes = meta[_COMPRESSED_BYTES]
        raise _mismatch(subject, f"{name} at {first:,}, {size_bytes:,} bytes", f"within {data_end:,} bytes")


def _not_whole(subject: str, file_bytes: int) -> FooterError:
    return _mismatch(subject, f"{file_bytes:,} bytes without a whole footer", "a finished parquet file")


def _mismatch(subject: str, got: str, expected: str) -> FooterError:
    return FooterError(subject, got=got, expected=expected, cure="Make the file again.")
