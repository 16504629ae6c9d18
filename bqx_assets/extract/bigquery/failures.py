"""Google's exceptions as this package's errors, each naming its table.

Belongs here: which failures may pass when tried again, and which error a lasting one is. Does not: trying again.
"""

from __future__ import annotations

from typing import cast

from google.api_core import exceptions as google
from google.auth.exceptions import GoogleAuthError, TransportError
from google.rpc.error_details_pb2 import RetryInfo

from bqx_assets.base.errors import TableMissing, TableUnreadable, TransientReadError, WarehouseError

_PASSING = (
    google.ServiceUnavailable,
    google.InternalServerError,  # Google's clients resume after "RST_STREAM" and the like, which arrive as INTERNAL
    google.TooManyRequests,  # RESOURCE_EXHAUSTED is one
    google.DeadlineExceeded,
    google.GatewayTimeout,
    google.BadGateway,
    google.Aborted,
    google.Cancelled,
    google.Unknown,
    google.RetryError,
    TransportError,
    ConnectionError,
)
_TEXT_LENGTH = 200


def may_pass(error: BaseException) -> bool:
    """Return whether the same call may succeed later."""
    return isinstance(error, _PASSING)


def asked_wait_seconds(error: BaseException | None) -> float:
    """Return how long the server asked to wait before the next try; 0 when it did not say."""
    details = cast("list[object]", error.details) if isinstance(error, google.GoogleAPICallError) else []
    asked = [each.retry_delay for each in details if isinstance(each, RetryInfo)]
    return max((delay.seconds + delay.nanos / 1e9 for delay in asked), default=0.0)


def translated(error: Exception, subject: str) -> WarehouseError:
    """Return the error a table's read ends with: transient, missing, or unreadable."""
    said = _said(error)
    if may_pass(error):
        return TransientReadError(subject, got=said, expected="rows", cure="Try again later.")
    if isinstance(error, google.NotFound):
        return TableMissing(
            subject,
            got=said,
            expected="the table as it was planned",
            cure="Restore the table, or plan again.",
        )
    if isinstance(error, (google.Forbidden, google.Unauthorized, GoogleAuthError)):
        cure = "Grant the service account BigQuery Data Viewer on the dataset and BigQuery Read Session User."
        return TableUnreadable(subject, got=said, expected="permission to read it", cure=cure)
    return TableUnreadable(
        subject, got=said, expected="a readable table", cure="Look the table up in the console, then plan again."
    )


def _said(error: Exception) -> str:
    """The server's first line, shortened: enough to search for, too little to carry a document."""
    message = cast("str | None", error.message) if isinstance(error, google.GoogleAPICallError) else str(error)
    line = (message or "").strip().partition("\n")[0]
    return f"{type(error).__name__}: {line[:_TEXT_LENGTH]}"
