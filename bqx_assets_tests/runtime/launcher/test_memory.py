"""The memory limit that the containers of the tests have: it must be a true one, or the 2 GiB prove nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bqx_assets_tests.runtime.launcher.deployment import Deployment, python
from bqx_assets_tests.servers.cloud_run.memory import PolledCap

MIB = 2**20
CHILD = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-S', '-c', {script!r}]).returncode)"
HOG = "x = b'x' * (1 << 27)"
FILES = "f = open('file', 'wb'); [f.write(bytes(1 << 20)) for _ in range(128)]"


@pytest.mark.parametrize(
    "script", [HOG, CHILD.format(script=HOG), FILES], ids=["the main process", "a child", "files written"]
)
def test_whatever_takes_the_memory_the_container_is_ended(deployment: Deployment, script: str) -> None:
    deployment.launch(python(script, memory="64Mi"))
    deployment.ended()
    (ended,) = deployment.cloud_run.latest().attempts
    assert "Memory limit of 64 MiB exceeded" in ended.message


def test_a_container_within_its_limit_ends_by_itself_and_its_peak_is_known(deployment: Deployment) -> None:
    deployment.launch(python("x = b'x' * (16 << 20); open('file', 'wb').write(x)", memory="64Mi"))
    deployment.ended()
    (ended,) = deployment.cloud_run.latest().attempts
    assert ended.succeeded
    assert 32 * MIB < ended.peak_bytes <= 64 * MIB


def test_each_container_begins_with_an_empty_folder(deployment: Deployment) -> None:
    script = "import os; print(os.listdir()); open('left', 'w'); raise SystemExit(1)"
    deployment.launch(python(script, retries=1))
    deployment.ended()
    assert deployment.cloud_run.output(deployment.cloud_run.latest()).splitlines() == ["[]", "[]"]


@pytest.mark.parametrize("script", [HOG + "; input()", CHILD.format(script=HOG + "; input()")])
def test_where_the_kernel_does_not_count_polling_does(tmp_path: Path, script: str) -> None:
    cap = PolledCap(64 * MIB, tmp_path)
    process = subprocess.Popen(cap.wrapped([sys.executable, "-S", "-c", script]), stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while not cap.exceeded(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert cap.peak_bytes() > 64 * MIB
    finally:
        process.communicate()
