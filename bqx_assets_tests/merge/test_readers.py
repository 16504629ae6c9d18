"""Every reader reads every value equal, bit by bit, in each encoding that any setting may choose for its type."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import working_folder
from bqx_assets.extract.encodings import PARQUET_NAMES, POLICIES
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.footer import read_footer
from bqx_assets.merge.pages import refuse_damaged_pages
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD, type_name
from bqx_assets_tests.merge.encoded import PAGES, VARIED, awkward_values, encodings_of, table_of, write_encoded
from bqx_assets_tests.merge.outside_readers import OUTSIDE_READERS, why_not
from bqx_assets_tests.merge.readers import FILTERS, READERS, by_fastparquet
from bqx_assets_tests.merge.slabs import SETTINGS


class Encoded(NamedTuple):
    """A training file that has all values in all encodings."""

    path: Path
    values: pl.DataFrame
    columns: dict[str, str]
    """Which of the values each column has."""


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    folder = tmp_path_factory.mktemp("encoded")
    with pytest.MonkeyPatch.context() as patch:
        columns = write_encoded(folder / "slabs", patch)
    plan = plan_merge(EURUSD, working_folder(folder / "slabs"), SETTINGS)
    merge(plan, *StoredFile.at(folder / "out.parquet"), engine="splice", progress=Silent())
    return Encoded(folder / "out.parquet", awkward_values(), columns)


def test_the_file_has_every_encoding_that_the_product_may_choose(encoded: Encoded) -> None:
    metadata = pq.read_metadata(encoded.path)
    found: dict[str, set[tuple[str, str]]] = {}
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(place)
            table = chunk.path_in_schema.rpartition("__")[0]
            found.setdefault(table, set()).update((each, chunk.compression) for each in chunk.encodings)
    for each in {each for kind in COLUMN_TYPES for each in encodings_of(kind)}:
        stated = PARQUET_NAMES[each.kind], "UNCOMPRESSED" if each.codec == "none" else each.codec.upper()
        assert stated in found[table_of(each)], each
        assert stated in found[VARIED], each


def test_the_values_are_of_every_type_and_fill_several_pages(encoded: Encoded) -> None:
    assert {type_name(dtype) for dtype in encoded.values.dtypes} == COLUMN_TYPES.keys()
    with encoded.path.open("rb") as file:
        pages = refuse_damaged_pages(file, read_footer(encoded.path), encoded.columns)
    assert {len(found) for found in pages.values()} == {PAGES}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_reads_every_value_in_every_encoding(encoded: Encoded, reader: str) -> None:
    assert _differing(encoded, READERS[reader](encoded.path, list(encoded.columns))) == {}


@pytest.mark.parametrize("reader", FILTERS)
def test_rows_that_a_filter_selects_have_their_own_values_in_every_encoding(encoded: Encoded, reader: str) -> None:
    selected = encoded._replace(values=encoded.values.filter(pl.col("flag")))
    read = FILTERS[reader](encoded.path, "plain_none__flag")
    assert _differing(selected, read.select(*encoded.columns)) == {}


@pytest.mark.parametrize(("start", "rows"), [(999, 4), (1_500, 1), (2_099, 2), (3_100, 2_500)])
def test_a_slice_by_polars_has_its_own_values_in_every_encoding(encoded: Encoded, start: int, rows: int) -> None:
    part = encoded._replace(values=encoded.values.slice(start, rows))
    read = pl.scan_parquet(encoded.path).slice(start, rows).select(*encoded.columns).collect()
    assert _differing(part, read) == {}


@pytest.mark.parametrize("reader", OUTSIDE_READERS)
def test_readers_of_other_languages_read_every_value_in_every_encoding(encoded: Encoded, reader: str) -> None:
    if missing := why_not(reader):
        pytest.skip(missing)
    assert _differing(encoded, OUTSIDE_READERS[reader](encoded.path, list(encoded.columns))) == {}


def test_fastparquet_reads_every_value_in_plain_pages_and_dictionaries(encoded: Encoded) -> None:
    every = [each for kind in COLUMN_TYPES for each in encodings_of(kind) if each.kind in ("plain", "dictionary")]
    assert set(POLICIES["compatible"].encodings) <= set(every)
    tables = {table_of(each) for each in every} | {f"overflowing_{table_of(each)}" for each in every}
    columns = [name for name in encoded.columns if name.rpartition("__")[0] in tables]
    known = encoded._replace(values=encoded.values.with_columns(pl.col(pl.Float64).fill_null(np.nan)))
    assert _differing(known, by_fastparquet(encoded.path, columns)) == {}


def test_fastparquet_refuses_split_bytes_and_gets_wide_steps_of_times_wrong(encoded: Encoded, tmp_path: Path) -> None:
    """A limit of fastparquet 2026.9: where this fails, it has learnt to read what is encoded for other readers."""
    with pytest.raises(NotImplementedError, match="Encoding 9"):
        by_fastparquet(encoded.path, ["split_zstd_1__float"])
    times = encoded.values.select(pl.col("time").alias(KEY))
    path = tmp_path / "times.parquet"
    pq.write_table(times.to_arrow(), path, use_dictionary=False, column_encoding={KEY: "DELTA_BINARY_PACKED"})
    read = by_fastparquet(path, [KEY])
    wrong = (read[KEY] != times[KEY]).to_numpy()
    assert np.flatnonzero(wrong)[0] == 500  # a weekend, of 2 days in microseconds, takes more than 28 bits


def _differing(encoded: Encoded, read: pl.DataFrame) -> dict[str, str]:
    """Return what is wrong with each column that is not what was written."""
    found = {name: _difference(read[name], encoded.values[encoded.columns[name]]) for name in read.columns}
    assert found, "nothing was read"
    return {name: wrong for name, wrong in found.items() if wrong}


def _difference(read: pl.Series, written: pl.Series) -> str:
    if (read.dtype, read.len()) != (written.dtype, written.len()):
        return f"{read.len()} values of {read.dtype}, not {written.len()} of {written.dtype}"
    if not read.is_null().equals(written.is_null()):
        return f"{read.null_count()} nulls, not {written.null_count()}, or other ones"
    wrong = np.flatnonzero(_bits(read) != _bits(written))
    return f"{wrong.size} values, first {read[int(wrong[0])]!r} in row {wrong[0]}" if wrong.size else ""


def _bits(series: pl.Series) -> np.ndarray:
    """Return values of which equal ones have equal bits: NaN and minus zero are compared as they are written."""
    values = series.drop_nulls().to_physical().to_numpy()
    return values.view(np.int64) if series.dtype == pl.Float64 else values
