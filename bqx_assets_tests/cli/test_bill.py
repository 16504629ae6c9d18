"""A month's bill: every line follows from a quantity and a price, and grows with what it is paid for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.costs import GIB_BYTES, TIB_BYTES, prices, query_usd
from bqx_assets.cli.bill import (
    HOURS,
    PLACES,
    WEEKLY,
    Usage,
    Way,
    month,
    quantities,
    total,
    ways,
)
from bqx_assets.doctor.tables import MEASURED_PAIR

CLOUD_RUN, ALWAYS_ON, RUNS_ONLY = range(3)


def _usd(usage: Usage, place: int = CLOUD_RUN) -> dict[str, float]:
    return {line.name: line.usd[place] for line in month(usage)}


def test_every_part_of_the_bill_has_a_line_and_every_quantity_says_how_it_is_known() -> None:
    expected = {
        "BigQuery reads, catalogue",
        "processors of the runs",
        "requests to Cloud Storage",
        "network between regions",
        "slabs",
        "staging, 7 days",
        "published files",
        "3 earlier versions of each",
        "soft delete, 7 days",
        "Postgres for Dagster",
        "the machine",
        "images",
        "logs",
    }
    assert _usd(Usage()).keys() == expected
    for quantity in quantities().values():
        assert quantity.how.split(":")[0].split(" ")[0] in {"measured", "assumed", "setting", "Google's"}


def test_published_files_and_their_versions_are_kept_whether_or_not_anything_runs() -> None:
    usd = _usd(Usage(runs=0))
    month = prices().cloud_storage.gib_per_month / GIB_BYTES
    month_of_all = 28 * quantities()["file_bytes"].value * month
    assert usd["slabs"] == pytest.approx(28 * quantities()["slabs_bytes"].value * month)
    assert usd["published files"] == pytest.approx(month_of_all)
    assert usd["3 earlier versions of each"] == pytest.approx(3 * month_of_all)
    assert {usd[name] for name in ("staging, 7 days", "soft delete, 7 days", "BigQuery reads, catalogue", "logs")} == {
        0
    }


def test_deleted_bytes_are_paid_for_a_week_longer() -> None:
    bytes_a_run = quantities()["slabs_bytes"].value + 3 * quantities()["file_bytes"].value
    bytes_a_run += quantities()["shared_bytes"].value / 28
    expected = 28 * bytes_a_run / GIB_BYTES * prices().cloud_storage.gib_per_month * 7 * 24 / HOURS
    assert _usd(Usage(runs=1))["soft delete, 7 days"] == pytest.approx(expected)


def test_staging_holds_at_most_one_copy_besides_what_was_replaced_yesterday() -> None:
    often, daily = (usd["slabs"] + usd["staging, 7 days"] for usd in map(_usd, (Usage(runs=10), Usage(runs=30))))
    one_copy = 28 * (quantities()["slabs_bytes"].value + quantities()["file_bytes"].value)
    assert often > (one_copy + quantities()["shared_bytes"].value) / GIB_BYTES * prices().cloud_storage.gib_per_month
    assert daily < 3 * often


def test_runs_cost_what_the_way_says_and_machines_do_not_depend_on_them() -> None:
    way = next(each for each in ways() if each.name == "bqx_assets, Cloud Run, 1 of 28")
    usd = _usd(Usage(pairs=3, runs=2))
    assert usd["processors of the runs"] == pytest.approx(6 * way.compute_usd)
    assert usd["requests to Cloud Storage"] == pytest.approx(6 * way.storage_usd)
    catalogue_usd = query_usd(round(quantities()["catalogue_bytes"].value))
    assert usd["BigQuery reads, catalogue"] == pytest.approx(6 * (way.bigquery_usd + catalogue_usd))
    assert usd["the machine"] == _usd(Usage(pairs=28, runs=30))["the machine"]


def test_a_vm_needs_no_second_machine_and_no_postgres_of_its_own() -> None:
    for place in (ALWAYS_ON, RUNS_ONLY):
        assert _usd(Usage(), place)["Postgres for Dagster"] == 0
    assert total(month(Usage()))[RUNS_ONLY] < total(month(Usage()))[ALWAYS_ON]
    assert _usd(Usage(), RUNS_ONLY)["the machine"] < 0.1 * _usd(Usage(), ALWAYS_ON)["the machine"]


def test_reads_from_another_region_are_a_line_of_their_own() -> None:
    differing = _usd(Usage(regions_differ=True))["network between regions"]
    way = next(each for each in ways() if each.name == "bqx_assets, Cloud Run, 1 of 28")
    gib = 28 * WEEKLY * way.storage_read_bytes / GIB_BYTES
    assert differing == pytest.approx(gib * prices().cloud_storage.between_regions_per_gib)
    assert _usd(Usage())["network between regions"] == 0


@given(pairs=st.integers(1, 28), runs=st.floats(0, 60))
def test_more_pairs_and_more_runs_never_cost_less(pairs: int, runs: float) -> None:
    here, more = total(month(Usage(pairs, runs))), total(month(Usage(pairs, runs + 1)))
    assert all(a <= b for a, b in zip(here, more, strict=True))
    assert total(month(Usage(pairs, runs)))[0] == pytest.approx(
        sum(total(month(Usage(pairs, runs)), kind)[0] for kind in ("runs", "files", "machines"))
    )
    assert len(here) == len(PLACES)


def test_the_recipes_machines_have_a_price() -> None:
    assert {"e2-medium", "e2-standard-2", "n2-highmem-8"} <= prices().compute_engine.per_hour.keys()
    assert {Usage().sql, "db-f1-micro", "db-custom-1-3840"} <= prices().cloud_sql.per_hour.keys()


def test_a_ways_price_is_the_sum_of_its_parts() -> None:
    way = Way(
        name="w",
        vm_hours=1,
        vcpus=1,
        gib=1,
        seconds=10,
        queried_bytes=TIB_BYTES,
        class_a=1_000,
        measured="",
        assumed="",
    )
    assert way.total_usd == pytest.approx(0.524 + 10 * 0.00002 + 6.25 + 0.005)


def test_this_system_costs_less_than_the_cheapest_estimate_of_the_users() -> None:
    ours = [way for way in ways() if way.name.startswith("bqx_assets")]
    assert len(ours) == 4
    assert all(way.total_usd < 0.42 and not way.cannot for way in ours)
    dearest = max(ours, key=lambda way: way.total_usd)
    assert dearest.name == "bqx_assets, joins in BigQuery"
    assert query_usd(dearest.queried_bytes) > dearest.total_usd / 2


def test_the_doctor_estimates_a_runs_seconds_by_the_measured_way() -> None:
    alone = next(way for way in ways() if way.name == "bqx_assets, Cloud Run, alone")
    assert (alone.seconds, alone.storage_read_bytes) == (MEASURED_PAIR.seconds, MEASURED_PAIR.storage_read_bytes)
    assert {way.kept_bytes for way in ways() if way.kept_bytes} == {MEASURED_PAIR.kept_bytes}
