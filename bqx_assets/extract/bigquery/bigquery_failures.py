"""Decides which failures of BigQuery's calls may pass, and which error a lasting one becomes.

What a refusal means is read in ``base/refusals``; how often and how long a call is repeated stands in ``base/retry``.
"""

from __future__ import annotations

from typing import Final, cast

import grpc
from google.api_core import exceptions as google

from bqx_assets.base.errors import (
    QueryTooLarge,
    TableMissing,
    TableUnreadable,
    TransientReadError,
    WarehouseError,
    WarehouseUnavailable,
)
from bqx_assets.base.refusals.read import Refusal, read_refusal

_PASSING = (
    google.ServiceUnavailable,
    google.InternalServerError,  # Google's clients resume after "RST_STREAM" and the like, which arrive as INTERNAL
    google.Aborted,
    google.Cancelled,
    google.Unknown,
)
"""Errors that may pass by their code alone, unless their text gives a reason that does not pass."""
_NO_REASON: Final = frozenset({"unknown", "conflict", "server", "bad_request", "endpoint", "not_running"})
_NEW_SPINE = (
    "A new spine takes the present as its moment: bqx extract PAIR, or in the browser materialise targets_spine and "
    "then feature_slabs. Tables that did not change are not read again."
)
_BUSY = frozenset({"rate_limit", "rate_limit_job", "quota"})
_TOO_LARGE = frozenset({"resources_exceeded", "query_too_large", "result_too_large", "too_many_columns"})
_WORTH_A_WORD_SECONDS = 60.0
_MISSING = frozenset({"table_missing", "missing", "dataset_missing"})


def refusal_of(error: BaseException, **known: str) -> Refusal:
    """Return what an error of Google's clients means. An error over gRPC is the Storage Read API's, others BigQuery's.

    ``known``: the ``table``, ``dataset`` or ``project`` of the call, for answers that do not name it.
    """
    parts = cast("list[object]", error.errors) if isinstance(error, google.GoogleAPICallError) else []
    over_grpc = any(isinstance(part, grpc.RpcError) for part in parts)
    return read_refusal(error, "storage_read" if over_grpc else "bigquery", **known)


def asked_seconds(error: BaseException) -> float:
    """Return the wait that the service asks for before the next attempt; 0 if it asks for none."""
    return refusal_of(error).wait_seconds


def may_pass(error: BaseException) -> bool:
    """Return whether the same call may succeed later."""
    refusal = refusal_of(error)
    return refusal.again in {"later", "new_job"} or (isinstance(error, _PASSING) and refusal.reason in _NO_REASON)


def needs_new_session(error: BaseException) -> bool:
    """Return whether a read has to start over because its session, or its position in a stream, is gone."""
    return refusal_of(error).again == "new_session"


def is_busy(error: BaseException) -> bool:
    """Return whether the service answered that its rate limits, which are counted by the minute, are exceeded."""
    return refusal_of(error).reason in _BUSY


def stream_removed(error: BaseException) -> bool:
    """Return whether BigQuery closed a stream that was not read for an hour: it may be resumed at its offset once."""
    return "stream removed" in str(error).lower()


def why(error: BaseException) -> str:
    """Return the meaning of an error, for the progress line that says what is waited for."""
    return refusal_of(error).sentence


def translated(error: Exception, subject: str, *, lasts: bool = False, **known: str) -> WarehouseError:
    """Return the error of this package that a failed call ends with.

    It concerns all tables (WarehouseUnavailable), may pass (TransientReadError), or concerns one table (TableMissing,
    TableUnreadable). ``lasts``: nothing was answered for so long that the outage counts as lasting. ``known``: as in
    ``refusal_of``. The service's own message is shown without secrets, and never cut before the part that matters.
    """
    refusal = refusal_of(error, **known)
    cure = _NEW_SPINE if refusal.again == "new_snapshot" else refusal.cure
    got, cure = f"{type(error).__name__}: {refusal.said}{_asked(refusal)}", f"{refusal.sentence}. {cure}"
    passing = may_pass(error) or needs_new_session(error)
    if lasts or (refusal.everywhere and not passing and refusal.reason not in _MISSING):
        expected = "an answer of BigQuery" if passing else _expected(refusal)
        return WarehouseUnavailable(subject, got=got, expected=expected, cure=cure)
    if passing:
        return TransientReadError(subject, got=got, expected="rows", cure=cure)
    if refusal.reason in _MISSING:
        return TableMissing(subject, got=got, expected="the table as it was planned", cure=cure)
    kind = QueryTooLarge if refusal.reason in _TOO_LARGE else TableUnreadable
    return kind(subject, got=got, expected=_expected(refusal), cure=cure)


def _asked(refusal: Refusal) -> str:
    """Return the wait that the service asks for, if it is long enough to mention."""
    asked = refusal.wait_seconds
    return f" (it asks to be asked again in {asked:,.0f} s)" if asked > _WORTH_A_WORD_SECONDS else ""


def _expected(refusal: Refusal) -> str:
    if refusal.permission is not None:
        return f"the permission {refusal.permission} on {refusal.resource or 'the table'}"
    return "permission to read it" if refusal.reason == "permission_unnamed" else "a readable table"
