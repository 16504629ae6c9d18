"""The parts of a merge: where each table's aligned columns come from.

Belongs here: the protocol both engines read, and the part that is a slab on disk. Does not: raw checkpoints (``raw``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from bqx_assets.base.artifacts import SlabRecord
from bqx_assets.base.direct import Span, prefetch
from bqx_assets.base.errors import CheckpointMismatch
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.extract.slabs import has_recorded_bytes
from bqx_assets.merge.footer import Footer, read_footer


@dataclass(frozen=True, slots=True)
class Piece:
    """A parquet file from byte ``start`` on, and the footer by which its columns are found there."""

    path: Path
    footer: Footer
    start: int = 0

    @property
    def span(self) -> Span:
        """Its bytes."""
        return self.path, self.start


@dataclass(frozen=True, slots=True)
class Slab:
    """One table, ready to be spliced: its columns in one file, or in several side by side."""

    pieces: tuple[Piece, ...]
    record: SlabRecord
    note: str = ""
    temporary: bool = False
    """To be removed once its bytes are copied."""

    def remove(self) -> None:
        """Remove its files if they are temporary."""
        for piece in self.pieces if self.temporary else ():
            piece.path.unlink(missing_ok=True)


class Part(Protocol):
    """One table of a merge, spine or feature."""

    @property
    def path(self) -> Path | None:
        """The checkpoint that it is read from; None where it is an object."""
        ...

    @property
    def table(self) -> str:
        """The source table's name."""
        ...

    @property
    def size_bytes(self) -> int:
        """What it will add to the output; an estimate where it is yet to be encoded."""
        ...

    @property
    def column_count(self) -> int:
        """Columns it gives at most."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What preparing it takes."""
        ...

    def prepare(self, scratch: Path) -> Slab:
        """Return the table as a slab, made in folder ``scratch`` where it must be made."""
        ...

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the table's columns under their output names, and its record; for the oracle."""
        ...


@dataclass(frozen=True, slots=True)
class SlabPart:
    """A slab that extraction left, its footer read and found in order."""

    path: Path
    record: SlabRecord
    footer: Footer

    @property
    def table(self) -> str:
        """The warehouse table."""
        return self.record.table

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return self.record.size_bytes

    @property
    def column_count(self) -> int:
        """The recorded columns."""
        return len(self.record.provenance.columns)

    @property
    def memory_bytes(self) -> int:
        """None: its bytes are only copied."""
        return 0

    def prepare(self, scratch: Path) -> Slab:  # noqa: ARG002 -- made already
        """Return the slab as it lies there. **Cost**: reads it once for its SHA-256, while another one is copied.

        Raises CheckpointMismatch when it was changed since it was planned, or recorded.
        """
        size_bytes = self.path.stat().st_size if self.path.is_file() else -1
        if size_bytes != self.record.size_bytes or read_footer(self.path, self.footer.subject) != self.footer:
            raise CheckpointMismatch(
                self.footer.subject,
                got="changed since the merge was planned",
                expected=f"{self.record.size_bytes:,} bytes as recorded",
                cure="Merge again.",
            )
        prefetch(self.path)
        self._refuse_other_bytes()
        return Slab((Piece(self.path, self.footer),), self.record)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the slab, decoded: the spine's rows x the part's columns."""
        self._refuse_other_bytes()
        return read_parquet(self.path), self.record

    def _refuse_other_bytes(self) -> None:
        if not has_recorded_bytes(self.path, self.record):
            raise not_recorded(self.record, "other bytes of the same length", "the recorded SHA-256")


def not_recorded(record: SlabRecord, got: str, expected: str) -> CheckpointMismatch:
    """Return the error for a slab that is not the recorded one."""
    pair, role = record.provenance.pair, record.provenance.role
    table = "" if role == "spine" else f" --table {record.table}"
    return CheckpointMismatch(
        f"{pair}/{record.table}", got=got, expected=expected, cure=f"Extract again: bqx extract {pair}{table}"
    )
