"""Translates errors of Google's Cloud Storage client into this package's own, and filters the client's log lines.

The client's errors are not chained, because they contain URLs, and anybody who has the URL of a resumable upload may
write. Log lines are filtered for the same reason.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus

from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from bqx_assets.base.errors import ChecksumMismatch, ObjectMissing, PreconditionFailed, StoreError
from bqx_assets.base.progress import SETBACKS
from bqx_assets.base.refusals.facts import is_of_credentials
from bqx_assets.base.refusals.read import Refusal, read_refusal
from bqx_assets.base.store.protocol import Condition, ObjectInfo, version_text

NO_BUCKET = "The specified bucket does not exist."
"""The words of Cloud Storage for a missing bucket."""
_LOGGERS = ("urllib3.connectionpool", "google.api_core.retry")
"""Loggers that write each request's URL at level DEBUG, which Dagster can be configured to keep."""
_UPLOAD_ID = re.compile(r"(upload_id=)[^&\s\"']+")
_OVERTAKEN = "Another run wrote this object meanwhile; look at it before writing again."


def may_pass(error: BaseException) -> bool:
    """Return whether the same call may succeed later; if so, note the reason for the line that reports waits."""
    refusal = _read(error)
    passing = refusal.again == "later"
    if passing:
        SETBACKS.note(f"{refusal.sentence}, asked again")
    return passing


def is_lost(error: BaseException, *, resumable: bool) -> bool:
    """Return whether an upload has to begin again, because its session is gone or other bytes arrived."""
    refusal = _read(error)
    # A 404 without more words concerns the session, where there is one.
    gone = resumable and (refusal.reason == "object_missing" or getattr(error, "code", None) == HTTPStatus.GONE)
    return refusal.again == "new_session" or gone


def is_overtaken(error: BaseException) -> bool:
    """Return whether a condition did not hold. The code 412 alone is also that of an organisation's policy."""
    return _read(error).reason == "precondition"


def failure(
    subject: str, error: BaseException | None, when: str = "", is_missing: Callable[[], bool] = lambda: False
) -> StoreError:
    """Return our error for one of Google's client; ``is_missing`` finds out whether the bucket itself is missing."""
    error = error or StoreError(subject, got="no answer", expected="one", cure="Try again.")
    refusal = _read(error, subject)
    if refusal.reason == "object_missing":
        if not is_missing():
            return ObjectMissing(subject, got="no such object", expected="an object", cure=refusal.cure)
        refusal = _read(api.NotFound(NO_BUCKET), subject)
    if refusal.reason == "precondition":
        return overtaken(subject, "another version", None)
    code = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None) or 0
    answer = f"HTTP {code} {_phrase(code)} {when}" if code else f"{type(error).__name__} {when}"
    got = f"{' '.join(answer.split())}: {refusal.sentence} ({refusal.said})"
    return StoreError(subject, got=got, expected="an answer from Cloud Storage", cure=refusal.cure)


def overtaken(subject: str, got: str, only_if: Condition | None) -> PreconditionFailed:
    """Return the error for a write whose condition did not hold."""
    expected = "the one asked for" if only_if is None else version_text(only_if)
    return PreconditionFailed(subject, got=got, expected=expected, cure=_OVERTAKEN)


def other_bytes(subject: str, info: ObjectInfo, size_bytes: int, crc: int) -> ChecksumMismatch:
    """Return the error for an upload after which the store reports other bytes than were sent."""
    return ChecksumMismatch(
        subject,
        got=f"{info.size_bytes:,} bytes, crc32c {info.crc32c:08x}, removed again",
        expected=f"{size_bytes:,} bytes, crc32c {crc:08x}",
        cure="Upload again.",
    )


def _read(error: BaseException, subject: str = "") -> Refusal:
    bucket, _, name = subject.partition("://")[2].partition("/")
    return read_refusal(
        error, "cloud_storage", **({"bucket": bucket} if bucket else {}) | ({"object": name} if name else {})
    )


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


@contextmanager
def translate_errors(
    subject: str, is_missing: Callable[[], bool] = lambda: False, *, opening: bool = False
) -> Generator[None]:
    """Raise errors of the client in the block as this package's own errors about ``subject``, without chaining them.

    ``is_missing`` finds out whether the bucket itself is missing. ``opening`` says that the block makes a client, which
    a file of credentials can make fail with any error.

    Raises:
        ChecksumMismatch: the bytes that came do not have the object's CRC32C.
        StoreError: any other failure, by its reason.
    """
    try:
        yield
    except DataCorruption:
        raise ChecksumMismatch(
            subject, got="other bytes", expected="those of the object's CRC32C", cure="Read again."
        ) from None
    except api.RetryError as error:
        cause: BaseException | None = error.cause
        raise failure(subject, cause, "after retries", is_missing) from None
    except (api.GoogleAPIError, GoogleAuthError, InvalidResponse, OSError) as error:
        raise failure(subject, error, is_missing=is_missing) from None
    except Exception as error:
        if opening and is_of_credentials(error):
            raise failure(subject, error) from None
        raise


class _Hidden(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _UPLOAD_ID.sub(r"\1...", record.getMessage()), ()
        return True


_HIDDEN = _Hidden()


def hide_upload_ids() -> None:
    """Replace the ids of resumable uploads in the client's log lines. A second call changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_HIDDEN)
