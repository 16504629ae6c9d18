"""Reads a training file, which is a local file or an object, by byte ranges, the footer first."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import Manifest, TrainingFile
from bqx_assets.base.checksums import crc32c, crc32c_of_blocks, same_bytes
from bqx_assets.base.errors import FooterError, PreconditionFailed
from bqx_assets.base.files import open_regular
from bqx_assets.base.frame_files import PARQUET_MAGIC
from bqx_assets.base.printable import first_line, some_of
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore, version_of, version_text
from bqx_assets.base.store.sidecars import state_of
from bqx_assets.merge.footer import Footer, footer_as_file, merge_footers, parse_footer, refuse_other_head
from bqx_assets.merge.footer import read_end as read_parquet_end
from bqx_assets.quality.integrity import Segment, end_crc32c, segments


class _AnyName(LocalObjectStore):
    """A folder in which a user names one file. Nothing is written beside it, and hidden names are allowed."""

    def local_path(self, name: str) -> Path:
        """Return the file, whatever its name."""
        return self.root / name


class StoredFile(NamedTuple):
    """A file of an object store by its name; it need not exist."""

    store: ObjectStore
    name: str

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the file at a local path, in a store that keeps no facts beside it."""
        return cls(_AnyName(path.parent, sidecars=False), path.name)

    @property
    def place(self) -> str:
        """The path or URI of the file."""
        return self.store.uri(self.name)

    @property
    def path(self) -> Path | None:
        """The local file; None in a bucket."""
        return self.store.local_path(self.name)

    def beside(self, suffix: str) -> Self:
        """Return the file beside it with the same name and another suffix, such as a manifest or a report."""
        return self._replace(name=self.name.removesuffix(".parquet") + suffix)

    def state(self) -> str:
        """Return a text that every write of the file changes; empty if there is no file.

        For a local file it consists of inode, size and times: every write changes the inode's change time.
        """
        path = self.path
        if path is None:
            info = self.store.head(self.name)
            return f"version {info.version}" if info is not None else ""
        try:
            return " ".join(str(number) for number in state_of(path.stat()))
        except OSError:
            return ""

    def fetch(self, folder: Path) -> Path:
        """Copy the file into a folder, in 64 MiB pieces, and return the copy. Raises ObjectMissing, StoreError."""
        target, at = folder / PurePath(self.name).name, 0
        with target.open("wb") as copy:
            while data := self.store.read(self.name, at, _MOST_BYTES):
                at += copy.write(data)
        return target

    def open(self) -> Source | None:
        """Return the file opened for reading; None if there is no file.

        **Cost**: a descriptor of a local file, one request elsewhere. Raises OSError, StoreError.
        """
        path = self.path
        if path is not None:
            return Source(self, open_regular(path)) if path.is_file() else None
        info = self.store.head(self.name)
        return Source(self, info) if info is not None else None


class Source:
    """A stored file that is open for reading ranges, in any order and from any thread.

    A local file is read through one descriptor, an object by one range request a read.
    """

    def __init__(self, file: StoredFile, opened: BinaryIO | ObjectInfo) -> None:
        self._of = file
        self._info = opened if isinstance(opened, ObjectInfo) else None
        self._file = None if isinstance(opened, ObjectInfo) else opened
        self.name = file.name
        self.size_bytes = opened.size_bytes if isinstance(opened, ObjectInfo) else os.fstat(opened.fileno()).st_size
        self.crc32c = self._info.crc32c if self._info is not None else None
        """CRC32C of all bytes as the store states it; None for a local file until ``holds`` has read it."""

    def read(self, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start``; fewer only at the file's end. Raises OSError, StoreError."""
        if self._file is None:
            return self._of.store.read(self.name, start, length)
        data = os.pread(self._file.fileno(), length, start)
        while len(data) < length and (more := os.pread(self._file.fileno(), length - len(data), start + len(data))):
            data += more  # the kernel gives at most 2 GiB at once
        return data

    @property
    def local(self) -> BinaryIO | None:
        """The open file of this machine; None for an object. Who reads it must not rely on its position."""
        return self._file

    def read_same(self, start: int, length: int) -> bytes:
        """Return a range as ``read``, of the opened version alone.

        Raises:
            PreconditionFailed: another object has taken the name.
        """
        if self._info is None:
            return self.read(start, length)
        return self._of.store.read(self.name, start, length, self._info.version)

    def confirm(self) -> None:
        """Raise PreconditionFailed if the object is no longer the version that was opened.

        Every write gives a new version, so an unchanged version proves that all reads saw the same bytes. The open
        descriptor of a local file always reads the same file, even if another one takes its name.
        """
        if self._info is None:
            return
        found = self._of.store.head(self.name)
        if found is None or found.version != self._info.version:
            raise PreconditionFailed(
                self._of.place,
                got=f"{version_text(version_of(found))} after the validation",
                expected=f"{version_text(self._info.version)}, as before it",
                cure="Another run replaced the object meanwhile: validate again.",
            )

    def holds(self, file: TrainingFile) -> bool:
        """Return whether the bytes are those that a manifest describes, by size and CRC32C.

        **Cost**: a local file of that size is read once, in 4 MiB pieces; ``crc32c`` is known afterwards.
        """
        if self.crc32c is None and self.size_bytes == file.size_bytes:
            self.crc32c = self.crc32c_between(0, self.size_bytes)
        return same_bytes(self, file)

    def crc32c_between(self, start: int, end: int) -> int:
        """Return the CRC32C of a range, which is read in 4 MiB pieces. Raises OSError, StoreError."""
        starts = range(start, end, _PIECE_BYTES)
        return crc32c_of_blocks(self.read(at, min(_PIECE_BYTES, end - at)) for at in starts)

    def close(self) -> None:
        """Close the descriptor, if there is one."""
        if self._file is not None:
            self._file.close()


_ARROW = "ARROW:schema"
_KINDS: dict[str, Callable[[Any], bool]] = {
    "text": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t),
    "integer": pa.types.is_integer,
    "number": pa.types.is_floating,
    "flag": pa.types.is_boolean,
    "moment": pa.types.is_timestamp,
}
_GUESS_BYTES = 64 << 10
_PIECE_BYTES = 4 << 20
_MOST_BYTES = 64 << 20
"""Bytes that are read at once. A footer of 17,038 columns and one row group has 1.5 MB."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class End:
    """The file's last bytes."""

    start: int
    data: bytes
    crc32c: int | None
    """CRC32C that the whole file has if its slabs are as recorded; None if it is not a splice."""
    sha256: str | None = None
    """SHA-256 of the bytes behind the last slab; None if it is not a splice."""


def read_end(source: Source, parts: Sequence[Segment]) -> End:
    """Return the bytes behind the last slab, or, without recorded slabs, as many last bytes as a footer may have.

    **Cost**: one read, of the footer's size.
    """
    size_bytes = source.size_bytes
    behind = parts[-1].start if len(parts) > 1 else size_bytes
    # A foreign file under this manifest's name may have any number of bytes behind the last slab, or none.
    first = max(0, size_bytes - _MOST_BYTES, min(behind, size_bytes - _GUESS_BYTES))
    data = source.read(first, size_bytes - first)
    if len(parts) <= 1:
        return End(first, data, None)
    crc, sha = 0, sha256()
    for at in range(behind, first, _MOST_BYTES):
        piece = source.read(at, min(_MOST_BYTES, first - at))
        crc = crc32c(piece, crc)
        sha.update(piece)
    last = memoryview(data)[max(0, behind - first) :]
    sha.update(last)
    return End(first, data, end_crc32c(parts, crc32c(last, crc)), sha.hexdigest())


def is_of(source: Source, manifest: Manifest) -> bool:
    """Return whether a file has the size and CRC32C of its manifest and, for a splice, the SHA-256 of its footer.

    **Cost**: a local file is read once, in small pieces; of an object only the footer, as its store states the CRC32C.
    """
    if source.size_bytes != manifest.file.size_bytes:
        return False
    end = read_end(source, segments(manifest, source.size_bytes))
    if end.sha256 is not None and manifest.file.end_sha256 not in (None, end.sha256):
        return False
    return source.holds(manifest.file)


def footer_of(source: Source, end: End) -> Footer:
    """Return the file's footer. **Cost**: as ``footer_bytes``, and 0.45 s for a row group of 17,000 columns.

    Raises:
        FooterError: as ``merge.footer.parse_footer``; or the file does not begin as a parquet file does.
    """
    footer = parse_footer(footer_bytes(source, end), source.size_bytes, source.name)
    _refuse_arrow_schema(footer)
    return footer


def footer_bytes(source: Source, end: End) -> bytes:
    """Return the bytes of the footer, its length and the magic.

    **Cost**: reads 4 bytes, and the part of the footer that lies before ``end``.

    Raises:
        FooterError: the file does not begin and end as a parquet file does.
    """

    def read(start: int, length: int) -> bytes:
        at = start - end.start
        return source.read(start, length) if at < 0 else end.data[at : at + length]

    last = read_parquet_end(read, source.size_bytes, source.name, guess_bytes=len(end.data))
    refuse_other_head(source.read(0, len(PARQUET_MAGIC)), source.size_bytes, source.name)
    return last


def _refuse_arrow_schema(footer: Footer) -> None:
    """Raise FooterError if the schema that Arrow writes into the metadata does not fit the columns.

    If it is damaged, Arrow does not open the file. If it contradicts the columns, Polars follows it and Arrow does not.
    """
    metadata = footer.metadata()
    if not _is_text(footer.creator):  # Polars reads it as text
        raise FooterError(
            footer.subject, got="a writer's name that is not text", expected="UTF-8", cure="Make it again."
        )
    if _ARROW not in metadata or len({*footer.columns}) != len(footer.columns):  # a rule reports repeated names
        return
    bare = replace(footer, groups=(), key_values=())
    try:
        found = pa.ipc.read_schema(pa.py_buffer(b64decode(metadata[_ARROW], validate=True)))
        plain = pq.read_schema(pa.BufferReader(footer_as_file(merge_footers([[bare]], (), {}))))
        pq.read_schema(pa.BufferReader(footer_as_file(merge_footers([[bare]], (), {_ARROW: metadata[_ARROW]}))))
        fields: list[tuple[Any, Any]] = [*zip(plain, found, strict=True)]
        wrong = [ours.name for ours, theirs in fields if not _alike(ours, theirs)]
        got = f"another type than the column's for {some_of(wrong, _NAMED)}" if wrong else ""
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        got = first_line(error)
    if got:
        expected = "the columns as Arrow writes them, or no such metadata"
        raise FooterError(footer.subject, got=f"{_ARROW}: {got}", expected=expected, cure="Make the file again.")


def _is_text(data: bytes) -> bool:
    return data.decode(errors="replace").encode() == data


def _alike(ours: Any, theirs: Any) -> bool:  # noqa: ANN401 -- Arrow's fields have no types
    return ours.name == theirs.name and _kind(theirs.type) in (_kind(ours.type), "")


def _kind(type_: Any) -> str:  # noqa: ANN401 -- as above
    """Return the kind of a type's values, independent of their form in memory; empty for the less usual types."""
    held: Any = type_.value_type if pa.types.is_dictionary(type_) else type_
    return next((kind for kind, is_one in _KINDS.items() if is_one(held)), "")
