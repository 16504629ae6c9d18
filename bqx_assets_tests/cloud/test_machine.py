"""The services of ``deploy/compose.yaml``, which the acceptance path starts by their own words, are looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bqx_assets_tests.cloud.production import Production


@pytest.mark.parametrize("service", ["code", "web", "daemon"])
def test_a_service_that_runs_is_healthy_by_the_machines_own_check_and_one_that_does_not_is_not(
    running: Production, service: str
) -> None:
    assert running.machine.healthy(service)
    if service == "web":  # the others' checks take 3 s of CPU each
        elsewhere = replace(running.machine, ports={"4000": 1, "3000": 1})
        assert not elsewhere.healthy(service)
