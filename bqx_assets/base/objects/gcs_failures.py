"""What an answer of Cloud Storage means to a user: this package's errors, from codes alone.

Belongs here: HTTP codes, and what the client raises, to errors and cures. Does not: the client (``gcs``), retries.

The client's own texts are neither quoted nor chained: they hold URLs, and the URL of a resumable upload is a
permission to write.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus

from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from bqx_assets.base.errors import ChecksumMismatch, ObjectMissing, PreconditionFailed, StoreError
from bqx_assets.base.objects.protocol import ObjectInfo

_OVERTAKEN = "Another run wrote this object meanwhile; look at it before writing again."
_CURES: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "The request or its checksum was refused: run again; if it stays, it is a defect.",
    HTTPStatus.UNAUTHORIZED: "Sign in: gcloud auth application-default login, or give the job a service account.",
    HTTPStatus.FORBIDDEN: "Give the service account roles/storage.objectUser on the bucket.",
    HTTPStatus.NOT_FOUND: "Publish or extract it first; a bucket is made by its owner.",
}


def failure(subject: str, error: BaseException | None, when: str = "") -> StoreError:
    """Return the error to raise for what Google's client raised."""
    response = getattr(error, "response", None)
    code = int(getattr(error, "code", None) or getattr(response, "status_code", None) or 0)
    if code == HTTPStatus.NOT_FOUND:
        return ObjectMissing(subject, got="no such object or bucket", expected="an object", cure=_CURES[code])
    if code == HTTPStatus.PRECONDITION_FAILED:
        return overtaken(subject, "another generation", None)
    got = f"HTTP {code} {_phrase(code)} {when}" if code else f"{type(error).__name__} {when}"
    if type(error).__module__.startswith("google.auth"):
        code = HTTPStatus.UNAUTHORIZED
    cure = _CURES.get(code, "Try again; look at the network and at status.cloud.google.com if it stays.")
    return StoreError(subject, got=" ".join(got.split()), expected="an answer from Cloud Storage", cure=cure)


def overtaken(subject: str, got: str, if_generation: int | None) -> PreconditionFailed:
    """Return the error for a write whose condition did not hold."""
    expected = "the one asked for" if if_generation is None else f"generation {if_generation}"
    return PreconditionFailed(subject, got=got, expected=expected, cure=_OVERTAKEN)


def other_bytes(subject: str, info: ObjectInfo, size_bytes: int, crc: int) -> ChecksumMismatch:
    """Return the error for an upload that the store reports as other bytes than were sent."""
    return ChecksumMismatch(
        subject,
        got=f"{info.size_bytes:,} bytes, crc32c {info.crc32c:08x}, removed again",
        expected=f"{size_bytes:,} bytes, crc32c {crc:08x}",
        cure="Upload again.",
    )


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


@contextmanager
def told(subject: str) -> Generator[None]:
    """Raise what goes wrong with ``subject`` in the block as this package's own errors, the client's not chained.

    Raises:
        ChecksumMismatch: the bytes that came are not those of the object's CRC32C.
        StoreError: whatever else, by its code.
    """
    try:
        yield
    except DataCorruption:
        raise ChecksumMismatch(
            subject, got="other bytes", expected="those of the object's CRC32C", cure="Read again."
        ) from None
    except api.RetryError as error:
        cause: BaseException | None = error.cause
        raise failure(subject, cause, "after retries") from None
    except (api.GoogleAPIError, GoogleAuthError, InvalidResponse, OSError) as error:
        raise failure(subject, error) from None
