"""Columns are read as they were written, whatever the file stores them as, or refused by file and column."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import InexactValue
from bqx_assets.extract.columns import KEY_TYPE, ColumnFile, arrow_file, as_floats, as_moments

MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999))  # noqa: DTZ001 -- without a zone
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


def _file(path: Path, how: dict[str, Any] | None = None, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, **(how or {}))
    return path


def _read(path: Path, *names: str) -> pl.DataFrame:
    with path.open("rb") as file:
        return ColumnFile(file, "eurusd/t").read(names)


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@settings(deadline=None)
@given(moments=st.lists(st.none() | MOMENTS, min_size=1, max_size=20), use_dictionary=st.booleans())
def test_moments_of_96_bits_are_those_written_in_any_year(
    tmp_path_factory: pytest.TempPathFactory, moments: list[datetime | None], *, use_dictionary: bool
) -> None:
    path = tmp_path_factory.mktemp("int96") / "t.parquet"
    how = {"use_deprecated_int96_timestamps": True, "store_schema": False, "use_dictionary": use_dictionary}
    _file(path, how, at=pa.array(moments, pa.timestamp("us")))
    read = _read(path, "at").to_series()
    assert read.dtype == KEY_TYPE
    assert read.to_physical().to_list() == [None if moment is None else _micros(moment) for moment in moments]


def _int96(path: Path, day: int, nanoseconds: int) -> Path:
    """One moment of 96 bits as no writer at hand gives it: any Julian day, any nanoseconds."""
    how = {
        "use_deprecated_int96_timestamps": True,
        "store_schema": False,
        "use_dictionary": False,
        "compression": "none",
    }
    _file(path, how | {"write_statistics": False, "compression": "none"}, at=pa.array([EPOCH], pa.timestamp("us")))
    data = path.read_bytes()
    written = struct.pack("<qI", 0, 2_440_588)
    assert data.count(written) == 1
    path.write_bytes(data.replace(written, struct.pack("<qI", nanoseconds, day)))
    return path


@pytest.mark.parametrize(
    ("day", "nanoseconds", "what"),
    [
        (5_373_485, 0, "outside of the years"),  # 10000-01-01
        (2**32 - 1, 0, "outside of the years"),
        (1_721_424, 0, "outside of the years"),  # a day before year 1
        (2_440_588, -1_000, ""),
        (2_440_588, 900, "below a microsecond"),
        (5_373_484, 86_399_999_999_999, "below a microsecond"),
    ],
)
def test_moments_of_96_bits_that_no_microsecond_holds_are_refused(
    tmp_path: Path, day: int, nanoseconds: int, what: str
) -> None:
    with pytest.raises(InexactValue, match=rf"eurusd/t: at INT96: 1 values .*{what}"):
        _read(_int96(tmp_path / "t.parquet", day, nanoseconds), "at")


def test_the_last_moment_of_year_9999_is_read_to_its_last_digit(tmp_path: Path) -> None:
    read = _read(_int96(tmp_path / "t.parquet", 5_373_484, 86_399_999_999_000), "at").to_series()
    assert read.to_list() == [datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)]


@given(st.sampled_from(["s", "ms", "us", "ns"]), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5))
def test_ticks_of_any_unit_are_exact_or_refused(unit: str, ticks: list[int]) -> None:
    nanos = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    low, high = -62_135_596_800_000_000, 253_402_300_799_999_999
    exact = [tick * nanos // 1_000 for tick in ticks]
    fits = all(tick * nanos % 1_000 == 0 and low <= value <= high for tick, value in zip(ticks, exact, strict=True))
    series = pl.Series("at", ticks, pl.Int64)
    if fits:
        assert as_moments(series, unit, "t").to_physical().to_list() == exact
    else:
        with pytest.raises(InexactValue, match=r"t: at "):
            as_moments(series, unit, "t")


@pytest.mark.parametrize("zone", ["UTC", "Z", "+05:30", "-02:15", "Europe/Paris", "Mars/Olympus", None])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_zone_says_how_a_moment_is_shown_and_not_which_it_is(tmp_path: Path, zone: str | None, unit: str) -> None:
    seconds = np.array([-3_600, 0, 1_700_000_000])
    ticks = seconds * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    path = _file(tmp_path / "t.parquet", at=pa.array(ticks).cast(cast("Any", pa.timestamp)(unit, zone)))
    assert _read(path, "at").to_series().to_physical().to_list() == (seconds * 10**6).tolist()


VALUES: list[tuple[str, Callable[[], Any], list[Any]]] = [
    ("uint8", lambda: pa.array([0, 255, None], pa.uint8()), [0, 255, None]),
    ("int8", lambda: pa.array([-128, 127, None], pa.int8()), [-128, 127, None]),
    ("uint64", lambda: pa.array([0, 2**63 - 1, None], pa.uint64()), [0, 2**63 - 1, None]),
    ("float16", lambda: pa.array(np.array([0.5, -2.0, 65504.0], np.float16)), [0.5, -2.0, 65504.0]),
    ("float32", lambda: pa.array([0.5, None, 2.0**-149], pa.float32()), [0.5, None, 2.0**-149]),
    ("null", lambda: pa.nulls(3), [None, None, None]),
    ("bool", lambda: pa.array([True, None, False]), [True, None, False]),
    ("dictionary", lambda: pc.dictionary_encode(pa.array(["a", None, "a"])), ["a", None, "a"]),
    ("large_string", lambda: pa.array(["a", None, ""], pa.large_string()), ["a", None, ""]),
    ("string_view", lambda: pa.array(["a", None, "ä" * 300], pa.string_view()), ["a", None, "ä" * 300]),
    ("date", lambda: pa.array([date(1969, 12, 31), None, date(9999, 12, 31)]),
     [datetime(1969, 12, 31, tzinfo=UTC), None, datetime(9999, 12, 31, tzinfo=UTC)]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES])
@pytest.mark.parametrize("use_dictionary", [False, True])
def test_each_stored_type_gives_the_values_that_were_written(
    tmp_path: Path, values: Callable[[], Any], expected: list[Any], *, use_dictionary: bool
) -> None:
    path = _file(tmp_path / "t.parquet", {"use_dictionary": use_dictionary, "row_group_size": 2}, x=values())
    assert _read(path, "x").to_series().to_list() == expected


def test_unsigned_numbers_beyond_int64_are_refused_with_their_count(tmp_path: Path) -> None:
    path = _file(tmp_path / "t.parquet", x=pa.array([2**64 - 1, 2**63, 5, None], pa.uint64()))
    with pytest.raises(InexactValue, match=r"eurusd/t: x UINT64: 2 values over 9,223,372,036,854,775,807"):
        _read(path, "x")


def test_whole_numbers_become_fractions_only_where_no_digit_is_lost() -> None:
    assert as_floats(pl.Series("x", [2**53, -(2**53), None]), "t").to_list() == [2.0**53, -(2.0**53), None]
    with pytest.raises(InexactValue, match="t: x INT64: 1 values"):
        as_floats(pl.Series("x", [2**53 + 1, 4]), "t")


TEXTS = st.lists(st.none() | st.sampled_from(["", "a", "ab", "ä" * 40, "x" * 100]), max_size=60)
ENCODINGS: list[dict[str, Any]] = [
    {"use_dictionary": True},
    {"use_dictionary": False},
    {"use_dictionary": True, "dictionary_pagesize_limit": 1},
    {"use_dictionary": False, "column_encoding": {"s": "DELTA_BYTE_ARRAY"}},
    {"use_dictionary": False, "column_encoding": {"s": "DELTA_LENGTH_BYTE_ARRAY"}},
]


@settings(deadline=None)
@given(TEXTS, st.sampled_from(ENCODINGS), st.sampled_from([7, 1_000]))
def test_texts_of_any_encoding_and_row_groups_are_those_written(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], how: dict[str, Any], group_rows: int
) -> None:
    path = tmp_path_factory.mktemp("texts") / "t.parquet"
    _file(path, how | {"row_group_size": group_rows}, s=pa.array(texts, pa.string()), x=pa.array(range(len(texts))))
    read = _read(path, "s", "x")
    assert read["s"].to_list() == texts
    assert read["x"].to_list() == list(range(len(texts)))


@pytest.mark.parametrize("use_dictionary", [False, True])
def test_texts_that_are_not_utf_8_are_an_error_that_names_their_column(tmp_path: Path, *, use_dictionary: bool) -> None:
    made = pa.array([b"a\xff", b"b"])
    texts = pa.StringArray.from_buffers(2, made.buffers()[1], made.buffers()[2])  # type: ignore[arg-type]
    path = _file(tmp_path / "t.parquet", {"use_dictionary": use_dictionary}, x=pa.array([1, 2]), s=texts)
    with path.open("rb") as file:
        columns = ColumnFile(file, "t")
        with pytest.raises(pa.ArrowInvalid, match="UTF8"):
            columns.read(["x", "s"])
        assert columns.first_unreadable(["x", "s"]) == "s"


def test_a_page_is_held_against_its_own_checksum(tmp_path: Path) -> None:
    how = {"write_page_checksum": True, "use_dictionary": False, "compression": "none"}
    path = _file(tmp_path / "t.parquet", how, x=np.arange(100), y=np.arange(100) + 0.5)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<d", 42.5), struct.pack("<d", 43.5), 1))
    with path.open("rb") as file:
        columns = ColumnFile(file, "t")
        assert columns.read(["x"]).height == 100
        with pytest.raises(OSError, match="CRC"):
            columns.read(["x", "y"])
        assert columns.first_unreadable(["x", "y"]) == "y"


def test_repeated_texts_take_the_memory_of_their_dictionary(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(
        pa.array([number % 5 for number in range(50_000)], pa.int32()), pa.array([c * 10_000 for c in "abcde"])
    )
    path = _file(tmp_path / "t.parquet", s=texts)  # 500 MB as plain texts
    before = pa.total_allocated_bytes()
    with path.open("rb") as file:
        columns = ColumnFile(file, "t")
        stated = columns.decoded_bytes("s")
        read = columns.read(["s"])
    assert stated < 2 << 20
    assert pa.total_allocated_bytes() - before < 2 * stated
    assert read["s"].str.len_bytes().sum() == 500_000_000


def test_a_local_file_is_read_by_arrow_itself_and_an_object_by_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_bytes(b"0123")
    with path.open("rb") as file:
        path.unlink()  # the open file is meant, whatever its name holds by now
        path.write_bytes(b"other")
        read = arrow_file(file)
        assert not isinstance(read, pa.PythonFile)
        assert read.read() == b"0123"
        assert file.read() == b"0123", "its own position is not moved"
    assert arrow_file(BytesIO(b"0123")).read() == b"0123"
