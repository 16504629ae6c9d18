"""The Google clients of one project, and BigQuery's REST calls through them.

Every REST call is bounded in time, tried again while its failure may pass, and given up when nobody answers. Google's
own policy tries for ten minutes, and waits a minute for each address of a name with 16 of them: on a dead network
``bqx plan`` took 584 seconds.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import google.auth
import grpc
import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.oauth2.credentials import Credentials as PersonsCredentials
from requests.adapters import HTTPAdapter

from bqx_assets.base.errors import BadSetting, WarehouseError
from bqx_assets.base.refusals.facts import is_of_credentials
from bqx_assets.base.refusals.read import read_refusal
from bqx_assets.base.retry import RetryPolicy
from bqx_assets.base.store.naming import server_address
from bqx_assets.extract.bigquery.bigquery_failures import asked_seconds, may_pass, translated, why
from bqx_assets.extract.warehouse import Outage

_PROJECT = re.compile(r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REST_VARIABLE = "BIGQUERY_EMULATOR_HOST"
"""The variable from which Google's client takes its REST endpoint."""
_PLAIN = "http://"
_VARIABLE = "BQX_BIGQUERY_PROJECT"
_HOST = "bigquerystorage.googleapis.com"
_CHANNEL = [
    # Google's own transport lifts gRPC's limit of 4 MB a message; a channel that is made here must do the same.
    ("grpc.max_receive_message_length", -1),
    # A connection that a router has dropped silently neither answers nor fails. Keepalive pings detect it after 40 s;
    # without them a call waits until its deadline, which is 600 s for opening a session.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""The scope that both clients request by default."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The two clients that the adapter calls; both are safe to use from several threads."""

    project: str
    """The project that has the tables."""
    billing_project: str
    """The project that runs queries, owns read sessions and pays: it needs ``jobs.create``, ``readsessions.create``."""
    catalogue: bigquery.Client
    reads: BigQueryReadClient


def open_clients(project: str, storage_endpoint: str | None = None, *, billing_project: str | None = None) -> Clients:
    """Return the clients of a project; no call is made.

    ``billing_project`` runs the queries and owns the read sessions; the default is ``project``. Google requires a quota
    project for a person's own credentials, so it is set there too. It is not set for a service account, which would
    then need one more role (Service Usage Consumer).

    ``storage_endpoint`` is the address of the Storage Read API; the default is Google's. ``host[:port]`` uses TLS and
    the application default credentials, ``http://host:port`` plain text. Plain text carries no credentials, so it is
    allowed only together with a plain REST endpoint in ``BIGQUERY_EMULATOR_HOST``.

    Raises:
        BadSetting: the project's name or an endpoint is not valid, or only one endpoint is plain text.
        WarehouseError: there are no credentials.
    """
    check_project(project)
    billing = check_project(billing_project or project, "BQX_BILLING_PROJECT" if billing_project else _VARIABLE)
    rest_endpoint = os.environ.get(_REST_VARIABLE)
    if rest_endpoint:
        server_address(rest_endpoint, _REST_VARIABLE, schemes=("http://", "", "https://"))
    plain = (storage_endpoint or "").startswith(_PLAIN)
    if plain != bool(rest_endpoint):
        raise BadSetting(
            "BQX_BIGQUERY_STORAGE_ENDPOINT",
            got=f"{storage_endpoint!r} with {_REST_VARIABLE}={rest_endpoint!r}",
            expected="both plain-text endpoints, or neither",
            cure=f"Set the one that is missing, as {_PLAIN}host:port, or unset the other.",
        )
    if storage_endpoint and rest_endpoint:
        return _plain_clients((project, billing), rest_endpoint, storage_endpoint.removeprefix(_PLAIN))
    try:
        credentials = _credentials(billing if billing_project else None)
        channel = cast("Any", BigQueryReadGrpcTransport).create_channel(
            storage_endpoint or _HOST, credentials=credentials, scopes=[_SCOPE], options=_CHANNEL
        )
        reads = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
        return Clients(project, billing, bigquery.Client(project=billing, credentials=credentials), reads)
    except Exception as error:
        # google-auth lets any error of reading the credentials file through: a list in it is an AttributeError.
        if not is_of_credentials(error):
            raise
        refusal = read_refusal(error, "bigquery", project=project)
        raise WarehouseError(
            project,
            got=f"{type(error).__name__}: {refusal.said}",
            expected="Google credentials",
            cure=f"{refusal.sentence}. {refusal.cure}",
        ) from error


def _credentials(quota_project: str | None) -> Credentials:
    """Return the application default credentials. Raises GoogleAuthError if there are none."""
    found: Any = cast("Any", google.auth.default)(scopes=[_SCOPE])[0]
    if quota_project is not None and isinstance(found, PersonsCredentials):
        found = cast("Any", found).with_quota_project(quota_project)
    return found


def check_project(project: str, variable: str = _VARIABLE) -> str:
    """Return ``project`` if it is a valid name, safe in a query or path. Raises BadSetting otherwise."""
    if _PROJECT.fullmatch(project):
        return project
    raise BadSetting(
        variable,
        got=repr(project[:60]),
        expected="a project's name: 6 to 30 lower-case letters, digits and hyphens",
        cure="List yours with: gcloud projects list",
    )


def _plain_clients(projects: tuple[str, str], rest_endpoint: str, grpc_address: str) -> Clients:
    host = rest_endpoint if "://" in rest_endpoint else _PLAIN + rest_endpoint
    channel = grpc.insecure_channel(grpc_address, options=_CHANNEL)
    return Clients(
        *projects,
        bigquery.Client(
            project=projects[1],
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=host),
        ),
        BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel)),
    )


CALL_SECONDS = 10.0
"""Time that BigQuery may work on a query before it answers that the query is not done yet."""
_CONNECT_SECONDS, _ANSWER_SECONDS = 6.0, 12.0
"""Well below ``RetryPolicy.patience_seconds``, so that a request that hangs is sent again."""
NO_TRIES: Any = None
"""The value of ``retry`` that turns off the client's own retries; its annotation does not mention None."""
_POLL_SECONDS = 0.1
_SERVER_FAULT, _TOO_MANY = 500, 429
_Answer = TypeVar("_Answer")


class Rest:
    """The REST calls of one client, each with retries. Safe to use from several threads."""

    def __init__(self, client: bigquery.Client, outage: Outage, policy: RetryPolicy) -> None:
        self.client = client
        self._outage, self._policy = outage, policy
        self._heard = _Heard()
        # Google's documentation mounts adapters on this session as well, although it has no public name.
        session = cast("requests.Session", cast("Any", client)._http)  # noqa: SLF001
        for scheme in ("https://", "http://"):
            session.mount(scheme, self._heard)

    def ask(self, call: Callable[[], _Answer], subject: str, **known: str) -> _Answer:
        """Return the result of the call, retried by the policy; the client's own retries must be off.

        ``known``: the table, dataset or project of the call, for refusals that do not name it.

        **Cost**: at most ``RetryPolicy.patience_seconds`` if nobody answers.

        Raises:
            WarehouseUnavailable: nobody answered, or the project refuses every call.
            TransientReadError: each of ``RetryPolicy.attempts`` attempts was refused temporarily.
            TableMissing, TableUnreadable: the call was refused permanently.
            ReadsEnded: the run ends.
        """
        began, failures = time.monotonic(), 0
        before: Exception | None = None
        while True:
            tried = time.monotonic()
            try:
                answer = self._bounded(call, max(began, self._heard.at) + self._policy.patience_seconds)
            except (GoogleAPIError, GoogleAuthError, OSError) as failed:
                # The last attempt may be cut off by the time limit: an earlier answer says more than its TimeoutError.
                error = before if before is not None and isinstance(failed, TimeoutError) else failed
                before, failures = error, failures + 1
                silent = time.monotonic() - max(began, self._heard.at)
                lasts = silent >= self._policy.patience_seconds
                self._outage.failed(why(error), began=tried, failures=0)
                heard = self._heard.at > tried
                if not may_pass(error) or lasts or (heard and failures >= self._policy.attempts):
                    raise translated(error, subject, lasts=lasts, **known) from failed
                left = self._policy.patience_seconds - silent
                self._outage.wait(min(self._policy.wait_seconds(failures, asked_seconds(error)), max(left, 0.0)))
            else:
                self._outage.answered()  # otherwise a fault that has passed would count as the start of a later one
                return answer

    def _bounded(self, call: Callable[[], _Answer], until: float) -> _Answer:
        """Run the call on its own thread, which is abandoned if name resolution or a proxy hangs."""
        done: list[_Answer] = []
        failed: list[BaseException] = []
        over = threading.Event()

        def work() -> None:
            try:
                done.append(call())
            except BaseException as error:  # noqa: BLE001 (not swallowed: raised again in the calling thread)
                failed.append(error)
            over.set()

        threading.Thread(target=work, name="rest", daemon=True).start()
        began = time.monotonic()
        while not over.wait(_POLL_SECONDS):
            self._outage.go_on()
            if time.monotonic() > max(until, self._heard.at + self._policy.patience_seconds):
                msg = f"no answer within {time.monotonic() - began:.0f} s"
                raise TimeoutError(msg)
        if failed:
            raise failed[0]
        return done[0]


class _Heard(HTTPAdapter):
    """Sets a timeout on every request, and notes when a server last answered without a failure of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0

    def send(self, request: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 (requests has no types)
        options["timeout"] = (_CONNECT_SECONDS, _ANSWER_SECONDS)
        response = super().send(request, *args, **options)
        if response.status_code < _SERVER_FAULT and response.status_code != _TOO_MANY:
            self.at = time.monotonic()
        return response
