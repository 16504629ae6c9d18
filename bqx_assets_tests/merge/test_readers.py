"""Every reader reads every value equal, bit by bit, in each encoding that any setting may choose for its type."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import NamedTuple

import duckdb
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
from bqx_assets.merge.footer import Footer, merge_footers, read_footer
from bqx_assets.merge.pages import refuse_damaged_pages
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD, minutes, type_name
from bqx_assets_tests.merge.encoded import PAGES, VARIED, awkward_values, encodings_of, table_of, write_encoded
from bqx_assets_tests.merge.footers import I32, LIST, STRUCT, Fields, change_footer, meta
from bqx_assets_tests.merge.outside_readers import OUTSIDE_READERS, why_not
from bqx_assets_tests.merge.readers import BETWEEN, FILTERS, READERS, by_fastparquet
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


@pytest.fixture(scope="module")
def periods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three periods of 1,000 minutes."""
    folder = tmp_path_factory.mktemp("periods")
    frame = pl.DataFrame([minutes(3_000), pl.Series("a__x", np.arange(3_000.0)), pl.Series("b__s", ["u", "d"] * 1_500)])
    footers: list[list[Footer]] = []
    data = b""
    for start in range(0, 3_000, 1_000):
        footers.append([])
        for number, columns in enumerate(([KEY, "a__x"], ["b__s"])):
            piece = folder / f"{start}-{number}.parquet"
            pq.write_table(frame.slice(start, 1_000).select(columns).to_arrow(), piece, store_schema=False)
            data += piece.read_bytes()
            footers[-1].append(read_footer(piece))
    whole = folder / "whole.parquet"
    whole.write_bytes(data + merge_footers(footers, [1_000] * 3, {}))
    assert pl.read_parquet(whole).equals(frame)
    return whole


@pytest.mark.parametrize("reader", BETWEEN)
@pytest.mark.parametrize("period", range(3))
def test_a_time_range_is_read_without_a_byte_of_the_other_periods(
    periods: Path, tmp_path: Path, reader: str, period: int
) -> None:
    whole = pl.read_parquet(periods)
    data = bytearray(periods.read_bytes())
    for number, group in enumerate(read_footer(periods).groups):
        for chunk in group.chunks if number != period else ():
            data[chunk.start : chunk.end] = b"\xff" * chunk.size_bytes
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(data)
    expected = whole.slice(1_000 * period, 1_000)
    since: datetime = expected[KEY][0]
    until = expected[KEY][-1] + timedelta(minutes=1)
    assert BETWEEN[reader](damaged, since, until).equals(expected)
    with pytest.raises(Exception, match=r"."):  # each reader has its own error: the damage is real
        READERS[reader.partition(",")[0]](damaged, whole.columns)


def _without_paths(meta: Fields) -> None:
    del meta[3]


def _without_bounds(meta: Fields) -> None:
    for field in (5, 6, 7, 8):
        meta.get(12, (STRUCT, {}))[1].pop(field, None)


def _without_names_of_encodings(meta: Fields) -> None:
    meta[2] = (LIST, (I32, []))


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [(_without_paths, {"pyarrow", "pandas", "duckdb"}), (_without_bounds, set()), (_without_names_of_encodings, set())],
)
def test_of_what_a_footer_repeats_for_each_chunk_only_the_paths_are_needed(
    periods: Path, tmp_path: Path, change: Callable[[Fields], None], refused_by: set[str]
) -> None:
    """Paths are half of a footer: where this fails, readers have learnt to do without them, and so may the product."""

    def all_chunks(footer: Fields) -> None:
        for group, place in product(range(3), range(3)):
            change(meta(footer, place, group))

    shorter = change_footer(periods, all_chunks, tmp_path / "shorter.parquet")
    whole = pl.read_parquet(periods)
    refused: set[str] = set()
    for name, reader in READERS.items():
        try:
            assert reader(shorter, whole.columns).equals(whole), name
        except (OSError, duckdb.Error):
            refused.add(name)
    assert refused == refused_by


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
