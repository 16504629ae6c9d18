"""Waits grow, differ, stay bounded, and are no shorter than the server asked for, unless that is an outage."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import ResourceExhausted
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.retry import RETRIES
from bqx_assets.extract.bigquery.bigquery_failures import asked_seconds, translated


@given(st.floats(0, 90))
@settings(deadline=None)
def test_a_wait_is_at_least_what_the_server_asked_for(seconds: float) -> None:
    asked = RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)))
    wait = RETRIES["bigquery"].wait_seconds(1, asked_seconds(ResourceExhausted("quota", details=(asked,))))
    assert wait >= seconds - 1e-6


@pytest.mark.parametrize("seconds", [7_200, 10**11])
def test_a_wait_of_hours_is_not_slept_out_and_is_told(seconds: int) -> None:
    asked = RetryInfo(retry_delay=Duration(seconds=seconds))
    error = ResourceExhausted("quota", details=(asked,))
    assert RETRIES["bigquery"].wait_seconds(1, asked_seconds(error)) == RETRIES["bigquery"].longest_asked_seconds
    assert f"asked again in {seconds:,} s" in translated(error, "d.t").got
