"""A small BigQuery REST server that answers as Google's does: jobs.query with pages, tables.get, and refusals."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bqx_assets_tests.servers.local import LocalServer, QuietHandler

_TABLE = re.compile(r"/bigquery/v2/projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)")
_DATASET = re.compile(r"/bigquery/v2/projects/([^/]+)/datasets/([^/]+)")
_JOB = re.compile(r"/bigquery/v2/projects/([^/]+)/(queries|jobs)/([^/]+)")
_JOBS = re.compile(r"/bigquery/v2/projects/([^/]+)/jobs")
_CANCEL = re.compile(r"/bigquery/v2/projects/([^/]+)/jobs/([^/]+)/cancel")
_IN_JOB = 0
"""The code of a ``Refusal`` that a job ends with, and not a call."""
_QUERY = re.compile(r"/bigquery/v2/projects/([^/]+)/queries")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal of Google's: its HTTP code, reason, words and details, or an HTML page of a proxy."""

    code: int
    reason: str
    message: str = "injected"
    status: str = ""
    details: Sequence[dict[str, Any]] = ()
    page: str = ""

    def body(self) -> bytes:
        """Return the body as it goes over the wire."""
        if self.page:
            return self.page.encode()
        domain = "usageLimits" if self.reason in {"accessNotConfigured", "rateLimitExceeded"} else "global"
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        error["errors"] = [{"message": self.message, "domain": domain, "reason": self.reason}]
        if self.status:
            error["status"] = self.status
        if self.details:
            error["details"] = list(self.details)
        return json.dumps({"error": error}).encode()


@dataclass
class RestServer:
    """A server of tables by (project, dataset, table) with their times in milliseconds, and of rows for every query."""

    tables: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    columns: Sequence[tuple[str, str]] = (("now", "TIMESTAMP"),)
    rows: Sequence[Sequence[Any]] = ((1_767_657_600.0,),)
    """The rows of an answer as the wire has them: the ``v`` of each cell."""
    nested: Sequence[dict[str, str]] = ()
    """The fields of a last column that is an array of structs."""
    page_rows: int = 1_000
    location: str = "EU"
    scanned_bytes: int = 0
    """The bytes that a dry run of any query tells."""
    failures: list[tuple[str, Refusal]] = field(default_factory=list)
    """The failures of jobs whose query holds these words; they fail when they run, not when they are made."""
    jobs: dict[str, str] = field(default_factory=dict)
    """The query of each job that was made, by its id."""
    cancelled: list[str] = field(default_factory=list)
    never_done: bool = False
    """Whether jobs run for ever."""
    refusals: list[Refusal | None] = field(default_factory=list)
    """Refusals of the next calls, one per call; None lets a call through."""
    lasting: Refusal | None = None
    """The refusal of every call that the list has none for."""
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """The method, path and query parameters of each call, in order."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    hang_seconds: float = 0.0
    """The time for which the first call gets no answer."""
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:  # noqa: PLR0911 -- one case a call
        """Return the code and body of the answer to one call."""
        split = urlsplit(path)
        parameters = {name: values[-1] for name, values in parse_qs(split.query).items()}
        self.calls.append((method, split.path, parameters))
        self.bodies.append(json.loads(body) if body.startswith(b"{") else {})
        if len(self.calls) == 1 and self.hang_seconds:
            self.released.wait(self.hang_seconds)
        refusal = (self.refusals.pop(0) if self.refusals else None) or self.lasting
        if refusal is not None:
            return refusal.code, refusal.body()
        if method == "GET" and (found := _DATASET.fullmatch(split.path)):
            reference = {"projectId": found[1], "datasetId": found[2]}
            return 200, json.dumps({"datasetReference": reference, "location": self.location}).encode()
        if method == "GET" and (found := _TABLE.fullmatch(split.path)):
            return self._table(*found.groups())
        if method == "POST" and (found := _QUERY.fullmatch(split.path)):
            return 200, json.dumps(self._page(found[1], 0)).encode()
        job = self._of_jobs(method, split.path, body)
        if job is not None:
            return job
        if method == "GET" and (found := _JOB.fullmatch(split.path)):
            return self._job(found[1], found[2], parameters)
        return 404, Refusal(404, "notFound", f"Not found: {split.path}").body()

    def _of_jobs(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        """Return the answer to a call about jobs that were made by ``jobs.insert``."""
        if method == "POST" and (found := _JOBS.fullmatch(path)):
            return self._insert(found[1], json.loads(body))
        if method == "POST" and (found := _CANCEL.fullmatch(path)):
            self.cancelled.append(found[2])
            return 200, json.dumps({"job": self._made(found[1], found[2])}).encode()
        if method == "GET" and (found := _JOB.fullmatch(path)) and found[3] in self.jobs:
            return 200, json.dumps(self._made(found[1], found[3])).encode()
        return None

    def _insert(self, project: str, job: dict[str, Any]) -> tuple[int, bytes]:
        name = job.get("jobReference", {}).get("jobId", "")
        dry = job["configuration"].get("dryRun", False)
        sql = job["configuration"]["query"]["query"]
        if dry:
            refusal = next((each for words, each in self.failures if words in sql and each.code != _IN_JOB), None)
            if refusal is not None:
                return refusal.code, refusal.body()
        elif name in self.jobs:
            return 409, Refusal(409, "duplicate", f"Already Exists: Job {project}:{name}").body()
        else:
            self.jobs[name] = sql
        return 200, json.dumps(self._made(project, name, dry=dry)).encode()

    def _made(self, project: str, name: str, *, dry: bool = False) -> dict[str, Any]:
        sql = self.jobs.get(name, "")
        failed = next((each for words, each in self.failures if words in sql and each.code == _IN_JOB), None)
        status: dict[str, Any] = {"state": "RUNNING" if self.never_done and not dry else "DONE"}
        if failed is not None and not dry:
            status["errorResult"] = {"reason": failed.reason, "message": failed.message}
        return {
            "kind": "bigquery#job",
            "jobReference": {"projectId": project, "jobId": name or "dry", "location": self.location},
            "configuration": {"jobType": "QUERY", "dryRun": dry, "query": {"query": sql}},
            "statistics": {"query": {"totalBytesProcessed": str(self.scanned_bytes)}},
            "status": status,
        }

    def _table(self, project: str, dataset: str, table: str) -> tuple[int, bytes]:
        times = self.tables.get((project, dataset, table))
        if times is None:
            known = {name[:2] for name in self.tables}
            missing = (
                f"Table {project}:{dataset}.{table}" if (project, dataset) in known else f"Dataset {project}:{dataset}"
            )
            return 404, Refusal(404, "notFound", f"Not found: {missing}", "NOT_FOUND").body()
        return 200, json.dumps(
            {
                "kind": "bigquery#table",
                "etag": "x==",
                "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
                "type": "TABLE",
                "creationTime": str(times[0]),
                "lastModifiedTime": str(times[1]),
                "schema": {"fields": [{"name": "interval_time", "type": "TIMESTAMP"}]},
            }
        ).encode()

    def _job(self, project: str, kind: str, parameters: dict[str, str]) -> tuple[int, bytes]:
        if parameters.get("location") != self.location:
            return 404, Refusal(404, "notFound", f"Not found: Job {project}:job_1", "NOT_FOUND").body()
        if kind == "jobs":
            reference = {"projectId": project, "jobId": "job_1", "location": self.location}
            job = {"jobReference": reference, "status": {"state": "DONE"}, "configuration": {"query": {"query": ""}}}
            job["configuration"]["query"]["destinationTable"] = {  # type: ignore[index]
                "projectId": project,
                "datasetId": "_anon",
                "tableId": "anon1",
            }
            return 200, json.dumps(job).encode()
        page = self._page(project, int(parameters.get("pageToken", "0")))
        if parameters.get("maxResults") == "0":
            page = {name: value for name, value in page.items() if name not in {"rows", "pageToken"}}
        return 200, json.dumps(page).encode()

    def _page(self, project: str, start: int) -> dict[str, Any]:
        rows = self.rows[start : start + self.page_rows]
        fields: list[dict[str, Any]] = [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in self.columns]
        if self.nested:
            fields.append({"name": "columns", "type": "RECORD", "mode": "REPEATED", "fields": list(self.nested)})
        page = {
            "kind": "bigquery#queryResponse",
            "jobReference": {"projectId": project, "jobId": "job_1", "location": self.location},
            "jobComplete": True,
            "schema": {"fields": fields},
            "totalRows": str(len(self.rows)),
            "rows": [{"f": [{"v": value} for value in row]} for row in rows],
        }
        if start + self.page_rows < len(self.rows):
            page["pageToken"] = str(start + self.page_rows)
        return page


@contextmanager
def rest_served(rest: RestServer) -> Generator[RestServer]:
    """Serve it on a free port; ``url`` is then its address."""

    class Handler(QuietHandler):
        def serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            rest.headers.append(dict(self.headers.items()))
            self.send_json(*rest.answer(self.command, self.path, self.rfile.read(length)))

    with LocalServer(Handler) as server:
        rest.url = server.url
        try:
            yield rest
        finally:
            rest.released.set()
