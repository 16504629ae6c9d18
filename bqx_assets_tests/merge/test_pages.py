"""Pages are held against their headers and checksums, and statistics against values, before a file is merged."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.errors import BqxError, FooterError
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import working_folder
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.footer import read_footer
from bqx_assets.merge.pages import refuse_damaged_pages
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.footers import (
    I32,
    I64,
    TEXT,
    Fields,
    bytes_of,
    change_footer,
    elements,
    fields_of,
    meta,
    statistics,
)
from bqx_assets_tests.merge.mutations import ROWS, TABLE, judge, mutate, write_bases
from bqx_assets_tests.merge.readers import arrow
from bqx_assets_tests.merge.slabs import SETTINGS, Told

X = 1


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One table by several writers, and targets beside them. Do not change them."""
    return write_bases(tmp_path_factory.mktemp("bases"))


@pytest.fixture
def raw(tmp_path: Path, bases: list[Path]) -> Path:
    """A raw folder with targets alone."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "targets.parquet").write_bytes((bases[0].parent / "targets.parquet").read_bytes())
    return folder


def _base(bases: list[Path], stem: str) -> Path:
    return next(base for base in bases if base.stem == stem)


def _merge(raw: Path) -> None:
    merge(
        plan_merge(EURUSD, working_folder(raw), SETTINGS), *StoredFile.at(raw.parent / "out.parquet"), progress=Told()
    )


def test_every_writers_good_file_is_merged_and_valid(raw: Path, bases: list[Path]) -> None:
    for base in bases:
        (raw / f"{TABLE}.parquet").write_bytes(base.read_bytes())
        assert judge(raw, raw.parent / "out.parquet") == "merged, valid: True"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "brotli", "lz4"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_every_page_with_a_checksum_is_held_against_it(
    tmp_path: Path, version: str, codec: str, *, dictionary: bool
) -> None:
    path = tmp_path / "a.parquet"
    values = np.random.default_rng(1).integers(0, 99, 3_000)
    frame = pl.DataFrame({"x": values, "s": values.astype(str), "n": pl.Series([None, 1.5] * 1_500)})
    arrow.write_table(frame.to_arrow(), path, data_page_version=version, compression=codec, use_dictionary=dictionary,
                      write_page_checksum=True, data_page_size=500)  # fmt: skip
    footer, good = read_footer(path), path.read_bytes()
    refuse_damaged_pages(BytesIO(path.read_bytes()), footer, footer.columns)
    for place, chunk in enumerate(footer.groups[0].chunks):
        for at in {chunk.end - 1, chunk.data_page - 1 if dictionary else chunk.end - 1}:  # the last and the first page
            path.write_bytes(good[:at] + bytes([good[at] ^ 16]) + good[at + 1 :])
            with pytest.raises(FooterError, match=f"a.parquet: column {footer.columns[place]}: "):
                refuse_damaged_pages(BytesIO(path.read_bytes()), footer, footer.columns)
            others = [name for name in footer.columns if name != footer.columns[place]]
            refuse_damaged_pages(BytesIO(path.read_bytes()), footer, others)


@pytest.mark.parametrize("stem", ["checksums", "shuffled"])
def test_a_damaged_page_is_refused_by_file_and_column_as_it_lies_and_aligned(
    raw: Path, bases: list[Path], stem: str
) -> None:
    path = raw / f"{TABLE}.parquet"
    frame = pl.read_parquet(_base(bases, stem).read_bytes())
    plain = {"compression": "none", "use_dictionary": False}
    arrow.write_table(frame.to_arrow(), path, write_page_checksum=True, **plain)
    data = bytearray(path.read_bytes())
    data[bytes(data).find(frame["x"].to_numpy()[7:9].tobytes()) + 6] ^= 16
    path.write_bytes(data)
    with pytest.raises(FooterError, match=rf"{TABLE}: column x: the page at byte [\d,]+ fails its own CRC-32"):
        _merge(raw)
    assert not (raw.parent / "out.parquet").exists()


def test_damaged_targets_are_refused(raw: Path, bases: list[Path]) -> None:
    (raw / f"{TABLE}.parquet").write_bytes(bases[0].read_bytes())
    path = raw / "targets.parquet"
    frame = pl.read_parquet(path)
    arrow.write_table(frame.to_arrow(), path, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[bytes(data).find(frame["target_bqx45_h15"].to_numpy()[8:10].tobytes()) + 6] ^= 1
    path.write_bytes(data)
    with pytest.raises(FooterError, match="targets: column target_bqx45_h15: the page"):
        _merge(raw)


HEADERS: dict[str, Callable[[Fields], object]] = {
    "of another kind": lambda h: h.update({1: (I32, 7)}),
    "an index": lambda h: h.update({1: (I32, 1)}),
    "of more raw bytes": lambda h: h.update({2: (I32, h[2][1] + 1)}),
    "of no raw bytes": lambda h: h.update({2: (I32, 0)}),
    "of 2 GiB": lambda h: h.update({2: (I32, 2**31 - 1)}),
    "of more bytes": lambda h: h.update({3: (I32, h[3][1] + 1)}),
    "of fewer than no bytes": lambda h: h.update({3: (I32, -1)}),
    "of fewer values": lambda h: h[5][1].update({1: (I32, ROWS - 1)}),
    "of fewer than no values": lambda h: h[5][1].update({1: (I32, -1)}),
    "of an encoding for integers": lambda h: h[5][1].update({2: (I32, 5)}),
    "of an encoding that its column does not state": lambda h: h[5][1].update({2: (I32, 9)}),
    "of a dictionary that is not there": lambda h: h[5][1].update({2: (I32, 8)}),
    "of levels in bits": lambda h: h[5][1].update({3: (I32, 4)}),
    "of levels that nobody knows": lambda h: h[5][1].update({4: (I32, -3)}),
    "without its header": lambda h: h.pop(5),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_page_that_contradicts_its_column_is_refused_by_column(raw: Path, bases: list[Path], name: str) -> None:
    """Uncompressed, so that not even a decoder would notice; bytes go from the page's end to keep its place."""
    data = bytearray(_base(bases, "plain").read_bytes())
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    chunk = meta(fields_of(bytes(data), start)[0], X)
    at, size = chunk[9][1], chunk[7][1]
    header, body = fields_of(bytes(data), at)
    HEADERS[name](header)
    page = bytes_of(header) + bytes(data[body : at + size])
    data[at : at + size] = page[:size].ljust(size, b"\0")
    (raw / f"{TABLE}.parquet").write_bytes(data)
    with pytest.raises(FooterError, match=f"{TABLE}: column x: "):
        _merge(raw)


def test_a_dictionary_of_another_number_of_values_is_refused(raw: Path, bases: list[Path]) -> None:
    data = bytearray(_base(bases, "snappy").read_bytes())
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    at = meta(fields_of(bytes(data), start)[0], X)[11][1]
    header, body = fields_of(bytes(data), at)
    header[7][1][1] = (I32, header[7][1][1][1] - 1)
    data[at:body] = bytes_of(header)
    (raw / f"{TABLE}.parquet").write_bytes(data)
    with pytest.raises(FooterError, match=f"{TABLE}: column x: .*dictionary"):
        _merge(raw)


FALSE: dict[str, tuple[int, dict[int, tuple[int, Any]]]] = {
    "x: max": (1, {5: (TEXT, np.float64(0.5).tobytes())}),
    "i: min": (2, {6: (TEXT, np.int64(3).tobytes())}),
    "s: max": (3, {5: (TEXT, b"a")}),
    "n: nulls": (5, {3: (I64, 5)}),
}


@pytest.mark.parametrize("name", FALSE)
def test_statistics_that_are_false_are_refused_where_they_would_be_carried_on(
    raw: Path, bases: list[Path], name: str
) -> None:
    place, false = FALSE[name]
    path = raw / f"{TABLE}.parquet"
    change_footer(_base(bases, "snappy"), lambda footer: statistics(footer, place).update(false), path)
    with pytest.raises(FooterError, match=f"{TABLE}: column {name} .* stated, .* found"):
        _merge(raw)


def _with_page_bounds(bases: list[Path], place: int, false: dict[int, tuple[int, Any]]) -> bytes:
    """The uncompressed file, with other bounds in the header of a column's only page; all else as it was."""
    data = bytearray(_base(bases, "plain").read_bytes())
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    at = meta(fields_of(bytes(data), start)[0], place)[9][1]
    header, body = fields_of(bytes(data), at)
    header[5][1][5][1].update(false)
    data[at:body] = bytes_of(header)
    assert len(data) == _base(bases, "plain").stat().st_size
    return bytes(data)


@pytest.mark.parametrize(
    ("place", "word", "false"),
    [(1, "x: a page of rows from 0: min", {6: (TEXT, np.float64(0.5).tobytes())}),
     (3, "s: a page of rows from 0: max", {5: (TEXT, b"a" * len("text 9é".encode()))})],
)  # fmt: skip
def test_a_pages_own_statistics_that_are_false_are_refused_for_a_reader_skips_by_them(
    raw: Path, bases: list[Path], place: int, word: str, false: dict[int, tuple[int, Any]]
) -> None:
    path = raw / f"{TABLE}.parquet"
    path.write_bytes(_with_page_bounds(bases, place, false))
    with pytest.raises(FooterError, match=f"{TABLE}: column {word} .* stated"):
        _merge(raw)
    report = validate(StoredFile.at(path), EURUSD, load_expectations(), manifest=None, progress=Silent())
    found = next(each for each in report.verdicts if each.rule == "statistics_equal_values")
    assert not found.passed
    assert word in found.got


def test_pages_of_texts_with_bounds_of_no_stated_order_are_encoded_anew(raw: Path, bases: list[Path]) -> None:
    path = raw / f"{TABLE}.parquet"
    path.write_bytes(_with_page_bounds(bases, 3, {5: (TEXT, b"a" * len("text 9é".encode()))}))
    change_footer(path, lambda footer: footer.pop(7))
    told = Told()
    merge(plan_merge(EURUSD, working_folder(raw), SETTINGS), *StoredFile.at(raw.parent / "out.parquet"), progress=told)
    assert (TABLE, "aligned") in told.steps
    assert judge(raw, raw.parent / "out.parquet").startswith("merged")


ROOTS: dict[str, Callable[[Fields], object]] = {
    "a repetition that nobody knows": lambda root: root.update({3: (I32, 8)}),
    "a type": lambda root: root.update({1: (I32, 2)}),
    "a name that is no text": lambda root: root.update({4: (TEXT, b"\xac")}),
}


@pytest.mark.parametrize("name", ROOTS)
def test_a_root_that_some_reader_refuses_is_refused(raw: Path, bases: list[Path], name: str) -> None:
    path = raw / f"{TABLE}.parquet"
    change_footer(bases[0], lambda footer: ROOTS[name](elements(footer)[0]), path)
    with pytest.raises(FooterError, match=f"{TABLE}: .* a root"):
        _merge(raw)


@pytest.mark.parametrize(("stem", "raw_bytes"), [("plain", 10**12), ("snappy", 10**12), ("plain", 5)])
def test_raw_bytes_that_cannot_be_are_refused_before_memory_is_asked_for(
    raw: Path, bases: list[Path], stem: str, raw_bytes: int
) -> None:
    path = raw / f"{TABLE}.parquet"
    change_footer(_base(bases, stem), lambda footer: meta(footer, 3).update({6: (I64, raw_bytes)}), path)
    with pytest.raises(FooterError, match=f"{TABLE}: .*s: "):
        _merge(raw)


@pytest.mark.parametrize("sizes", [(ROWS, 0), (0, ROWS), (0, ROWS, 0), (100, 0, 140), (100, 140)])
def test_row_groups_without_rows_are_read(raw: Path, bases: list[Path], sizes: tuple[int, ...]) -> None:
    table = arrow.read_table(_base(bases, "plain"))
    with arrow.ParquetWriter(raw / f"{TABLE}.parquet", table.schema) as writer:
        first = 0
        for size in sizes:
            writer.write_table(table.slice(first, size))
            first += size
    _merge(raw)
    merged = pl.read_parquet(raw.parent / "out.parquet")
    assert merged["foo__x"].to_list() == table["x"].to_pylist()
    assert judge(raw, raw.parent / "out.parquet") == "merged, valid: True"


def test_a_file_of_no_rows_is_an_empty_table(raw: Path, bases: list[Path]) -> None:
    table = arrow.read_table(_base(bases, "plain"))
    arrow.write_table(table.slice(0, 0), raw / f"{TABLE}.parquet")
    with pytest.raises(BqxError, match=TABLE) as caught:
        _merge(raw)
    assert type(caught.value).__name__ == "EmptyTable"


def test_damaged_files_are_refused_or_read_alike_by_every_reader(raw: Path, bases: list[Path]) -> None:
    """A few of those that ``python -m benchmarks.fuzz_footers`` makes by the thousand."""
    outcomes: set[str] = set()
    for case in range(48):
        mutate(bases[case % len(bases)], raw / f"{TABLE}.parquet", 1_000 + case)
        outcomes.add(judge(raw, raw.parent / "out.parquet").split(",")[0])
    assert outcomes == {"refused", "merged"}
