"""Opens parquet and CSV files with Polars; no other module of this package lets Polars open a path.

Polars takes a path for a pattern unless told otherwise: ``exp[1]/a.parquet`` then means ``exp1/a.parquet``, and a
merge of the first has read the second. It also expands ``~``, takes ``file:a`` for an address, reads all files of a
folder that is named like a file, and waits for ever for a writer of a named pipe. Here a path is one regular file.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import polars as pl

from bqx_assets.base.files import regular_file
from bqx_assets.base.printable import first_line
from bqx_assets.base.store.naming import GCS_SCHEME, is_address, storage_endpoint

PARQUET_MAGIC = b"PAR1"
"""The first and the last bytes of every parquet file."""
TAIL_BYTES = 8
"""The last bytes of a parquet file: the length of its footer, and the magic."""


def parquet_end_bytes(tail: bytes) -> int:
    """Return the size of a parquet file's end (footer, its length, magic) from ``tail``, its last ``TAIL_BYTES``.

    It is 0 if ``tail`` is not the end of a parquet file. The file states the length, which may exceed the file's.
    """
    tail = tail[-TAIL_BYTES:]
    size = int.from_bytes(tail[:4], "little")
    return size + TAIL_BYTES if size and tail[4:] == PARQUET_MAGIC else 0


def end_bytes_of(file: BinaryIO) -> int:
    """Return the size of an open parquet file's end, as :func:`parquet_end_bytes`. **Cost**: reads 8 bytes."""
    file_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, file_bytes - TAIL_BYTES))
    return parquet_end_bytes(file.read())


def scan_parquet(place: Path | str) -> pl.LazyFrame:
    """Return one parquet file as a lazy frame. A text may be a ``gs://`` URI.

    Raises:
        OSError: a path that is no regular file, has a name that is not UTF-8, or cannot be read.
    """
    source, options = _source(place)
    return pl.scan_parquet(source, glob=False, hive_partitioning=False, storage_options=options)


def scan_open_parquet(file: BinaryIO) -> pl.LazyFrame:
    """Return an open parquet file as a lazy frame, which reads this file even after another one has taken its name.

    Polars keeps a descriptor of its own, so that ``file`` may be closed.
    """
    return pl.scan_parquet(file, hive_partitioning=False)


def read_parquet(
    source: Path | bytes, columns: Sequence[str] | None = None, *, use_statistics: bool = True
) -> pl.DataFrame:
    """Return columns of one local parquet file, or of one in memory.

    **Shape**: the file's rows x ``columns``, all of them where None.

    Raises:
        OSError: as :func:`scan_parquet`.
    """
    with _panics_as_errors():
        return pl.read_parquet(
            source if isinstance(source, bytes) else _source(source)[0],
            columns=None if columns is None else list(columns),
            glob=False,
            hive_partitioning=False,
            use_statistics=use_statistics,
        )


def parquet_schema(source: Path | bytes) -> dict[str, pl.DataType]:
    """Return the names and types of the columns of a local parquet file, or of one in memory. **Cost**: its footer.

    Raises:
        OSError: as :func:`scan_parquet`.
    """
    with _panics_as_errors():
        if isinstance(source, bytes):
            return dict(pl.read_parquet_schema(source))
        return dict(scan_parquet(source).collect_schema())


def read_csv(data: bytes, columns: Sequence[str], separator: str) -> pl.DataFrame:
    """Return columns of CSV in memory as text; an empty field is null.

    **Shape**: a row a line after the first, which names the columns.
    """
    return pl.read_csv(data, columns=list(columns), separator=separator, infer_schema=False)


@contextmanager
def _panics_as_errors() -> Generator[None]:
    """Turn a panic of Polars, which is no ``Exception``, into an error: it means that the file is damaged."""
    try:
        yield
    except pl.exceptions.PanicException as error:
        raise pl.exceptions.ComputeError(f"Polars cannot read it: {first_line(error)}") from None


def _source(place: Path | str) -> tuple[str, dict[str, str] | None]:
    """Return the place for Polars to open, and the storage options for it."""
    if isinstance(place, str) and is_address(place):
        return place, _storage_options(place)
    path = regular_file(Path(place)).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:  # Polars takes paths as text
        raise OSError(f"its name is not UTF-8: {str(path)!r}") from None
    return str(path), None


def _storage_options(uri: str) -> dict[str, str] | None:
    """Return the options by which Polars reads from the same server as the store's own client.

    None stands for Cloud Storage itself: Polars finds the application's default credentials.
    """
    endpoint = storage_endpoint() if uri.startswith(GCS_SCHEME) else None
    return {"google_base_url": endpoint, "google_skip_signature": "true"} if endpoint else None
