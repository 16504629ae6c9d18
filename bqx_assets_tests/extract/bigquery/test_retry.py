"""Waits grow, differ, stay bounded, and are no shorter than the server asked for, unless that is an outage."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import ResourceExhausted, ServiceUnavailable
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.extract.bigquery.retry import RetryPolicy, translated


@given(st.integers(1, 60))
@settings(deadline=None)
def test_a_wait_is_random_below_a_bound_that_doubles_up_to_the_longest(failures: int) -> None:
    policy = RetryPolicy(first_wait_seconds=1.0, longest_wait_seconds=32.0)
    waits = {policy.wait_seconds(failures, ServiceUnavailable("later")) for _ in range(20)}
    assert len(waits) > 1
    assert 0 <= min(waits) <= max(waits) <= min(32.0, 2.0 ** (failures - 1))


@given(st.floats(0, 90))
@settings(deadline=None)
def test_a_wait_is_at_least_what_the_server_asked_for(seconds: float) -> None:
    asked = RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)))
    wait = RetryPolicy().wait_seconds(1, ResourceExhausted("quota", details=(asked,)))
    assert wait >= seconds - 1e-6


@pytest.mark.parametrize("seconds", [7_200, 10**11])
def test_a_wait_of_hours_is_not_slept_out_and_is_told(seconds: int) -> None:
    asked = RetryInfo(retry_delay=Duration(seconds=seconds))
    error = ResourceExhausted("quota", details=(asked,))
    assert RetryPolicy().wait_seconds(1, error) == RetryPolicy().longest_asked_seconds
    assert f"asked again in {seconds:,} s" in translated(error, "d.t").got
