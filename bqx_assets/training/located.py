"""Finds the published training file that models are to be trained on, with its manifest and its dictionary.

File, manifest and dictionary belong together, or an error says which does not: a size or the SHA-256 of a footer that
differs, a dictionary of another file. The file stays open from then on, so that a publication in the meantime changes
nothing of what is read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import MANIFEST_SUFFIX, Manifest
from bqx_assets.base.checksums import may_be_same, size_and_crc
from bqx_assets.base.errors import BadSetting, CheckpointCorrupt, ChecksumMismatch, ObjectMissing, OtherData
from bqx_assets.base.frame_files import scan_open_parquet
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings, training_name
from bqx_assets.base.store.naming import is_address, output_place
from bqx_assets.base.store.open_store import bucket_at
from bqx_assets.dictionary.files import Described, Dictionary
from bqx_assets.dictionary.schema import DICTIONARY_SUFFIX
from bqx_assets.merge.footer import Footer
from bqx_assets.quality.integrity import FOOTER, segments
from bqx_assets.quality.stored_file import End, Source, StoredFile, footer_bytes, footer_of, read_end
from bqx_assets.release.named_file import fetch_command, file_at, manifest_beside, named_companions, publishing_store
from bqx_assets.training.bucket_scan import scan_object

Pin = str | int
"""A content digest, as manifests state it, or the number of a generation."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARQUET = ".parquet"


@dataclass(frozen=True)
class Located:
    """One pair's training file, open for reading, with its manifest and the bytes of its dictionary if it has one."""

    pair: Pair
    file: StoredFile
    source: Source
    end: End
    manifest: Manifest
    stored_dictionary: bytes | None
    manifest_bytes: bytes

    @cached_property
    def footer(self) -> Footer:
        """The file's footer. **Cost**: half a second for a row group of 17,000 columns. Raises FooterError."""
        return footer_of(self.source, self.end)

    def scan(self) -> pl.LazyFrame:
        """Return all columns of exactly this file as a lazy frame.

        **Shape**: the file's rows x its columns.
        """
        file = self.source.local
        return (
            scan_open_parquet(file)
            if file is not None
            else scan_object(self.source, footer_bytes(self.source, self.end))
        )

    def dictionary(self) -> Dictionary | None:
        """Return the dictionary; None if none was published with the file.

        Raises:
            CheckpointCorrupt: it is damaged, or speaks of another file.
        """
        if self.stored_dictionary is None:
            return None
        found = Dictionary.read(self.stored_dictionary)
        if found.file != Described.of(self.manifest) or found.frame.height != self.manifest.file.columns:
            raise CheckpointCorrupt(
                self.file.beside(DICTIONARY_SUFFIX).place,
                got=f"the dictionary of {size_and_crc(found.file.size_bytes, found.file.crc32c)}",
                expected=f"that of the file, {size_and_crc(self.manifest.file.size_bytes, self.manifest.file.crc32c)}",
                cure=f"Copy it again with its file, or publish again: bqx publish {self.pair}",
            )
        return found

    def refuse_damaged(self, tables: Collection[str]) -> None:
        """Raise ChecksumMismatch unless the bytes of these tables in a local file are those of the manifest.

        **Cost**: reads the tables' pieces, all columns and periods; of a file that is no splice all bytes. Of an object
        nothing is read, because its store's own checksum was compared when it was located.
        """
        if self.source.local is None:
            return
        for part in segments(self.manifest, self.source.size_bytes):
            if part.crc32c is None:
                wrong = part.name != FOOTER and not self.source.holds(self.manifest.file)
            else:
                end = part.start + part.size_bytes
                wrong = part.name.split()[0] in tables and self.source.crc32c_between(part.start, end) != part.crc32c
            if wrong:
                fetch = fetch_command(self.file, self.manifest)
                raise ChecksumMismatch(
                    self.file.place,
                    got=f"other bytes in {part.name}",
                    expected="those of its manifest",
                    cure=f"Copy it again: {fetch}. Or look at all of it: {verify_command(self.file)}",
                )

    def refuse_other(self, pin: Pin) -> None:
        """Raise OtherData unless the file is the pinned one."""
        digest = self.manifest.file.content_digest
        if _is_digest(pin):
            found, what = digest or "a file without a digest", "the content digest"
        else:
            info = publishing_store(self.file).head(self.file.name)
            found, what = "none" if info is None else info.version, "generation"
        if found != str(pin):
            raise OtherData(
                self.file.place,
                got=f"{what} {found}, made {self.manifest.created_at:%Y-%m-%d %H:%M} UTC",
                expected=f"{what} {pin}, as it was pinned",
                cure="Pin what is there, or copy the earlier version back, which the store keeps for a while. "
                f"To keep data for good: bqx fetch {self.pair}",
            )


def place_of(pair: Pair, source: str | Path | None, settings: Settings) -> StoredFile:
    """Return where a pair's training file is expected: in a folder, in a bucket, or under its own path or URI.

    Raises:
        BadSetting: the text is neither a path nor an address.
    """
    place = str(settings.output or settings.output_dir) if source is None else output_place(source, "source")
    if is_address(place):
        return file_at(place) if place.endswith(_PARQUET) else StoredFile(bucket_at(place), training_name(pair))
    return file_at(place if place.endswith(_PARQUET) and not Path(place).is_dir() else f"{place}/{training_name(pair)}")


def locate(pair: Pair, file: StoredFile, pin: Pin | None = None) -> Located:
    """Return the training file at a place, opened, once it is the pinned one and fits its manifest.

    **Cost**: the manifest, the dictionary and the footer are read, in a bucket by five requests; no values.

    Raises:
        ObjectMissing: there is no file.
        CheckpointCorrupt: its manifest is missing, damaged, or of another pair.
        ChecksumMismatch: it is not the file of its manifest, or was cut short.
        OtherData: it is not the pinned one.
    """
    if pin is not None:
        _is_digest(pin)  # refuses a pin that is none before anything is read
    source = file.open()
    if source is None:
        raise ObjectMissing(
            file.place,
            got="no such file",
            expected=f"the published training file of {pair}",
            cure=f"Publish it: bqx run {pair}. Or name another folder, bucket or file as source.",
        )
    try:
        manifest, text, dictionary = _companions(pair, file)
        end = read_end(source, segments(manifest, source.size_bytes))
        _refuse_other_bytes(file, source, end, manifest)
        found = Located(pair, file, source, end, manifest, dictionary, text)
        if pin is not None:
            found.refuse_other(pin)
    except BaseException:
        source.close()
        raise
    return found


def _companions(pair: Pair, file: StoredFile) -> tuple[Manifest, bytes, bytes | None]:
    """Return the manifest, its bytes, and the dictionary's, which a published file names or a copy has beside it."""
    named = named_companions(file)
    if named is not None:
        found, text, dictionary = named.manifest, named.texts["manifest"], named.texts.get("dictionary")
    else:
        beside = manifest_beside(file)
        if beside is None:
            raise CheckpointCorrupt(
                file.beside(MANIFEST_SUFFIX).place,
                got="no such file",
                expected="the manifest, by which a training file is checked",
                cure="Copy the manifest and the dictionary to the file's folder.",
            )
        found, text = beside, beside.as_json()
        of_columns = file.beside(DICTIONARY_SUFFIX)
        there = of_columns.store.head(of_columns.name) is not None
        dictionary = of_columns.store.read(of_columns.name) if there else None
    if found.pair != pair.name:
        raise CheckpointCorrupt(
            file.place, got=f"a file of {found.pair}", expected=f"one of {pair}", cure="Name the pair, or its own file."
        )
    return found, text, dictionary


def _refuse_other_bytes(file: StoredFile, source: Source, end: End, manifest: Manifest) -> None:
    """Raise ChecksumMismatch for a file that is not its manifest's, by all that is known without reading values."""
    other_end = end.sha256 is not None and manifest.file.end_sha256 not in (None, end.sha256)
    if other_end or not may_be_same(source, manifest.file):
        got = size_and_crc(source.size_bytes, source.crc32c)
        raise ChecksumMismatch(
            file.place,
            got=f"{got}, with another footer" if other_end else got,
            expected=f"the file of its manifest, {size_and_crc(manifest.file.size_bytes, manifest.file.crc32c)}",
            cure=f"If it was published just now, call again. Else look at it: {verify_command(file)}",
        )


def verify_command(file: StoredFile) -> str:
    """Return the command that looks at this very file: by its pair it would look at the published one."""
    return f"bqx verify {shlex.quote(file.place)}"


def _is_digest(pin: Pin) -> bool:
    """Return whether a pin is a content digest; else it is a generation. Raises BadSetting for any other text."""
    text = str(pin)
    is_digest = _DIGEST.fullmatch(text) is not None
    if not is_digest and not text.isdecimal():
        raise BadSetting(
            "pin",
            got=repr(text[:80]),
            expected="a content digest of 64 hexadecimal digits, or the number of a generation",
            cure="bqx columns PAIR shows the digest of what is published.",
        )
    return is_digest
