"""A REST call outlasts what passes, and gives up in time where nobody answers, whatever the way of not answering."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from bqx_assets.base.errors import ReadsEnded, TransientReadError, WarehouseUnavailable
from bqx_assets.extract.bigquery import rest as module
from bqx_assets.extract.bigquery.catalogue import query
from bqx_assets.extract.bigquery.patience import Patience
from bqx_assets.extract.bigquery.rest import CALL_SECONDS, Rest
from bqx_assets.extract.outage import FIRST_SECONDS, LASTING_SECONDS, Outage
from bqx_assets_tests.servers.bigquery.rest import Refusal, RestServer, rest_served

QUICK = Patience(tries=4, first_wait_seconds=0.01, longest_wait_seconds=0.02, silent_seconds=1.0)
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
    assert len(answers.calls) == QUICK.tries


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
            assert QUICK.silent_seconds <= time.monotonic() - began < QUICK.silent_seconds + 10


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
    patience = Patience()
    assert CALL_SECONDS < module._ANSWER_SECONDS <= patience.silent_seconds / 2
    assert patience.beside_seconds * 5 <= patience.session_seconds
    assert patience.deadline_seconds * 2 < LASTING_SECONDS
    assert patience.silent_seconds + FIRST_SECONDS <= 60
