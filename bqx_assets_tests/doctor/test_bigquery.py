"""Tests the probes of months and of joins by what a warehouse tells; ``cloud/test_stranger.py`` calls servers."""

from __future__ import annotations

import pytest

from bqx_assets.base.errors import BadSetting, WarehouseUnavailable
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import discover
from bqx_assets.doctor.bigquery import JOINS, MONTHS, read_probes
from bqx_assets.doctor.case import Case
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import open_clients
from bqx_assets_tests.frames import EURUSD, FEW_TABLES, START, few_tables_expectations, frame_warehouse
from bqx_assets_tests.servers.bigquery.rest import Refusal, RestServer, rest_served
from bqx_assets_tests.servers.gcs.fixtures import BUCKET, gcs, gcs_process
from bqx_assets_tests.servers.gcs.server import GcsServer

__all__ = ["gcs", "gcs_process"]


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


def _asks_for_joins(rest: RestServer, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Case:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", rest.url)
    given = {"bigquery_project": "bqx-ml", "output": f"gs://{BUCKET}", "way": "query"} | settings
    case = Case(Settings.model_validate(given), EURUSD)
    case.clients = open_clients("bqx-ml", "http://127.0.0.1:9")
    case.warehouse = BigQueryWarehouse(case.clients, max_open_streams=1)
    case.expectations = few_tables_expectations()
    case.catalogue = discover(EURUSD, frame_warehouse().describe(), case.expectations)
    case.snapshot, case.location = START, "EU"
    return case


def test_a_bucket_that_takes_no_export_is_a_lack_only_where_tables_are_joined(
    gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert JOINS not in {each.name for each in read_probes(Case(Settings(), EURUSD))}
    with rest_served(RestServer()) as rest:
        case = _asks_for_joins(rest, monkeypatch)
        (probe,) = (each for each in read_probes(case) if each.name == JOINS)
        assert probe.look(case).found == f"tables may be joined in EU, and exported to gs://{BUCKET}"
        dry = [body["configuration"]["query"]["query"] for body in rest.bodies if body.get("configuration")]
        assert sum("LEFT JOIN" in sql for sql in dry) == 2  # the odd keys and the join
        rest.failures = [("1-proof", Refusal(0, "invalid", "Cannot read and write in different locations: EU, US"))]
        with pytest.raises(WarehouseUnavailable, match="Name a bucket there in BQX_OUTPUT"):
            probe.look(case)
        with pytest.raises(BadSetting, match="leave BQX_DUPLICATES empty"):
            probe.look(_asks_for_joins(rest, monkeypatch, duplicates="last"))
    assert not gcs.buckets[BUCKET].live
