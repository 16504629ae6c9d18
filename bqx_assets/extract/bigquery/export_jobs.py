"""Runs queries whose rows BigQuery writes as Parquet into a bucket: first dry, then for real, and stops them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from google.api_core.exceptions import Conflict, GoogleAPIError
from google.cloud import bigquery

from bqx_assets.base.usage import LEAST_BILLED_BYTES
from bqx_assets.extract.bigquery.client import CALL_SECONDS, NO_TRIES, Rest
from bqx_assets.extract.bigquery.session import ByteBudget
from bqx_assets.extract.warehouse import Outage

_POLL_SECONDS = 1.0
_Answer = TypeVar("_Answer")


class ExportJobs:
    """Query jobs of one project, at the place of its data. Safe to use from several threads."""

    def __init__(self, rest: Rest, outage: Outage, meter: ByteBudget, location: Callable[[], str]) -> None:
        self._rest, self._outage, self._meter = rest, outage, meter
        self._where = location

    def scanned_bytes(self, sql: str, subject: str, tables: int) -> int:
        """Return the bytes that a query would be billed, by a dry run, which is free.

        Raises:
            TableMissing, TableUnreadable: BigQuery refuses the query.
            TransientReadError, WarehouseUnavailable: it does not answer.
        """
        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        job = self._ask(lambda: self._query(sql, config, None), subject)
        return max(job.total_bytes_processed or 0, LEAST_BILLED_BYTES * tables)

    def admit(self, scanned_bytes: int, subject: str) -> None:
        """Count bytes before they are billed. Raises BudgetExceeded if they would exceed ``BQX_MAX_BYTES``."""
        self._meter.admit_queries(scanned_bytes, subject)

    @property
    def queried_bytes(self) -> int:
        """Bytes that were admitted so far."""
        return self._meter.queried_bytes

    def run(self, sql: str, subject: str) -> None:
        """Run a query to its end; it is cancelled when the run ends before.

        Raises:
            TableMissing, TableUnreadable: BigQuery refused or failed it; the error says why.
            TransientReadError, WarehouseUnavailable: it does not answer.
            ReadsEnded: the run ends.
        """
        name = f"bqx_{secrets.token_hex(12)}"
        config = bigquery.QueryJobConfig(use_query_cache=False, labels={"made-by": "bqx"})
        try:
            job = self._ask(lambda: self._query(sql, config, name), subject)
            while job.state != "DONE":
                self._outage.wait(_POLL_SECONDS)
                job = self._ask(lambda: self._job(name), subject)
            self._ask(lambda: self._raise_failure(job), subject)
        except BaseException:
            with suppress(GoogleAPIError, OSError):
                self._rest.client.cancel_job(name, location=self._where(), retry=NO_TRIES, timeout=CALL_SECONDS)
            raise

    def _ask(self, call: Callable[[], _Answer], subject: str) -> _Answer:
        return self._rest.ask(call, subject)

    def _query(self, sql: str, config: bigquery.QueryJobConfig, name: str | None) -> bigquery.QueryJob:
        client = self._rest.client
        try:
            return client.query(
                sql,
                job_config=config,
                job_id=name,
                location=self._where(),
                retry=NO_TRIES,
                job_retry=NO_TRIES,
                timeout=CALL_SECONDS,
            )
        except Conflict:  # the answer to an earlier attempt was lost
            if name is None:
                raise
            return self._job(name)

    def _job(self, name: str) -> bigquery.QueryJob:
        found = self._rest.client.get_job(name, location=self._where(), retry=NO_TRIES, timeout=CALL_SECONDS)
        return cast("bigquery.QueryJob", found)

    @staticmethod
    def _raise_failure(job: bigquery.QueryJob) -> None:
        failed = cast("Any", job).exception(timeout=CALL_SECONDS)
        if failed is not None:
            raise failed
