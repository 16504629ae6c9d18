"""The two Google clients of one project, from the settings alone.

Belongs here: endpoints, credentials, channels. Does not: any call.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import grpc
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from bqx_assets.base.errors import BadSetting, WarehouseError
from bqx_assets.base.objects.naming import server_address

_PROJECT = re.compile(r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REST_VARIABLE = "BIGQUERY_EMULATOR_HOST"
"""Google's own name: its client takes the REST endpoint from here."""
_PLAIN = "http://"


@dataclass(frozen=True, slots=True)
class Clients:
    """What the adapter calls; both are safe to use from several threads."""

    project: str
    catalogue: bigquery.Client
    reads: BigQueryReadClient


def open_clients(project: str, storage_endpoint: str | None = None) -> Clients:
    """Return the clients of a project; no call is made.

    ``storage_endpoint`` is the Storage Read API's address, default Google's own: ``host[:port]`` for TLS with the
    application's default credentials, ``http://host:port`` for plain text. Plain text carries no credentials, so it
    goes only together with a plain REST endpoint in ``BIGQUERY_EMULATOR_HOST``: half a local server is refused.

    Raises:
        BadSetting: the project's name or the endpoints cannot be.
        WarehouseError: there are no credentials.
    """
    check_project(project)
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
        return _plain_clients(project, rest_endpoint, storage_endpoint.removeprefix(_PLAIN))
    try:
        options = ClientOptions(api_endpoint=storage_endpoint) if storage_endpoint else None
        return Clients(project, bigquery.Client(project=project), BigQueryReadClient(client_options=options))
    except GoogleAuthError as error:
        raise WarehouseError(
            project,
            got=type(error).__name__,
            expected="Google credentials",
            cure="Run as a service account, or: gcloud auth application-default login",
        ) from error


def check_project(project: str) -> str:
    """Return ``project`` if it is a project's name, which may then be part of a query or path. Raises BadSetting."""
    if _PROJECT.fullmatch(project):
        return project
    raise BadSetting(
        "BQX_BIGQUERY_PROJECT",
        got=repr(project[:60]),
        expected="a project's name: 6 to 30 lower-case letters, digits and hyphens",
        cure="List yours with: gcloud projects list",
    )


def _plain_clients(project: str, rest_endpoint: str, grpc_address: str) -> Clients:
    host = rest_endpoint if "://" in rest_endpoint else _PLAIN + rest_endpoint
    # Google's transport lifts gRPC's 4 MB cap on messages; a channel of our own has to do so itself.
    channel = grpc.insecure_channel(grpc_address, options=[("grpc.max_receive_message_length", -1)])
    return Clients(
        project,
        bigquery.Client(
            project=project,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=host),
        ),
        BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel)),
    )
