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
from bqx_assets.base.store.naming import server_address
from bqx_assets.extract.bigquery.retry import RetryPolicy, may_pass, translated, why
from bqx_assets.extract.warehouse import Outage

_PROJECT = re.compile(r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REST_VARIABLE = "BIGQUERY_EMULATOR_HOST"
"""Google's own name: its client takes the REST endpoint from here."""
_PLAIN = "http://"
_VARIABLE = "BQX_BIGQUERY_PROJECT"
_HOST = "bigquerystorage.googleapis.com"
_CHANNEL = [
    # Google's own transport lifts gRPC's 4 MB cap on messages; a channel that is made here has to do so itself.
    ("grpc.max_receive_message_length", -1),
    # A connection that a router forgot answers nothing and fails nothing. Asked for a sign of life it is known to be
    # dead after 40 s; a call on it would wait out its deadline, a session 600 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""What both clients ask for by default."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What the adapter calls; both are safe to use from several threads."""

    project: str
    """Where the tables are."""
    billing_project: str
    """Where queries run and read sessions belong: it pays, and needs ``jobs.create`` and ``readsessions.create``."""
    catalogue: bigquery.Client
    reads: BigQueryReadClient


def open_clients(project: str, storage_endpoint: str | None = None, *, billing_project: str | None = None) -> Clients:
    """Return the clients of a project; no call is made.

    ``billing_project`` is the one that runs queries and owns read sessions, default ``project`` itself. A person's
    own credentials name it as their quota project as well: Google wants one for them. A service account's do not,
    for that would need one more role (Service Usage Consumer).

    ``storage_endpoint`` is the Storage Read API's address, default Google's own: ``host[:port]`` for TLS with the
    application's default credentials, ``http://host:port`` for plain text. Plain text carries no credentials, so it
    goes only together with a plain REST endpoint in ``BIGQUERY_EMULATOR_HOST``: half a local server is refused.

    Raises:
        BadSetting: the project's name or the endpoints cannot be.
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
        # google-auth raises whatever reading a file of credentials ends in: a list there is an AttributeError.
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
    """The application's default credentials. Raises GoogleAuthError where there are none."""
    found: Any = cast("Any", google.auth.default)(scopes=[_SCOPE])[0]
    if quota_project is not None and isinstance(found, PersonsCredentials):
        found = cast("Any", found).with_quota_project(quota_project)
    return found


def check_project(project: str, variable: str = _VARIABLE) -> str:
    """Return ``project`` if it is a project's name, which may then be part of a query or path. Raises BadSetting."""
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
"""How long BigQuery may take over a query before it answers that it is not done yet."""
_CONNECT_SECONDS, _ANSWER_SECONDS = 6.0, 12.0
"""Well below ``RetryPolicy.silent_seconds``: a request that hangs is asked again."""
NO_TRIES: Any = None
"""For ``retry`` of Google's client, whose annotation leaves out that None is none."""
_POLL_SECONDS = 0.1
_SERVER_FAULT, _TOO_MANY = 500, 429
_Answer = TypeVar("_Answer")


class Rest:
    """The calls of one client. For several threads."""

    def __init__(self, client: bigquery.Client, outage: Outage, policy: RetryPolicy) -> None:
        self.client = client
        self._outage, self._policy = outage, policy
        self._heard = _Heard()
        # Google's documentation mounts adapters on this session, too; it has no public name.
        session = cast("requests.Session", cast("Any", client)._http)  # noqa: SLF001
        for scheme in ("https://", "http://"):
            session.mount(scheme, self._heard)

    def ask(self, call: Callable[[], _Answer], subject: str, **known: str) -> _Answer:
        """Return what the call returns; its Google clients' own tries must be off, for they are counted here.

        ``known``: the table, dataset or project asked for, which a refusal may not name.

        **Cost**: at most ``RetryPolicy.silent_seconds`` where nobody answers.

        Raises:
            WarehouseUnavailable: nobody answered, or the project refuses every call.
            TransientReadError: it was refused for now, each of ``RetryPolicy.tries`` times.
            TableMissing, TableUnreadable: it was refused for good.
            ReadsEnded: the run ends.
        """
        began, failures = time.monotonic(), 0
        before: Exception | None = None
        while True:
            tried = time.monotonic()
            try:
                answer = self._bounded(call, max(began, self._heard.at) + self._policy.silent_seconds)
            except (GoogleAPIError, GoogleAuthError, OSError) as failed:
                # The last try may be cut off by the end of the time allowed: what was answered before says more.
                error = before if before is not None and isinstance(failed, TimeoutError) else failed
                before, failures = error, failures + 1
                silent = time.monotonic() - max(began, self._heard.at)
                lasts = silent >= self._policy.silent_seconds
                self._outage.failed(why(error), began=tried, failures=0)
                heard = self._heard.at > tried
                if not may_pass(error) or lasts or (heard and failures >= self._policy.tries):
                    raise translated(error, subject, lasts=lasts, **known) from failed
                left = self._policy.silent_seconds - silent
                self._outage.wait(min(self._policy.wait_seconds(failures, error), max(left, 0.0)))
            else:
                self._outage.answered()  # else a fault here, long passed, would count as the beginning of a later one
                return answer

    def _bounded(self, call: Callable[[], _Answer], until: float) -> _Answer:
        """The call's outcome; on a thread of its own, which is left behind where names or proxies hang."""
        done: list[_Answer] = []
        failed: list[BaseException] = []
        over = threading.Event()

        def work() -> None:
            try:
                done.append(call())
            except BaseException as error:  # noqa: BLE001 (not swallowed: raised again where the answer is wanted)
                failed.append(error)
            over.set()

        threading.Thread(target=work, name="rest", daemon=True).start()
        began = time.monotonic()
        while not over.wait(_POLL_SECONDS):
            self._outage.go_on()
            if time.monotonic() > max(until, self._heard.at + self._policy.silent_seconds):
                msg = f"no answer within {time.monotonic() - began:.0f} s"
                raise TimeoutError(msg)
        if failed:
            raise failed[0]
        return done[0]


class _Heard(HTTPAdapter):
    """Bounds every request, and knows when a server last answered otherwise than by a failure of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0

    def send(self, request: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 (requests has no types)
        options["timeout"] = (_CONNECT_SECONDS, _ANSWER_SECONDS)
        response = super().send(request, *args, **options)
        if response.status_code < _SERVER_FAULT and response.status_code != _TOO_MANY:
            self.at = time.monotonic()
        return response
