"""Settings are read strictly from the environment, and all paths follow from them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Last, Settings, parse_last, variable_of
from bqx_assets.fleet.alert_settings import AlertSettings


def test_every_path_follows_from_home() -> None:
    """Lesson 6: the writer of checkpoints and their reader meant two folders."""
    settings = Settings(home=Path("h"))
    assert settings.checkpoint_dir == Path("h/checkpoints")
    assert settings.warehouse_dir == Path("h/warehouse")
    assert settings.training_file(parse_pair("eurusd")) == Path("h/training/training_eurusd.parquet")


def test_the_environment_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_WORKERS", "3")
    monkeypatch.setenv("BQX_DUPLICATES", "last")
    assert (Settings().workers, Settings().duplicates) == (3, "last")


@pytest.mark.parametrize(("name", "value"), [("BQX_WORKERS", "-1"), ("BQX_DUPLICATES", "any"), ("BQX_ENGINE", "magic")])
def test_a_value_outside_the_allowed_ones_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("said", ["2024-03-08T12:00", "2024-03-08T12:00:00Z", "2024-03-08T17:30+05:30"])
def test_a_range_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("BQX_START", said)
    monkeypatch.setenv("BQX_END", said)
    found = Settings()
    assert found.start == found.end == datetime(2024, 3, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """Cloud Run, compose and systemd pass a variable that nobody has set as an empty string."""
    without = Settings()
    monkeypatch.setenv(variable_of(field), "")
    assert Settings() == without


def test_every_setting_has_a_meaning() -> None:
    fields = [*Settings.model_fields.values(), *AlertSettings.model_fields.values()]
    assert all(field.description for field in fields)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("100000 rows", Last(100_000, "rows")),
        ("100,000 rows", Last(100_000, "rows")),
        ("100_000rows", Last(100_000, "rows")),
        ("1 row", Last(1, "rows")),
        ("395d", Last(395, "days")),
        (" 395 Days ", Last(395, "days")),
        ("1 day", Last(1, "days")),
    ],
)
def test_rows_and_days_are_read_as_people_write_them_and_written_in_one_way(text: str, meant: Last) -> None:
    assert parse_last(text, "BQX_LAST") == meant
    assert parse_last(str(meant), "BQX_LAST") == meant


@pytest.mark.parametrize(
    "text",
    [
        "100000",
        "0 rows",
        "0d",
        "-5d",
        "5 weeks",
        "1.5d",
        "395d 10 rows",
        "rows",
        "99999999d",
        "\u0663d\u0663",
        "1,5d",
        "1,,0 rows",
        "9" * 5_000 + "d",
    ],
)
def test_what_is_neither_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BQX_LAST", text)
    with pytest.raises(BadSetting, match=r"BQX_LAST: .* For example: 100000 rows, or 395d"):
        Settings()


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({"BQX_START": "2024-01-01"}, "BQX_START"),
        ({"BQX_END": "2024-01-01"}, "BQX_END"),
        ({"BQX_START": "2024-01-01", "BQX_END": "2024-02-01"}, "BQX_START and BQX_END"),
    ],
)
def test_two_ranges_are_refused_and_both_cures_work(
    monkeypatch: pytest.MonkeyPatch, others: dict[str, str], named: str
) -> None:
    for name, value in {"BQX_LAST": "395d", **others}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=f"395d together with {named}"):
        Settings()
    with monkeypatch.context() as first:
        first.setenv("BQX_LAST", "")
        assert Settings().last is None
    for name in others:
        monkeypatch.setenv(name, "")
    assert Settings().span == "the last 395d"


def test_a_range_that_ends_before_it_begins_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_START", "2024-02-01")
    monkeypatch.setenv("BQX_END", "2024-01-01")
    with pytest.raises(BadSetting, match="before BQX_START"):
        Settings()


def test_a_range_is_said_in_words() -> None:
    assert Settings(home=Path("h")).span == ""
    bounds = {"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}
    assert Settings.model_validate(bounds).span == "from 2024-01-01T00:00:00+00:00 to 2024-02-01T00:00:00+00:00"
