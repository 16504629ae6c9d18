"""A time of a rates file is the moment that it says, or it is refused: nothing is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.names import KEY
from bqx_assets.sandbox.market.rates_file import CLOCK, ROW, RatesFile, to_utc

NOON = datetime(2024, 3, 31, 12, 0, tzinfo=UTC)


def _read(*values: object, clock: object = None, dtype: pl.DataType | None = None) -> tuple[list[datetime], list[str]]:
    frame = pl.DataFrame({ROW: range(1, len(values) + 1), KEY: pl.Series([*values], dtype=dtype)})
    if clock is not None:
        frame = frame.with_columns(pl.lit(clock).alias(CLOCK))
    file = RatesFile(Path("rates.csv"), frame)
    to_utc(file)
    return file.frame.get_column(KEY).to_list(), file.said


@pytest.mark.parametrize(
    "text",
    [
        *("2024-03-31T12:00:00Z", "2024-03-31 12:00:00Z", "2024-03-31T12:00Z", "20240331T120000Z", "20240331 120000Z"),
        *("2024-03-31T14:00:00+02:00", "2024-03-31 14:00:00 +0200", "2024-03-31T17:30:00+05:30"),
        *("2024-03-31T09:45:00-02:15", "2024-04-01T02:00:00+14", "2024-03-31 12:00:00 UTC", "2024-03-31T12:00:00.000z"),
        *("2024-03-31T12:00:00,000000Z", " 2024-03-31T12:00:00.000000000Z "),
    ],
)
def test_iso_8601_with_a_zone_is_that_moment_and_nothing_is_said(text: str) -> None:
    assert _read(text) == ([NOON], [])


@pytest.mark.parametrize(
    "text", ["2024-03-31T12:00:00", "2024-03-31 12:00", "20240331 120000", "2024-03-31 12:00:00.0"]
)
def test_without_a_zone_it_is_utc_and_said(text: str) -> None:
    assert _read(text) == ([NOON], ["interval_time: times without a zone, taken as UTC"])


@pytest.mark.parametrize(
    "text",
    [
        *("03/04/2024", "04/03/2024 12:00", "31/03/2024", "2024.03.31", "2024.03.31 12:00", "31.03.2024 12:00:00.000"),
        *(
            "2024/03/31",
            "31-03-2024",
            "31-Mar-2024",
            "Mar 31, 2024",
            "240331",
            "2024-3-31",
            "2024-03-31 1:00 PM",
            "12:00",
        ),
        *(
            "2024-02-30",
            "2024-13-01",
            "2024-03-31 24:00",
            "2024-03-31 12:60",
            "2024-03-31 12:00:60",
            "2024-03-31T12:00+19:00",
        ),
        *(
            "2024-W13-7",
            "2024-091",
            "2024-03",
            "yesterday",
            "2024-03-31T12:00:00 EST",
            "2024-03-31T12:00:00+2:00",
            "45382.5",
        ),
    ],
)
def test_any_other_form_is_refused_with_the_accepted_ones_the_value_and_its_row(text: str) -> None:
    with pytest.raises(BadSetting, match="ISO 8601: 2024-03-31") as caught:
        _read("2024-03-31", text)
    assert f"{text!r} in row 2" in caught.value.got


@settings(max_examples=100)
@given(
    st.datetimes(NOON.replace(year=1990, tzinfo=None), NOON.replace(year=2031, tzinfo=None)),
    st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
)
def test_what_python_writes_is_read_as_the_same_moment(moment: datetime, zone: str) -> None:
    there = moment.replace(tzinfo=ZoneInfo(zone))
    assert _read(there.isoformat())[0] == [there.astimezone(UTC)]
    count = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert _read(count)[0] == [moment.replace(tzinfo=UTC)]


def test_zones_may_differ_by_row_but_not_be_missing_on_some() -> None:
    assert _read("2024-03-31T12:00:00Z", "2024-03-31T14:00:00+02:00")[0] == [NOON, NOON]
    with pytest.raises(
        BadSetting, match="'2024-03-31T12:00:00' in row 2, and 1 rows more, expected a zone on every row"
    ):
        _read("2024-03-31T12:00:00Z", "2024-03-31T12:00:00", "2024-03-31T13:00:00")


def test_days_are_their_midnights_in_utc_and_said() -> None:
    midnight = NOON.replace(hour=0)
    assert _read("2024-03-31") == ([midnight], ["interval_time: days, taken as midnight UTC"])
    assert _read("20240331")[0] == [midnight]
    assert _read(date(2024, 3, 31)) == (
        [midnight],
        ["interval_time: days without a zone, each taken as its midnight UTC"],
    )


@pytest.mark.parametrize(
    ("count", "unit"),
    [
        (1_711_886_400, "seconds"),
        (1_711_886_400_000, "milliseconds"),
        (1_711_886_400_000_000, "microseconds"),
        (1_711_886_400_000_000_000, "nanoseconds"),
    ],
)
def test_a_count_since_1970_is_of_the_one_unit_that_gives_a_time_of_our_days(count: int, unit: str) -> None:
    said = [f"interval_time: {unit} since 1970-01-01 UTC"]
    assert _read(count) == ([NOON], said)
    assert _read(str(count)) == ([NOON], said)
    if unit != "nanoseconds":
        assert _read(float(count)) == ([NOON], said)


@pytest.mark.parametrize(
    "values",
    [
        *(
            [0],
            [5],
            [20_240_331],
            ["2024033112"],
            ["20240331120000"],
            [1_711_886_400.5],
            [float("nan")],
            [-1_711_886_400],
        ),
        *(
            [1_711_886_400, 1_711_886_400_000],
            [2_024_033_112],
            ["1711886400", "2024-03-31"],
            [1_711_886_400_000_000_001],
        ),
    ],
)
def test_a_count_that_is_of_no_unit_or_of_two_is_refused(values: list[object]) -> None:
    with pytest.raises(BadSetting, match=r"ISO 8601|whole microseconds"):
        _read(*values)


def test_timestamps_keep_their_moment_whatever_their_zone_and_unit() -> None:
    tokyo = NOON.astimezone(ZoneInfo("Asia/Tokyo"))
    for unit in ("ms", "us", "ns"):
        assert _read(tokyo, dtype=pl.Datetime(unit, "Asia/Tokyo")) == ([NOON], [])
    assert _read(NOON.replace(tzinfo=None)) == ([NOON], ["interval_time: times without a zone, taken as UTC"])


def test_digits_below_the_microsecond_are_not_cut() -> None:
    nanoseconds = pl.Series([1_711_886_400_000_000_900]).cast(pl.Datetime("ns", "UTC"))
    file = RatesFile(Path("r"), pl.DataFrame({ROW: [1], KEY: nanoseconds}))
    with pytest.raises(BadSetting, match="whole microseconds"):
        to_utc(file)
    with pytest.raises(
        BadSetting, match=r"'2024-03-31T12:00:00.0000009Z' in row 1, expected times of whole microseconds"
    ):
        _read("2024-03-31T12:00:00.0000009Z")


def test_a_date_and_a_time_in_two_columns_are_one_moment() -> None:
    for day, clock in (("2024-03-31", "12:00:00"), (date(2024, 3, 31), time(12)), ("2024-03-31", "12:00Z")):
        assert _read(day, clock=clock)[0] == [NOON]
    with pytest.raises(BadSetting, match=r"'2024.03.31 12:00' in row 1"):
        _read("2024.03.31", clock="12:00")


@pytest.mark.parametrize("value", [time(12), True, [1], b"2024-03-31"])
def test_a_column_that_is_no_time_is_refused_by_its_type(value: object) -> None:
    with pytest.raises(BadSetting, match="interval_time of type"):
        _read(value)


def test_an_empty_time_stays_empty() -> None:
    assert _read("2024-03-31T12:00:00Z", None)[0] == [NOON, None]
    assert _read(1_711_886_400, None)[0] == [NOON, None]
