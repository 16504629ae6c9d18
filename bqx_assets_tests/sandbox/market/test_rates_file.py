"""A vendor's file is read right whatever its separator, names and numbers, or refused by file, row and value."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.names import KEY
from bqx_assets.sandbox.market.rates_file import CLOCK, PAIR, ROW, VOLUME, RatesFile, read_file

PLAIN = "interval_time,pair,close\n2024-01-02,eurusd,1.0853\n2024-01-03,eurusd,1.09\n"


def _read(folder: Path, data: str | bytes, name: str = "rates.csv") -> RatesFile:
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_file(folder / name)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PLAIN.encode("utf-8-sig"), id="byte order mark"),
        pytest.param(PLAIN.encode("utf-16"), id="utf-16"),
        pytest.param(PLAIN.encode("utf-16-be").join((b"\xfe\xff", b"")), id="utf-16 big end first"),
        pytest.param(PLAIN.replace("\n", "\r\n"), id="windows"),
        pytest.param(PLAIN.replace("\n", "\r"), id="old macintosh"),
        pytest.param(PLAIN + "\n\n", id="blank end"),
        pytest.param(PLAIN.rstrip(), id="no end"),
        pytest.param(PLAIN.replace(",", ";"), id="semicolon"),
        pytest.param(PLAIN.replace(",", ";").replace(".", ","), id="decimal comma"),
        pytest.param(PLAIN.replace(",", "\t"), id="tab"),
        pytest.param(PLAIN.replace(",", "|"), id="bar"),
        pytest.param(PLAIN.replace(",", '","').replace("\n", '"\n"').removesuffix('"').join(('"', "")), id="quoted"),
        pytest.param(PLAIN.replace(",", ", "), id="blanks"),
        pytest.param(PLAIN.replace("1.09", "+109e-2"), id="exponent"),
        pytest.param(PLAIN.replace("interval_time,pair,close", "Date,Symbol,CLOSE"), id="names"),
        pytest.param(PLAIN.replace("interval_time,pair,close", "<TIME>,<TICKER>,<CLOSE>"), id="angles"),
        pytest.param(PLAIN.replace("interval_time,pair,close", "Gmt time,Currency Pair,c"), id="other names"),
    ],
)
def test_the_same_rates_in_another_dress_are_the_same(tmp_path: Path, data: str | bytes) -> None:
    frame = _read(tmp_path, data).frame
    assert frame.get_column("close").to_list() == [1.0853, 1.09]
    assert frame.get_column(PAIR).str.strip_chars().to_list() == ["eurusd", "eurusd"]
    assert frame.get_column(KEY).str.strip_chars().to_list() == ["2024-01-02", "2024-01-03"]
    assert frame.get_column(ROW).to_list() == [1, 2]


def test_what_was_read_as_what_and_what_was_ignored_is_said(tmp_path: Path) -> None:
    yahoo = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,1.1,1.2,1.0,1.15,1.14,12.0\n"
    file = _read(tmp_path, yahoo)
    assert file.frame.get_column("close").to_list() == [1.15]
    assert file.frame.get_column(VOLUME).to_list() == [12]
    assert "'Date' as interval_time" in file.said[0]
    assert "'Volume' as tick_volume" in file.said[0]
    assert file.said[1] == "columns ignored: 'Adj Close'"


def test_metatraders_columns_are_read_and_its_other_volume_ignored(tmp_path: Path) -> None:
    head = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
    file = _read(
        tmp_path, (head + "2024.01.02\t00:05:00\t1.1\t1.2\t1.0\t1.15\t5\t9\t3\n").encode("utf-16"), "eurusd.txt"
    )
    assert file.frame.get_column(VOLUME).to_list() == [5]
    assert file.frame.select(KEY, CLOCK).row(0) == ("2024.01.02", "00:05:00")
    assert file.said[1] == "columns ignored: '<VOL>', '<SPREAD>'"


def test_our_own_name_wins_over_a_vendors(tmp_path: Path) -> None:
    file = _read(tmp_path, "date,interval_time,pair,close\n1,2024-01-02,eurusd,1.1\n")
    assert file.frame.get_column(KEY).to_list() == ["2024-01-02"]
    assert file.said == ["columns ignored: 'date'"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("date,timestamp,close\n1,2,3\n", "columns 'date' and 'timestamp', each of which could be interval_time"),
        ("time,close,Close\n1,2,3\n", "columns 'close' and 'Close', each of which could be close"),
        ("time,close,close\n1,2,3\n", "columns 'close' and 'close'"),
        ("time,pair,symbol\n1,2,3\n", "no column close"),
        ("2024-01-02,eurusd,1.1\n", "no column interval_time among '2024-01-02'"),
        ("", "no column interval_time among none"),
        ("time,pair,close,spread\n2024-01-02,eurusd,1.1,1\n2024-01-03,eurusd,1.1\n", "3 fields in row 2"),
        ("time,pair,close\n2024-01-02,eurusd,1,0853\n", "4 fields in row 1"),
        ("time,pair,close\n2024-01-02,eurusd,1.1\n\n2024-01-03,eurusd,1.1\n", "0 fields in row 2"),
        ("time;close\n1;110,123\n2;110,456\n", "close '110,123' in row 1, and 1 rows more"),
        ("time;close\n1;1.085,3\n", "close '1.085,3' in row 1"),
        ("time;close\n1;1,085.3\n", "close '1,085.3' in row 1"),
        ("time;close\n1;1,5\n2;1.5\n", "close '1.5' in row 2"),
        ("time;close\n1;1,085,3\n", "close '1,085,3' in row 1"),
        ("time,close\n1,much\n", "close 'much' in row 1"),
        ("time,close\n1,1.1\n2,$1.1\n", "close '\\$1.1' in row 2"),
        ("time,close\n1,1_1\n", "close '1_1' in row 1"),
        ("time,close,volume\n1,1.1,12.5\n", "tick_volume '12.5' in row 1"),
        ("time,close,volume\n1,1.1,nan\n", "tick_volume 'nan' in row 1"),
        ("time,close,volume\n1,1.1,1e30\n", "tick_volume '1e30' in row 1"),
        (b"time,close\n1,\xff1\n", "UTF-8"),
        (b"time\0close\n", "not text"),
        (PLAIN.encode("utf-16-le"), "not text"),
        (PLAIN.encode("utf-16")[:-1], "truncated"),
    ],
)
def test_what_could_be_read_in_two_ways_or_none_is_refused(tmp_path: Path, data: str | bytes, says: str) -> None:
    with pytest.raises(BadSetting, match=says) as caught:
        _read(tmp_path, data)
    assert "rates.csv" in caught.value.subject


def test_a_comma_that_one_number_proves_to_be_decimal_is_so_in_all(tmp_path: Path) -> None:
    frame = _read(tmp_path, "time;open;close\n1;110,5;110,123\n2;110,25;111,456\n").frame
    assert frame.get_column("close").to_list() == [110.123, 111.456]
    assert _read(tmp_path, "time;close\n1;0,853\n").frame.get_column("close").to_list() == [0.853]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pl.Series("volume", [12.7]), "tick_volume 12.7 in row 1"),
        (pl.Series("volume", [2**63], dtype=pl.UInt64), "tick_volume"),
        (pl.Series("open", [True]), "open of type Boolean"),
        (pl.Series("open", ["1,085.3"]), "open '1,085.3' in row 1"),
    ],
)
def test_a_parquet_column_is_held_to_the_same(tmp_path: Path, column: pl.Series, says: str) -> None:
    pl.DataFrame({"time": [1], "close": [1.1]}).with_columns(column).write_parquet(tmp_path / "r.parquet")
    with pytest.raises(BadSetting, match=says):
        read_file(tmp_path / "r.parquet")


def test_numbers_of_any_type_of_parquet_are_the_same_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"time": [1, 2], "close": ["1.25", "1.5"], "volume": [7.0, 8.0]})
    for kind in (pl.String, pl.Float32, pl.Float64, pl.Decimal(10, 4)):
        frame.with_columns(pl.col("close").cast(kind)).write_parquet(tmp_path / "r.parquet")
        found = read_file(tmp_path / "r.parquet").frame
        assert (found.get_column("close").to_list(), found.get_column(VOLUME).to_list()) == ([1.25, 1.5], [7, 8])


@pytest.mark.parametrize("name", ["r[1].csv", "r*.csv", "~r.csv", "r?.CSV"])
def test_a_name_is_never_a_pattern(tmp_path: Path, name: str) -> None:
    (tmp_path / "r1.csv").write_text(PLAIN.replace("1.0853", "9.9"))
    assert _read(tmp_path, PLAIN, name).frame.get_column("close").to_list() == [1.0853, 1.09]
