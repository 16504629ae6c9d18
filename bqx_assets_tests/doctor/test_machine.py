"""Tests how the doctor shows settings: value, origin, and variables that are nearly a setting."""

from __future__ import annotations

import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import Case, Finding
from bqx_assets.doctor.machine import settings_probes
from bqx_assets_tests.deploy.recipe import shipped_variables
from bqx_assets_tests.frames import EURUSD


def _findings(
    environment: dict[str, str], given: dict[str, str] | None = None, **settings: object
) -> dict[str, Finding]:
    case = Case(Settings.model_validate(settings), EURUSD, given or {}, environment)
    return {probe.name: probe.look(case) for probe in settings_probes(case)}


def test_each_chosen_setting_says_where_it_came_from() -> None:
    found = _findings({"BQX_WORKERS": "3"}, {"home": "option --home"}, workers=3, home="x")
    assert found["BQX_WORKERS"].found == "3"
    assert found["BQX_HOME"].found == "x  (option --home)"


def test_all_others_are_named_with_their_defaults() -> None:
    text = _findings({})["by default"].found
    assert "row_group_rows 200,000" in text
    assert all(name in text for name in Settings.model_fields)


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert "BQX_START" not in _findings({"BQX_START": ""})


@pytest.mark.parametrize("name", ["BQX_MAX_BYTE", "BQX_OUTPUTS", "BQX_BIGQUERY_PROJEKT", "BQX_KEEP_VERSION"])
def test_a_misspelt_setting_is_a_lack(name: str) -> None:
    found = _findings({name: "1"})["misspelt settings"]
    assert found.state == "missing"
    assert name in found.found


def test_no_variable_of_the_recipe_is_taken_for_a_misspelt_one() -> None:
    assert _findings(shipped_variables())["misspelt settings"].state == "passed"


def test_a_variable_beside_the_one_it_looks_like_is_somebody_elses() -> None:
    assert _findings({"BQX_OUTPUTS": "1", "BQX_OUTPUT": "x"}, output="x")["misspelt settings"].state == "passed"
