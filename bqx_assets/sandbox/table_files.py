"""The Parquet files of an embedded warehouse's tables, one way of writing them.

Belongs here: encoding. Does not: where a file lies (``layout``), what is in it.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

_ROW_GROUP_ROWS = 32_768
"""Long histories in pieces: a reader skips those outside its time range, which for wide tables is about as long."""


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame of any rows x columns as it goes: whoever may be read meanwhile hands in a temp path."""
    frame.write_parquet(path, compression="zstd", compression_level=1, statistics=True, row_group_size=_ROW_GROUP_ROWS)
