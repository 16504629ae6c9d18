"""``CloudRunServer``: the API on 127.0.0.1, in this process, with faults on demand."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from google.cloud import run_v2

from bqx_assets_tests.servers.cloud_run.execution import Execution
from bqx_assets_tests.servers.cloud_run.faults import Call, Fault
from bqx_assets_tests.servers.cloud_run.methods import Methods

PROJECT, REGION = "test-project", "us-central1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"


class CloudRunServer:
    """A server, and a context manager that runs it. ``image_env``: the image's variables; PATH has the tests' venv."""

    def __init__(self, image_env: Mapping[str, str] | None = None, *, grace_seconds: float = 10.0) -> None:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        self.image_env = {"PATH": path, "LANG": "C.UTF-8", **(image_env or {})}
        self.grace_seconds = grace_seconds
        self.secrets: dict[str, str] = {}
        """The secrets that the jobs' account may read: the latest version by name."""
        self.missing_images: set[str] = set()
        """Images that the registry lacks. It has all others, because a container runs with this machine's files."""
        self.jobs: dict[str, run_v2.Job] = {}
        self.executions: dict[str, Execution] = {}
        """The executions by full name, oldest first."""
        self.withheld: set[str] = set()
        """The permissions that the caller lacks."""
        self.calls: list[Call] = []
        self.logs = Path(tempfile.mkdtemp(prefix="cloud-run-logs-"))
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8, thread_name_prefix="cloud-run"))
        self._server.add_generic_rpc_handlers(Methods(self).handlers())
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(grace=None).wait(5)
        for execution in self.executions.values():
            execution.kill()
        for execution in self.executions.values():
            execution.join(5)
        shutil.rmtree(self.logs, ignore_errors=True)

    def deploy(self, job: run_v2.Job, name: str) -> str:
        """Put a job in place without the API and return its full name."""
        full = f"{PARENT}/jobs/{name}"
        self.jobs[full] = run_v2.Job(name=full, template=job.template)
        return full

    def inject(self, method: str, *faults: Fault) -> None:
        """Let the next calls of a method, ``RunJob`` for example, meet these faults, one each."""
        self._faults[method].extend(faults)

    def fault(self, method: str) -> Fault | None:
        """Return the next fault of a method, once."""
        with self._lock:
            return self._faults[method].popleft() if self._faults[method] else None

    def called(self, method: str) -> int:
        """Return how many calls of a method have arrived."""
        return sum(call.method == method for call in self.calls)

    def latest(self) -> Execution:
        """Return the execution that was started last."""
        return next(reversed(self.executions.values()))

    def output(self, execution: Execution) -> str:
        """Return what an execution's containers have printed."""
        return execution.image.log.read_text() if execution.image.log.exists() else ""

    def await_pids(self, execution: Execution, count: int, timeout_seconds: float = 20.0) -> list[int]:
        """Wait until so many containers have been started and return their main processes' ids."""
        deadline = time.monotonic() + timeout_seconds
        while len(execution.pids) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(execution.pids) >= count, self.output(execution)
        return execution.pids
