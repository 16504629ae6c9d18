"""Endpoints and credentials come from configuration, and credentials never go out in plain text."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import google.auth
import pyarrow as pa
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.oauth2.credentials import Credentials as PersonsCredentials
from google.oauth2.service_account import Credentials as ServiceCredentials

from bqx_assets.base.errors import BadSetting, ReadsEnded, TransientReadError, WarehouseError, WarehouseUnavailable
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.bigquery import client as module
from bqx_assets.extract.bigquery.bigquery_warehouse import BESIDE_SECONDS, SESSION_SECONDS, BigQueryWarehouse
from bqx_assets.extract.bigquery.catalogue import query
from bqx_assets.extract.bigquery.client import CALL_SECONDS, Rest, open_clients
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import FIRST_SECONDS, LASTING_SECONDS, Outage, ReadRequest
from bqx_assets.pipeline import Pipeline
from bqx_assets_tests.frames import START
from bqx_assets_tests.servers.bigquery.faults import FaultyReads, served
from bqx_assets_tests.servers.bigquery.rest import Refusal, RestServer, rest_served

REST = "BIGQUERY_EMULATOR_HOST"


@pytest.fixture(autouse=True)
def no_google(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No endpoint, no credentials, and no metadata server to ask for them."""
    monkeypatch.delenv(REST, raising=False)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path_factory.mktemp("gcloud")))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.mark.parametrize(
    ("rest", "storage"),
    [
        ("http://127.0.0.1:9050", None),
        (None, "http://127.0.0.1:9060"),
        ("http://127.0.0.1:9050", "bigquery.example:443"),
    ],
)
def test_half_a_local_server_is_refused(monkeypatch: pytest.MonkeyPatch, rest: str | None, storage: str | None) -> None:
    if rest:
        monkeypatch.setenv(REST, rest)
    with pytest.raises(BadSetting, match="both plain-text endpoints, or neither"):
        open_clients("bqx-ml", storage)


@pytest.mark.parametrize("rest", ["http://127.0.0.1:9050", "127.0.0.1:9050"])
def test_plain_text_endpoints_are_spoken_to_without_credentials(monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    monkeypatch.setenv(REST, rest)
    clients = open_clients("bqx-ml", "http://127.0.0.1:9060")
    assert clients.catalogue._connection.API_BASE_URL == "http://127.0.0.1:9050"
    assert isinstance(clients.catalogue._credentials, AnonymousCredentials)


@pytest.mark.parametrize("storage", [None, "bigquerystorage.example:443"])
def test_googles_endpoints_need_credentials(storage: str | None) -> None:
    with pytest.raises(WarehouseError, match=r"DefaultCredentialsError: .*, expected Google credentials"):
        open_clients("bqx-ml", storage)


@pytest.mark.parametrize("content", ["[]", "{}", "no json", '{"type": "service_account"}', None])
def test_a_file_of_credentials_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(WarehouseError, match=r"expected Google credentials") as caught:
        open_clients("bqx-ml")
    assert str(file) in caught.value.cure


@pytest.mark.parametrize("project", ["", "Bqx-ML", "a`b", "x.y", "bqx", "bqx-ml-", "bqx-ml/datasets/other"])
def test_a_project_that_cannot_be_one_is_refused(project: str) -> None:
    with pytest.raises(BadSetting, match="BQX_BIGQUERY_PROJECT"):
        open_clients(project)
    if project:  # an empty one is an unset one
        with pytest.raises(BadSetting, match="BQX_BILLING_PROJECT"):
            open_clients("bqx-ml", billing_project=project)


def test_the_billing_project_runs_queries_and_owns_sessions_and_tables_keep_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = pa.table({KEY: pa.array([START], pa.timestamp("us", tz="UTC"))})
    reads = FaultyReads({"mkt_vol": table})
    tables = {("bqx-ml", FEATURES_DATASET, "mkt_vol"): (1, 2)}
    with rest_served(RestServer(tables)) as rest, served(reads) as address:
        monkeypatch.setenv(REST, rest.url)
        monkeypatch.setenv("BQX_BIGQUERY_PROJECT", "bqx-ml")
        monkeypatch.setenv("BQX_BILLING_PROJECT", "the-payer")
        monkeypatch.setenv("BQX_BIGQUERY_STORAGE_ENDPOINT", address)
        warehouse = Pipeline(Settings(stage_shared=False)).warehouse(parse_pair("eurusd"))
        moment = warehouse.snapshot()
        described = TableDescription(FEATURES_DATASET, "mkt_vol", ((KEY, "TIMESTAMP"),), 1, 8, START, "etag")
        rows = sum(batch.num_rows for batch in warehouse.read(ReadRequest(described, (KEY,), moment)))
        assert warehouse.states([(FEATURES_DATASET, "mkt_vol")]) == {(FEATURES_DATASET, "mkt_vol"): "1-2"}
    assert rows == 1
    assert warehouse.name == "bqx-ml"
    assert [session.parent for session in reads.sessions] == ["projects/the-payer"]
    assert reads.sessions[0].read_session.table == f"projects/bqx-ml/datasets/{FEATURES_DATASET}/tables/mkt_vol"
    assert [path for method, path, _ in rest.calls if method == "POST"] == ["/bigquery/v2/projects/the-payer/queries"]
    assert [body["location"] for body in rest.bodies if body] == ["EU"]  # the data's, not the US


@pytest.mark.parametrize(
    ("kind", "billing", "sent"),
    [("person", "the-payer", "the-payer"), ("person", None, None), ("service", "the-payer", None)],
)
def test_a_persons_credentials_name_the_billing_project_as_their_quota_project_and_a_service_accounts_do_not(
    monkeypatch: pytest.MonkeyPatch, kind: str, billing: str | None, sent: str | None
) -> None:
    held = {
        "person": PersonsCredentials("token"),  # type: ignore[no-untyped-call]
        "service": ServiceCredentials(None, "a@b.iam.gserviceaccount.com", "https://oauth2.googleapis.com/token"),
    }[kind]

    def default(scopes: list[str]) -> tuple[object, list[str]]:
        return held, scopes

    monkeypatch.setattr(google.auth, "default", default)
    clients = open_clients("bqx-ml", billing_project=billing)
    assert clients.catalogue._credentials.quota_project_id == sent  # pyright: ignore[reportAttributeAccessIssue]
    assert clients.catalogue.project == (billing or "bqx-ml")


def test_the_settings_choose_the_warehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Pipeline(Settings()).warehouse(parse_pair("eurusd")), LocalWarehouse)
    monkeypatch.setenv(REST, "http://127.0.0.1:9050")
    monkeypatch.setenv("BQX_BIGQUERY_PROJECT", "bqx-ml")
    monkeypatch.setenv("BQX_BIGQUERY_STORAGE_ENDPOINT", "http://127.0.0.1:9060")
    assert isinstance(Pipeline(Settings()).warehouse(parse_pair("eurusd")), StagedWarehouse)
    monkeypatch.setenv("BQX_STAGE_SHARED", "false")
    assert isinstance(Pipeline(Settings()).warehouse(parse_pair("eurusd")), BigQueryWarehouse)
    assert Pipeline(Settings()).warehouse(parse_pair("eurusd")).name == "bqx-ml"


QUICK = replace(
    RETRIES["bigquery"], attempts=4, first_wait_seconds=0.01, longest_wait_seconds=0.02, patience_seconds=1.0
)
BUSY = Refusal(503, "backendError", "Error encountered during execution. Retrying may solve the problem.")


@contextmanager
def _rest(url: str, outage: Outage | None = None) -> Generator[Rest]:
    options = {"api_endpoint": url}
    with closing(bigquery.Client("bqx-ml", credentials=AnonymousCredentials(), client_options=options)) as client:
        yield Rest(client, outage or Outage(), QUICK)


def _ask(rest: Rest) -> int:
    return len(query(rest, "SELECT 1", "bqx-ml"))


@pytest.mark.parametrize(
    "refusal",
    [
        BUSY,
        Refusal(403, "rateLimitExceeded", "Exceeded rate limits: too many api requests per user per method"),
        Refusal(400, "jobBackendError", "The job encountered an error during execution. Retrying may solve it."),
        Refusal(502, "", page="<html><title>502 Bad Gateway</title></html>"),
    ],
)
def test_a_refusal_that_passes_is_outlasted(refusal: Refusal) -> None:
    with rest_served(RestServer(refusals=[refusal] * 3)) as server, _rest(server.url) as rest:
        assert _ask(rest) == 1
    assert len(server.calls) == 4
    assert len({body["requestId"] for body in server.bodies}) == 4  # each try is a query of its own


def test_a_fault_that_passed_is_not_counted_as_the_beginning_of_a_later_one() -> None:
    outage = Outage(first_seconds=0.2)
    with rest_served(RestServer(refusals=[BUSY])) as server, _rest(server.url, outage) as rest:
        assert _ask(rest) == 1
        time.sleep(0.3)
    assert not outage.now
    assert not outage.failed("503", began=time.monotonic(), failures=2)


def test_a_request_that_hangs_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.3)
    with rest_served(RestServer(hang_seconds=20)) as server, _rest(server.url) as rest:
        assert _ask(rest) == 1
    assert len(server.calls) == 2


def test_a_refusal_for_now_that_stays_is_the_calls_own_error_after_its_tries() -> None:
    lasting = Refusal(400, "jobBackendError", "The job encountered an error during execution.")
    server = rest_served(RestServer(lasting=lasting))
    with (
        server as answers,
        _rest(answers.url) as rest,
        pytest.raises(TransientReadError, match="BadRequest: The job encountered"),
    ):
        _ask(rest)
    assert len(answers.calls) == QUICK.attempts


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("place", ["dead port", "unknown name", "silent", "broken proxy"])
def test_where_nobody_answers_a_call_gives_up_in_time_with_an_error_for_all(place: str, silent: str) -> None:
    page = Refusal(502, "", page="<html><title>502 Bad Gateway</title></html>")
    with rest_served(RestServer(lasting=page)) as proxy:
        url = {"dead port": "http://127.0.0.1:9", "unknown name": "http://nowhere.invalid", "silent": silent}
        with _rest(url.get(place, proxy.url)) as rest:
            began = time.monotonic()
            with pytest.raises(WarehouseUnavailable, match=r"^bqx-ml: .*expected an answer of BigQuery"):
                _ask(rest)
            assert QUICK.patience_seconds <= time.monotonic() - began < QUICK.patience_seconds + 10


def test_a_call_that_waits_ends_with_the_run(silent: str) -> None:
    outage = Outage()
    outage.end()
    with _rest(silent, outage) as rest, pytest.raises(ReadsEnded):
        _ask(rest)


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (
            Refusal(
                403,
                "accessDenied",
                "Access Denied: Project the-payer: User does not have bigquery.jobs.create permission in project "
                "the-payer.",
            ),
            r"permission bigquery\.jobs\.create on the-payer.*roles/bigquery\.jobUser",
        ),
        (
            Refusal(403, "quotaExceeded", "Custom quota exceeded: Your usage exceeded the custom quota for QueryUsage"),
            r"quota that an administrator set",
        ),
        (
            Refusal(
                403,
                "vpcServiceControls",
                "VPC Service Controls: Request is prohibited by organization's policy. "
                "vpcServiceControlsUniqueIdentifier: abc123.",
                "PERMISSION_DENIED",
            ),
            r"abc123",
        ),
        (Refusal(401, "authError", "Request had invalid authentication credentials."), r"credentials"),
    ],
)
def test_a_refusal_of_the_project_is_one_for_all_and_is_not_asked_again(refusal: Refusal, text: str) -> None:
    server = rest_served(RestServer(lasting=refusal))
    with server as answers, _rest(answers.url) as rest, pytest.raises(WarehouseUnavailable, match=text):
        _ask(rest)
    assert len(answers.calls) == 1


def test_deadlines_are_well_below_the_patience_that_they_belong_to() -> None:
    policy = RETRIES["bigquery"]
    assert CALL_SECONDS < module._ANSWER_SECONDS <= policy.patience_seconds / 2
    assert BESIDE_SECONDS * 5 <= SESSION_SECONDS
    assert policy.call_seconds * 2 < LASTING_SECONDS
    assert policy.patience_seconds + FIRST_SECONDS <= 60
