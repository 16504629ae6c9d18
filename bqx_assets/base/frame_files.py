"""Parquet and CSV files as Polars frames: the one door through which this package lets Polars open a path.

Belongs here: how a local path or a ``gs://`` address is given to Polars. Does not: what is in the file, or how it is
written.

Polars takes a path for a pattern unless told otherwise: ``exp[1]/a.parquet`` then means ``exp1/a.parquet``, and a
merge of the first has read the second. It also expands ``~``, takes ``file:a`` for an address, reads all files of a
folder that is named like a file, and waits for ever for a writer of a named pipe. Here a path is one regular file.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from bqx_assets.base.files import regular_file
from bqx_assets.base.printable import first_line
from bqx_assets.base.store.naming import is_gcs_uri, storage_endpoint

PARQUET_MAGIC = b"PAR1"
"""The first and the last bytes of every parquet file."""
TAIL_BYTES = 8
"""The last bytes of a parquet file: the length of its footer, and the magic."""


def parquet_end_bytes(tail: bytes) -> int:
    """Return how many bytes the end of a parquet file has: footer, its length and magic, by its last ``TAIL_BYTES``.

    0 where ``tail`` is not the end of a parquet file. The length is what the file states: it may exceed the file.
    """
    tail = tail[-TAIL_BYTES:]
    size = int.from_bytes(tail[:4], "little")
    return size + TAIL_BYTES if size and tail[4:] == PARQUET_MAGIC else 0


def scan_parquet(place: Path | str) -> pl.LazyFrame:
    """Return one parquet file as a lazy frame. A text is a ``gs://`` address, anything else a path.

    Raises:
        OSError: a path that is no regular file, has a name that is not UTF-8, or cannot be read.
    """
    source, options = _source(place)
    return pl.scan_parquet(source, glob=False, hive_partitioning=False, storage_options=options)


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
    """Return the names and types of the columns of one local parquet file, or of one in memory. **Cost**: its footer.

    Raises:
        OSError: as :func:`scan_parquet`.
    """
    with _panics_as_errors():
        if isinstance(source, bytes):
            return dict(pl.read_parquet_schema(source))
        return dict(scan_parquet(source).collect_schema())


def read_csv(data: bytes, columns: Sequence[str], separator: str) -> pl.DataFrame:
    """Return columns of CSV in memory as text; an empty field is null. Its bytes are read without Polars.

    **Shape**: a row a line after the first, which names the columns.
    """
    return pl.read_csv(data, columns=list(columns), separator=separator, infer_schema=False)


@contextmanager
def _panics_as_errors() -> Generator[None]:
    """Turn a panic into an error: it is no Exception, and means that damage ran into a check of Polars' own."""
    try:
        yield
    except pl.exceptions.PanicException as error:
        raise pl.exceptions.ComputeError(f"Polars cannot read it: {first_line(error)}") from None


def _source(place: Path | str) -> tuple[str, dict[str, str] | None]:
    """What Polars is to open, and with which options."""
    if isinstance(place, str) and is_gcs_uri(place):
        return place, _storage_options()
    path = regular_file(Path(place)).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:  # Polars takes paths as text
        raise OSError(f"its name is not UTF-8: {str(path)!r}") from None
    return str(path), None


def _storage_options() -> dict[str, str] | None:
    """Read from where the store's own client does.

    None for Cloud Storage itself: Polars finds the application's default credentials.
    """
    endpoint = storage_endpoint()
    return {"google_base_url": endpoint, "google_skip_signature": "true"} if endpoint else None
