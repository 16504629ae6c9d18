"""The retry policy of BigQuery's calls: which failures may pass, how long to wait, which error a lasting one becomes.

What a refusal means is read in ``base/refusals``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, cast

import grpc
from google.api_core import exceptions as google

from bqx_assets.base.errors import (
    TableMissing,
    TableUnreadable,
    TransientReadError,
    WarehouseError,
    WarehouseUnavailable,
)
from bqx_assets.base.refusals.read import Refusal, read_refusal


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Deadlines and waits of one read."""

    deadline_seconds: float = 60.0
    """Of one call. A stream that is still flowing then is resumed at its offset, so this bounds a hang, not a read."""
    tries: int = 6
    """In a row without a row arriving."""
    session_seconds: float = 600.0
    """Of opening a session: Google's own deadline, for a table of many partitions takes minutes to plan."""
    beside_seconds: float = 60.0
    """Until a second request is made beside a session that does not open: the first may have been lost."""
    silent_seconds: float = 28.0
    """Of metadata and queries, where nobody answers: with them and its start, ``bqx plan`` ends within a minute."""
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 32.0
    longest_asked_seconds: float = 120.0
    """Of a wait that the server asks for. One of hours is an outage, which the run has to end at, and not sleep out."""

    def wait_seconds(self, failures: int, error: BaseException | None) -> float:
        """Return the wait before the next try: random up to a bound that doubles, at least what the server asks for.

        What it asks for counts up to ``longest_asked_seconds``. The randomness keeps many readers that failed together
        from coming back together.
        """
        bound = min(self.longest_wait_seconds, self.first_wait_seconds * 2 ** (failures - 1))
        asked = refusal_of(error).wait_seconds if error else 0.0
        return max(random.uniform(0, bound), min(asked, self.longest_asked_seconds))  # noqa: S311 (no secret)


_PASSING = (
    google.ServiceUnavailable,
    google.InternalServerError,  # Google's clients resume after "RST_STREAM" and the like, which arrive as INTERNAL
    google.Aborted,
    google.Cancelled,
    google.Unknown,
)
"""Pass by their code whatever they say, unless the words show a reason that does not."""
_NO_REASON: Final = frozenset({"unknown", "conflict", "server", "bad_request", "endpoint", "not_running"})
_NEW_SPINE = (
    "A new spine takes the present as its moment: bqx extract PAIR, or in the browser materialise targets_spine and "
    "then feature_slabs. Tables that did not change are not read again."
)
_BUSY = frozenset({"rate_limit", "rate_limit_job", "quota"})
_WORTH_A_WORD_SECONDS = 60.0
_MISSING = frozenset({"table_missing", "missing", "dataset_missing"})


def refusal_of(error: BaseException, **known: str) -> Refusal:
    """Return what an error of Google's clients means: over gRPC it is the Storage Read API's, else BigQuery's.

    ``known``: the ``table``, ``dataset`` or ``project`` that was asked for, where the answer does not say it.
    """
    parts = cast("list[object]", error.errors) if isinstance(error, google.GoogleAPICallError) else []
    over_grpc = any(isinstance(part, grpc.RpcError) for part in parts)
    return read_refusal(error, "storage_read" if over_grpc else "bigquery", **known)


def may_pass(error: BaseException) -> bool:
    """Return whether the same call may succeed later."""
    refusal = refusal_of(error)
    return refusal.again in {"later", "new_job"} or (isinstance(error, _PASSING) and refusal.reason in _NO_REASON)


def needs_new_session(error: BaseException) -> bool:
    """Return whether a read has to begin anew: its session, or the stream's place in it, is gone."""
    return refusal_of(error).again == "new_session"


def is_busy(error: BaseException) -> bool:
    """Return whether the service answered, and has more calls than its limits allow: they are counted by the minute."""
    return refusal_of(error).reason in _BUSY


def stream_removed(error: BaseException) -> bool:
    """Return whether BigQuery closed a stream that was not read for an hour: it may go on at its offset, once."""
    return "stream removed" in str(error).lower()


def why(error: BaseException) -> str:
    """Return what an error means, for a line that says what is waited for."""
    return refusal_of(error).sentence


def translated(error: Exception, subject: str, *, lasts: bool = False, **known: str) -> WarehouseError:
    """Return the error a call ends with: of all tables, transient, missing, or unreadable.

    ``lasts``: nothing has been answered for so long that this failure is taken as lasting. ``known``: what was asked
    for. The service's own words are shown without secrets, and never cut before the part that matters.
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
    return TableUnreadable(subject, got=got, expected=_expected(refusal), cure=cure)


def _asked(refusal: Refusal) -> str:
    """How long the service asks to be left alone, where that is worth a word."""
    asked = refusal.wait_seconds
    return f" (it asks to be asked again in {asked:,.0f} s)" if asked > _WORTH_A_WORD_SECONDS else ""


def _expected(refusal: Refusal) -> str:
    if refusal.permission is not None:
        return f"the permission {refusal.permission} on {refusal.resource or 'the table'}"
    return "permission to read it" if refusal.reason == "permission_unnamed" else "a readable table"
