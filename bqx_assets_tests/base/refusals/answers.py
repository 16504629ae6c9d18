"""Builds the errors that Google's own clients make from answers of its services."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import requests
from google.api_core import exceptions as api
from google.cloud.storage import blob
from google.cloud.storage.exceptions import InvalidResponse

Json = dict[str, Any]
SESSION = "https://storage.googleapis.com/upload/storage/v1/b/B/o?uploadType=resumable&upload_id=ABCsecretXYZ"
"""Whoever has such an address may write."""


def info(reason: str, domain: str = "googleapis.com", **metadata: str) -> Json:
    """Return an ErrorInfo in JSON."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason, "domain": domain, "metadata": metadata}


def detail(kind: str, **fields: object) -> Json:
    """Return another message of google.rpc in JSON."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def _response(code: int, body: str, url: str, method: str = "POST") -> requests.Response:
    made = requests.Response()
    made.status_code, made._content = code, body.encode()
    made.request = requests.Request(method, url).prepare()
    return made


def document(code: int, message: str, reason: str = "", details: Sequence[Json] = (), status: str = "") -> Json:
    """Return the body of a REST service's refusal."""
    entries = [{"message": message, "domain": "global", "reason": reason}] if reason else []
    error: Json = {"code": code, "message": message, "errors": entries}
    return {"error": error | ({"details": list(details)} if details else {}) | ({"status": status} if status else {})}


def rest(code: int, message: str, reason: str = "", *details: Json) -> Exception:
    """Return the error of a metadata call of BigQuery's or Cloud Storage's JSON API."""
    url = "https://bigquery.googleapis.com/bigquery/v2/projects/bqx-ml/jobs?prettyPrint=false"
    return api.from_http_response(_response(code, json.dumps(document(code, message, reason, details)), url))


def media(code: int, message: str, reason: str = "") -> Exception:
    """Return the error of an upload or download: the client puts the answer's body as text after the session's address."""
    body = json.dumps(document(code, message, reason)) if reason else message
    refused: Any = InvalidResponse(_response(code, body, SESSION, "PUT"), "Request failed with status code", code)
    try:
        cast("Any", blob)._raise_from_invalid_response(refused)
    except api.GoogleAPICallError as error:
        return error
    raise AssertionError


def grpc(status: str, message: str, *details: object) -> Exception:
    """Return the error of a gRPC call; details are protobuf messages."""
    import grpc as grpcio  # noqa: PLC0415 -- the function has its name

    found = [each for each in details if type(each).__name__ == "ErrorInfo"]
    code = grpcio.StatusCode[status]
    facts: Json = {"details": list(details), "error_info": found[0] if found else None}
    return cast("Exception", api.from_grpc_status(code, message, **facts))


def job(code: int, message: str, reason: str) -> Exception:
    """Return the error that the client raises for a failed BigQuery job."""
    return api.from_http_status(code, message, errors=[{"reason": reason, "message": message, "location": "query"}])
