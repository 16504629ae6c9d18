"""Reading an odd answer never fails, whatever a proxy, an old service or another server sends."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
import requests
from google.api_core import exceptions as api
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.refusals.read import read_refusal
from bqx_assets.base.refusals.table import table
from bqx_assets_tests.base.refusals.answers import media

REASONS = {row.reason for row in table().refusal}
SCALARS = st.none() | st.booleans() | st.integers(-5, 700) | st.text(max_size=20)
NAMES = st.sampled_from(
    ["error", "errors", "message", "code", "status", "details", "@type", "reason", "domain", "metadata", "violations",
     "type", "description", "links", "url", "retryDelay", "fieldViolations", "error_description", "location"]
)  # fmt: skip
KINDS = st.sampled_from(
    [
        f"type.googleapis.com/google.rpc.{each}"
        for each in ("ErrorInfo", "Help", "RetryInfo", "BadRequest", "QuotaFailure")
    ]
)
JSON = st.recursive(
    SCALARS | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=60)
@given(JSON, st.integers(400, 599))
def test_any_body_is_read_as_some_reason(body: Any, code: int) -> None:
    refusal = read_refusal(media(code, json.dumps({"error": body})), "cloud_storage")
    assert refusal.reason in REASONS
    assert refusal.said


@settings(max_examples=60)
@given(JSON, JSON, st.sampled_from(["bigquery", "storage_read", "cloud_run"]))
def test_any_details_and_errors_of_the_client_are_read(errors: Any, details: Any, service: Any) -> None:
    listed: dict[str, Any] = {
        "errors": errors if isinstance(errors, list) else [errors],
        "details": details if isinstance(details, list) else [details],
    }
    assert read_refusal(api.Forbidden("no", **listed), service).reason in REASONS


@pytest.mark.parametrize(
    "body",
    [json.dumps({"error": {"details": [{"@type": "x.ErrorInfo", "metadata": [1], "domain": None}]}}), "", "null", "[]", "{}", "[1]", '"text"', "{", "<html><title>502 Bad Gateway</title></html>", "<Error></Error>",
     '{"error": null}', '{"error": []}', '{"error": "x"}', '[{"error": {"message": "in a list", "code": 503}}]'],
)  # fmt: skip
def test_a_body_of_no_known_form_goes_by_its_code(body: str) -> None:
    assert read_refusal(media(503, body), "cloud_storage").reason == "server"


def test_an_error_of_grpc_itself_is_read_without_googles_wrapping() -> None:
    with grpc.insecure_channel("127.0.0.1:9") as channel:
        call = channel.unary_unary("/x/y")
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=2)
    refusal = read_refusal(raised.value, "storage_read")
    assert refusal.reason == "network"
    assert refusal.again == "later"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.exceptions.ConnectionError("('Connection aborted.', ConnectionResetError(104, 'reset by peer'))"), "stream_closed"),
        (requests.exceptions.ReadTimeout("Read timed out. (read timeout=25)"), "slow"),
        (requests.exceptions.ChunkedEncodingError("Response ended prematurely"), "server"),
        (ConnectionRefusedError(111, "Connection refused"), "network"),
        (TimeoutError(), "slow"),
        (OSError(28, "No space left on device"), "unknown"),
        (ValueError("a fault of the program"), "unknown"),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_a_service_is_told_by_its_class_and_words(error: Exception, reason: str) -> None:
    refusal = read_refusal(error, "cloud_storage")
    assert refusal.reason == reason
    assert refusal.again == ("never" if reason == "unknown" else "later")
