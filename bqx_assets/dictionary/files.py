"""Reads and writes the dictionary of a training file: Parquet for programs, and the facts of the file it speaks of."""

from __future__ import annotations

import difflib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import polars as pl
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import CONTENT_KEY, PAIR_KEY, Manifest, Record
from bqx_assets.base.errors import BadSetting, CheckpointCorrupt
from bqx_assets.base.files import read_regular
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.printable import first_line
from bqx_assets.dictionary.schema import ColumnFacts, dictionary_schema
from bqx_assets.extract.encodings import COMPRESSION

_FORMAT_KEY, _CRC_KEY, _SIZE_KEY = "bqx.columns", "bqx.file.crc32c", "bqx.file.size_bytes"
"""Keys of the dictionary's own parquet metadata, beside those of a training file for the pair and the content."""
_FORMAT = "1"
_LATER = {"reach_rows": pl.col("window"), "pairs": pl.lit("")}
"""Fields that earlier versions did not write, with what is known of them."""


class Described(Record):
    """The training file that a dictionary speaks of."""

    pair: str
    size_bytes: int
    crc32c: int
    content_digest: str | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the file of a manifest."""
        file = manifest.file
        return cls(
            pair=manifest.pair, size_bytes=file.size_bytes, crc32c=file.crc32c, content_digest=file.content_digest
        )


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The facts of every column of one training file.

    ``frame`` has a row for each column in the file's order, with the fields of ``ColumnFacts``.
    """

    frame: pl.DataFrame
    file: Described

    def of(self, column: str) -> ColumnFacts:
        """Return the facts of a column of the training file, such as a feature that a model found important.

        Raises:
            BadSetting: the file has no such column; the error names the nearest ones.
        """
        found = self.frame.filter(pl.col("column") == column)
        if found.height:
            return ColumnFacts.model_validate(found.row(0, named=True))
        near = difflib.get_close_matches(column, self.frame["column"].to_list(), n=3)
        raise BadSetting(
            "column",
            got=repr(column[:80]),
            expected=f"one of the {self.frame.height:,} columns of training_{self.file.pair}.parquet",
            cure=f"Did you mean {' or '.join(near)}?" if near else "All of them: Dictionary.frame['column']",
        )

    def counts(self) -> dict[str, int]:
        """Return how many columns there are, of each kind, and how many of them tell a model nothing."""
        frame = self.frame
        kinds = Counter(frame["kind"].to_list())
        return {
            "columns": frame.height,
            "features": kinds["feature"],
            "targets": kinds["target"],
            "constant": int(frame["constant"].sum()),
            "all_null": int((frame["nulls"] == frame["rows"]).sum()),
            "duplicates": int((frame["duplicate_of"] != "").sum()),
            "identifiers": int(frame["identifier"].sum()),
            "of_unknown_meaning": int((frame["formula_of"] == "").sum()),
        }

    def as_parquet(self) -> bytes:
        """Return the dictionary as a Parquet file, which names its training file in its metadata; always the same."""
        file = self.file
        facts = {
            _FORMAT_KEY: _FORMAT,
            PAIR_KEY: file.pair,
            CONTENT_KEY: file.content_digest or "",
            _CRC_KEY: f"{file.crc32c:08x}",
            _SIZE_KEY: str(file.size_bytes),
        }
        table = self.frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        into = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(cast("Any", facts)), into, compression=COMPRESSION)
        return into.getvalue()

    @classmethod
    def read(cls, source: Path | bytes) -> Self:
        """Return the dictionary in a Parquet file, or in its bytes.

        Raises:
            CheckpointCorrupt: it is no dictionary.
        """
        try:
            data = source if isinstance(source, bytes) else read_regular(source)
            facts = _metadata(data)
            described = Described(
                pair=facts[PAIR_KEY],
                size_bytes=int(facts[_SIZE_KEY]),
                crc32c=int(facts[_CRC_KEY], 16),
                content_digest=facts[CONTENT_KEY] or None,
            )
            return cls(_frame(data), described)
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
            raise CheckpointCorrupt(
                "the dictionary" if isinstance(source, bytes) else str(source),
                got=first_line(error),
                expected="a dictionary, as a publication writes it",
                cure="Publish the training file again, or copy its dictionary again.",
            ) from error


def _frame(data: bytes) -> pl.DataFrame:
    """Return the rows of a dictionary, also of one of an earlier version, which had no ``reach_rows`` and ``pairs``."""
    there = pq.read_schema(io.BytesIO(data)).names
    fields = [*dictionary_schema()]
    frame = read_parquet(data, [each for each in fields if each not in _LATER or each in there])
    later = {name: value for name, value in _LATER.items() if name not in there}
    return frame.with_columns(**later).select(fields)


def _metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a dictionary. Raises ValueError for one whose fields may mean something else."""
    metadata: dict[bytes, bytes] = pq.read_metadata(io.BytesIO(data)).metadata or {}
    facts = {key.decode(): value.decode() for key, value in metadata.items()}
    if facts[_FORMAT_KEY] != _FORMAT:
        msg = f"format {facts[_FORMAT_KEY]}, of which this version of bqx_assets knows only {_FORMAT}"
        raise ValueError(msg)
    return facts
