"""Tests how servers that answer, silent servers and wrong clocks are reported."""

from __future__ import annotations

import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import Case, Finding, Line, Probe, passed
from bqx_assets.doctor.examine import examine
from bqx_assets.doctor.network import CLOCK, network_probes, reached, servers, with_one_network_lack
from bqx_assets_tests.frames import EURUSD


def _clock(**offsets: float) -> Finding:
    case = Case(Settings(bigquery_project="bqx-ml"), EURUSD, environment={})
    case.offsets_seconds.update(offsets)
    (probe,) = (each for each in network_probes(case) if each.name == CLOCK)
    return probe.look(case)


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(0.4, "passed"), (-0.6, "passed"), (4, "passed"), (30, "note"), (-30, "note"), (400, "missing")],
)
def test_a_clock_is_judged_by_what_google_takes(ahead: float, state: str) -> None:
    assert _clock(BigQuery=ahead).state == state


def test_a_clock_says_which_way_it_is_wrong() -> None:
    assert "400 s behind BigQuery's" in _clock(BigQuery=400.5).found
    assert "400 s ahead of BigQuery's" in _clock(BigQuery=-400.5).found


def test_the_servers_are_googles_own_unless_others_are_named() -> None:
    plain = Case(Settings(bigquery_project="bqx-ml", output="gs://bqx-ml-output"), EURUSD, environment={})
    assert [each.address for each in servers(plain)] == [
        "https://bigquery.googleapis.com",
        "https://bigquerystorage.googleapis.com",
        "https://storage.googleapis.com",
    ]
    assert not any(each.is_local for each in servers(plain))


def test_a_local_server_is_spoken_to_by_its_own_protocol() -> None:
    settings = Settings(bigquery_project="bqx-ml", bigquery_storage_endpoint="http://127.0.0.1:7")
    case = Case(settings, EURUSD, environment={"BIGQUERY_EMULATOR_HOST": "127.0.0.1:8"})
    assert [each.address for each in servers(case)] == ["http://127.0.0.1:8", "grpc://127.0.0.1:7"]
    assert all(each.is_local for each in servers(case))


def test_servers_of_which_none_answers_are_one_lack_that_names_them_all() -> None:
    settings = Settings(bigquery_project="bqx-ml", bigquery_storage_endpoint="http://127.0.0.1:1")
    case = Case(settings, EURUSD, environment={"BIGQUERY_EMULATOR_HOST": "127.0.0.1:2"})
    waits = Probe("tables", "x", lambda _: passed("looked"), needs=(reached("BigQuery Storage"),))
    lack, clock, after = with_one_network_lack(case, examine(case, (*network_probes(case), waits)).lines)
    assert (lack.state, lack.name, clock.name) == ("missing", "reach: BigQuery, BigQuery Storage", CLOCK)
    assert all(
        f"{address}: Connection refused" in lack.found for address in ("http://127.0.0.1:2", "grpc://127.0.0.1:1")
    )
    assert (after.name, after.found) == ("x", "not looked at: fix the network first")
    assert after.follows == lack.name


def test_a_server_that_alone_does_not_answer_is_named_alone() -> None:
    case = Case(Settings(bigquery_project="bqx-ml", output="gs://bqx-ml-output"), EURUSD, environment={})
    answers = Line(theme="network", name=reached("BigQuery"), state="passed", found="BigQuery in 20 ms")
    silent = Line(theme="network", name=reached("Cloud Storage"), state="missing", found="x does not answer: timed out")
    assert with_one_network_lack(case, (answers, silent)) == (answers, silent)
    assert with_one_network_lack(case, (silent,)) == (silent,)


def test_a_folder_and_an_embedded_warehouse_need_no_server() -> None:
    assert servers(Case(Settings(), EURUSD, environment={})) == ()
