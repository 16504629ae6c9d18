"""What one pass over a training file gives: all that the rules judge by.

Belongs here: the collected facts as data. Does not: collecting them (``reading``), judging (``rules``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from bqx_assets.base.artifacts import CONTENT_KEY, Manifest
from bqx_assets.base.errors import FooterError
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.merge.footer import Footer
from bqx_assets.quality.columns import ColumnFacts
from bqx_assets.quality.future import Future


@dataclass(slots=True)
class Scan:
    """What is known of one file. None: not known, because the file is not so far in order or the pass was shallow."""

    pair: Pair
    expectations: Expectations
    manifest: Manifest | None
    deep: bool
    size_bytes: int | None = None
    """None: there is no such file or object."""
    footer: Footer | None = None
    unreadable: list[str] = field(default_factory=list[str])
    """Why the file, or some of its columns, cannot be read."""
    columns: list[ColumnFacts] = field(default_factory=list[ColumnFacts])
    end_crc32c: int | None = None
    """Of the whole file, if its slabs are as recorded; a splice only."""
    end_sha256: str | None = None
    """Of the bytes behind the last slab; a splice only."""
    unchecked: list[str] = field(default_factory=list[str])
    """Columns with page indexes or Bloom filters: readers skip rows by them, and no pass holds them against values."""
    crc32c: int | None = None
    """Of the whole file as it was read."""
    stored_crc32c: int | None = None
    """Of the whole object as its store states it."""
    damaged: list[str] = field(default_factory=list[str])
    """Slabs whose bytes are not those recorded: none of their columns is decoded."""
    keys: pl.Series | None = None
    """UTC microseconds, nulls included."""
    future: Future | None = None

    @property
    def rows(self) -> int:
        """Rows by the footer, 0 without one."""
        return 0 if self.footer is None else self.footer.rows

    def recorded_content(self) -> dict[str, str]:
        """Return the content digests that the manifest and the file's own metadata state."""
        try:
            stated = self.footer.metadata().get(CONTENT_KEY) if self.footer is not None else None
        except FooterError:
            stated = None
        manifest = self.manifest.file.content_digest if self.manifest is not None else None
        return {where: digest for where, digest in (("manifest", manifest), ("file", stated)) if digest is not None}

    def of_role(self, role: str) -> list[ColumnFacts]:
        """Return the columns of a role: key, target or feature."""
        return [each for each in self.columns if each.role == role]
