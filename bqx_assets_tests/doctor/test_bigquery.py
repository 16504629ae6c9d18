"""Tests the probe of months with a warehouse that knows them; ``cloud/test_stranger.py`` calls servers."""

from __future__ import annotations

import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import discover
from bqx_assets.doctor.bigquery import MONTHS, read_probes
from bqx_assets.doctor.case import Case
from bqx_assets_tests.frames import EURUSD, FEW_TABLES, few_tables_expectations, frame_warehouse


@pytest.mark.parametrize(
    ("known", "refused", "state", "said"),
    [
        (True, "", "passed", f"known of {len(FEW_TABLES) + 1} of {len(FEW_TABLES) + 1} tables"),
        (False, "", "note", "None of the tables is partitioned by interval_time."),
        (False, "No permission. Grant it.", "note", "No permission. Grant it."),
    ],
)
def test_it_is_said_of_how_many_tables_the_months_are_known(
    *, known: bool, refused: str, state: str, said: str
) -> None:
    case = Case(Settings(), EURUSD)
    case.warehouse = warehouse = frame_warehouse()
    warehouse.knows_months, warehouse.months_refused = known, refused
    case.catalogue = discover(EURUSD, warehouse.describe(), few_tables_expectations())
    (probe,) = (each for each in read_probes(case) if each.name == MONTHS)
    finding = probe.look(case)
    assert finding.state == state
    assert said in finding.found + finding.cure
