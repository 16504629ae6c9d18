"""What local-bigquery cannot show of joins, by recorded answers of BigQuery: bytes of dry runs, refusals, lost answers.

Only these tests know of them; that the rows are right is shown in ``test_joined_warehouse``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from bqx_assets.base.errors import (
    BqxError,
    BudgetExceeded,
    QueryTooLarge,
    ReadsEnded,
    TableMissing,
    WarehouseUnavailable,
)
from bqx_assets.base.names import KEY
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.staging_names import JOINS
from bqx_assets.base.usage import LEAST_BILLED_BYTES
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import open_clients
from bqx_assets.extract.bigquery.joined_warehouse import JoinedWarehouse, Spine
from bqx_assets.extract.warehouse import AheadRead, ReadRequest
from bqx_assets_tests.frames import EURUSD, START
from bqx_assets_tests.servers.bigquery.rest import Refusal, RestServer, rest_served
from bqx_assets_tests.servers.gcs.bucket import Refused
from bqx_assets_tests.servers.gcs.server import GcsServer

TOO_LARGE = Refusal(0, "resourcesExceeded", "Resources exceeded during query execution: the query is too wide")


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    with rest_served(RestServer()) as served:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", served.url)
        yield served


def _table(name: str, dataset: str = FEATURES_DATASET) -> TableDescription:
    columns = ((KEY, "TIMESTAMP"), ("a", "FLOAT64"))
    return TableDescription(dataset, name, columns, 10, 160, START, "1-1")


def _read(name: str) -> AheadRead:
    return AheadRead(ReadRequest(_table(name), (KEY, "a"), START, START, START), {"a": f"{name}__a"}, 0)


def _warehouse(rest: RestServer, store: GcsObjectStore, *, max_bytes: int = 0) -> JoinedWarehouse:
    own = BigQueryWarehouse(open_clients("bqx-ml", "http://127.0.0.1:9"), max_open_streams=1, max_bytes=max_bytes)
    made = JoinedWarehouse(own, own.export_jobs(), store, Spine(EURUSD, "target_bqx45_h15"))
    made._described = [_table("targets_eurusd", TARGETS_DATASET)]
    assert rest.url
    return made


def _errors(warehouse: JoinedWarehouse, *names: str) -> dict[str, BqxError | None]:
    """The error of each table, None for one that was joined."""
    found: dict[str, BqxError | None] = {}
    with warehouse.ahead([_read(name) for name in names]):
        for name in names:
            try:
                list(warehouse.read(_read(name).request))
                found[name] = None
            except BqxError as error:
                found[name] = error
    return found


def _queries(rest: RestServer, words: str) -> int:
    return sum(words in sql for sql in rest.jobs.values())


def test_dry_runs_of_all_queries_are_held_against_the_budget_before_one_is_run(
    rest: RestServer, gcs_store: GcsObjectStore
) -> None:
    rest.scanned_bytes = 100 * LEAST_BILLED_BYTES
    found = _errors(_warehouse(rest, gcs_store, max_bytes=150 * LEAST_BILLED_BYTES), "one", "two")
    assert all(isinstance(error, BudgetExceeded) for error in found.values())
    assert "BQX_MAX_BYTES" in str(found["one"])
    assert _queries(rest, "LEFT JOIN") == 0
    warehouse = _warehouse(rest, gcs_store, max_bytes=250 * LEAST_BILLED_BYTES)
    assert _errors(warehouse, "one", "two") == {"one": None, "two": None}
    assert warehouse.queried_bytes == 200 * LEAST_BILLED_BYTES  # the odd keys and the join of the one batch


def test_a_batch_that_needs_too_much_is_halved_until_the_table_that_does_stands_alone(
    rest: RestServer, gcs_store: GcsObjectStore
) -> None:
    rest.failures = [("`bqx-ml.bqx_ml_v3_features_v2.wide`", TOO_LARGE)]
    found = _errors(_warehouse(rest, gcs_store), "one", "two", "wide", "four")
    assert {name for name, error in found.items() if error is not None} == {"wide"}
    assert isinstance(found["wide"], QueryTooLarge)
    assert "BQX_WAY=read" in str(found["wide"])


def test_halves_are_held_against_the_budget_too(rest: RestServer, gcs_store: GcsObjectStore) -> None:
    rest.scanned_bytes = 100 * LEAST_BILLED_BYTES
    rest.failures = [("`bqx-ml.bqx_ml_v3_features_v2.wide`", TOO_LARGE)]
    warehouse = _warehouse(rest, gcs_store)
    assert _errors(warehouse, "one", "wide")["one"] is None
    assert warehouse.queried_bytes == 3 * 2 * rest.scanned_bytes  # the two queries of the batch and of each half
    limited = _warehouse(rest, gcs_store, max_bytes=5 * rest.scanned_bytes)
    found = _errors(limited, "one", "wide")
    assert found.pop("one") is None
    assert isinstance(found["wide"], BudgetExceeded)
    assert limited.queried_bytes == 2 * 2 * rest.scanned_bytes


def test_a_table_that_is_gone_is_found_by_dry_runs_which_cost_nothing(
    rest: RestServer, gcs_store: GcsObjectStore
) -> None:
    gone = Refusal(404, "notFound", "Not found: Table bqx-ml:bqx_ml_v3_features_v2.gone was not found in location EU")
    rest.failures = [(".gone`", gone)]
    found = _errors(_warehouse(rest, gcs_store), "one", "gone", "three")
    assert isinstance(found.pop("gone"), TableMissing)
    assert found == {"one": None, "three": None}
    assert _queries(rest, ".gone`") == 0


@pytest.mark.parametrize(
    ("refusal", "cure"),
    [
        (
            Refusal(0, "invalid", "Cannot read and write in different locations: source: EU, destination: US"),
            "Name a bucket there in BQX_OUTPUT",
        ),
        (
            Refusal(0, "accessDenied", "Access Denied: File gs://bqx-ml-output/staging/joins/eurusd/0: Access Denied"),
            "gcloud storage buckets add-iam-policy-binding gs://bqx-ml-output",
        ),
    ],
)
def test_a_bucket_that_takes_no_export_ends_the_run_before_a_query_is_billed(
    rest: RestServer, gcs_store: GcsObjectStore, refusal: Refusal, cure: str
) -> None:
    rest.failures = [("0-proof", refusal)]
    found = _errors(_warehouse(rest, gcs_store), "one", "two")
    assert all(isinstance(error, WarehouseUnavailable) and cure in str(error) for error in found.values())
    assert len(rest.jobs) == 1


def test_a_job_whose_answer_was_lost_is_not_made_twice(rest: RestServer, gcs_store: GcsObjectStore) -> None:
    jobs = _warehouse(rest, gcs_store)._jobs
    answer = rest.answer

    def lost(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        made = len(rest.jobs)
        found = answer(method, path, body)
        return (503, Refusal(503, "backendError").body()) if len(rest.jobs) > made else found

    rest.answer = lost
    jobs.run("SELECT 1", "one")
    assert list(rest.jobs.values()) == ["SELECT 1"]


def test_a_run_that_ends_cancels_its_job(rest: RestServer, gcs_store: GcsObjectStore) -> None:
    rest.never_done = True
    warehouse = _warehouse(rest, gcs_store)
    threading.Timer(0.3, warehouse.outage.end).start()
    began = time.monotonic()
    with pytest.raises(ReadsEnded):
        warehouse._jobs.run("SELECT 1", "one")
    assert time.monotonic() - began < 5
    assert rest.cancelled == list(rest.jobs)


def test_what_a_killed_run_left_is_removed_and_files_of_others_stay(
    rest: RestServer, gcs: GcsServer, gcs_store: GcsObjectStore
) -> None:
    left, other = f"{JOINS}eurusd/3-rows-000000000001.parquet", f"{JOINS}eurusd/notes.txt"
    for name in (left, other):
        gcs_store.put_bytes(name, b"x")
    with _warehouse(rest, gcs_store).ahead([]):
        assert gcs_store.head(left) is None
    assert gcs_store.head(other) is not None
    assert gcs.buckets


def test_an_interruption_removes_the_files_and_ends_the_reads(rest: RestServer, gcs_store: GcsObjectStore) -> None:
    warehouse = _warehouse(rest, gcs_store)
    with pytest.raises(KeyboardInterrupt), warehouse.ahead([]):  # noqa: PT012 -- the interruption comes within
        gcs_store.put_bytes(f"{JOINS}eurusd/0-rows-000000000000.parquet", b"x")
        raise KeyboardInterrupt
    assert not list(gcs_store.list_objects(f"{JOINS}eurusd/0-"))
    with pytest.raises(ReadsEnded):
        warehouse.outage.go_on()


def test_files_that_cannot_be_removed_fail_no_run(rest: RestServer, gcs: GcsServer, gcs_store: GcsObjectStore) -> None:
    def refuse() -> None:
        raise Refused(403, "forbidden", "no storage.objects.delete")

    left = f"{JOINS}eurusd/0-rows-000000000000.parquet"
    with _warehouse(rest, gcs_store).ahead([]):
        gcs_store.put_bytes(left, b"x")
        gcs.fail("object.delete", "hook", hook=refuse, times=2)
    assert gcs_store.head(left) is not None
