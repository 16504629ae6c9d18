"""Settings come from the environment, strictly, and are the one truth of where files lie."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings, variable_of
from bqx_assets_tests.base.settings_page import PAGE, page


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
    """Cloud Run, compose and systemd pass what nobody has filled in as an empty string."""
    without = Settings()
    monkeypatch.setenv(variable_of(field), "")
    assert Settings() == without


def test_the_page_of_all_settings_is_what_its_generator_gives() -> None:
    assert PAGE.read_text() == page(), "python -m bqx_assets_tests.base.settings_page"
    assert all(field.description for field in Settings.model_fields.values())
