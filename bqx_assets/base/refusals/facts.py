"""Extracts the facts from an error of Google's clients: structured details, response bodies, codes, class names.

No module of Google's is imported, because the import takes 0.5 s, which a run over the embedded warehouse would pay for
nothing. The attributes of an error show what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from bqx_assets.base.refusals.words import shown

PLUGIN = "Getting metadata from plugin failed"
"""Words by which a failure of the credentials is recognized: gRPC wraps every such failure as UNAVAILABLE."""
PAGE = "HTML_PAGE"
"""Our own reason for a body that is an HTML page. None of Google's services gives such an answer."""
_METHOD = re.compile(r"^(?:GET|HEAD|POST|PUT|PATCH|DELETE) +https?://\S+: +")
_CODES = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499, "DATA_LOSS": 500, "INTERNAL": 500, "UNKNOWN": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_Get = Callable[[str], Any]
_DEEPEST = 8
"""Most causes that are followed: an error can be its own cause by mistake, and nobody wraps an error so often."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of an answer, the most reliable first: reasons, then words, then the code."""

    classes: frozenset[str] = frozenset()
    """Names of the error's class and of its bases."""
    credentials: bool = False
    """The credentials failed before the service was asked."""
    code: int = 0
    """HTTP status, or the one that a gRPC status corresponds to; 0 where there was no answer."""
    status: str = ""
    reasons: frozenset[str] = frozenset()
    """Reasons in the form of :func:`plain`: from ErrorInfo, ``errors[]``, types of violations, OAuth's ``error``."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    words: str = ""
    """The service's own words on one line, without secrets."""
    wait_seconds: float = 0.0


def plain(reason: str) -> str:
    """Return a reason as it is compared: ``RATE_LIMIT_EXCEEDED`` and ``usageLimits.rateLimitExceeded`` are equal."""
    return reason.rpartition(".")[2].replace("_", "").lower() if "/" not in reason else reason.lower()


def read_facts(error: BaseException) -> Facts:
    """Return the facts of an error, or of the one that it wraps."""
    error = _innermost(error)
    gathered = _Gathered()
    gathered.add_error(error)
    classes = frozenset(kind.__name__ for kind in type(error).__mro__)
    words = " ".join(dict.fromkeys(each for each in gathered.words if each.strip()))
    return Facts(
        classes=classes,
        credentials=is_of_credentials(error) or PLUGIN in words,
        code=gathered.code or _CODES.get(gathered.status, 0),
        status=gathered.status,
        reasons=frozenset(plain(each) for each in gathered.reasons if each),
        metadata=gathered.metadata,
        words=shown(words),
        wait_seconds=gathered.wait_seconds,
    )


def is_of_credentials(error: BaseException) -> bool:
    """Return whether an error comes from reading or using credentials, not from a service.

    A file of credentials that is a list, a folder or another user's makes google-auth raise AttributeError, OSError
    and the like, so the place where an error was raised decides. An unreachable network has nothing to do with them.
    """
    if any(kind.__module__.startswith("google.auth") for kind in type(error).__mro__):
        return True
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "google.auth._default":
            return not any(kind.__module__.startswith(("requests", "urllib3")) for kind in type(error).__mro__)
        trace = trace.tb_next
    return False


def _innermost(error: BaseException) -> BaseException:
    """Return the refusal itself: clients wrap the last one in a RetryError, this package wraps it in its own errors."""
    for _ in range(_DEEPEST):
        cause = getattr(error, "cause", None)
        if isinstance(cause, BaseException):
            error = cause
        elif error.__cause__ is not None and type(error).__module__.startswith("bqx_assets"):
            error = error.__cause__
        else:
            break
    return error


class _Gathered:
    """The facts of an answer, while they are collected."""

    def __init__(self) -> None:
        self.code, self.status, self.wait_seconds = 0, "", 0.0
        self.reasons: list[str] = []
        self.words: list[str] = []
        self.metadata: dict[str, str] = {}

    def add_error(self, error: BaseException) -> None:
        response = getattr(error, "response", None)
        self.code = _number(getattr(error, "code", None)) or _number(getattr(response, "status_code", None))
        status = getattr(error, "grpc_status_code", None) or _called(error, "code")
        self.status = str(getattr(status, "name", ""))
        for entry in _sequence(getattr(error, "errors", ())):
            if isinstance(entry, Mapping):
                self.add_entry(cast("Mapping[str, Any]", entry))
        body = "" if self.words else _text(response)
        if body and not self.add_body(body):
            self.reasons.append(PAGE if _is_page(body) else "")
            self.words.append(_without_markup(body))
        if not any(self.words):
            self.add_message(error)
        for detail in _sequence(getattr(error, "details", ())):
            self.add_detail(detail)
        self.wait_seconds = max(self.wait_seconds, float(_number(_headers(response).get("Retry-After"))))

    def add_entry(self, entry: Mapping[str, Any]) -> None:
        """Add an entry of ``error.errors`` of a REST answer, or the error result of a job."""
        self.reasons.append(str(entry.get("reason") or ""))
        self.words.append(str(entry.get("message") or ""))
        if location := entry.get("location"):
            self.metadata.setdefault("location", str(location))

    def add_detail(self, detail: object) -> None:
        """Add a message of ``google.rpc``, in protobuf or JSON."""
        kind, get = _kind(detail), _getter(detail)
        if kind == "ErrorInfo" and "googleapis.com" in str(get("domain") or "googleapis.com"):
            self.reasons.append(str(get("reason") or ""))
            metadata: object = get("metadata")
            if isinstance(metadata, Mapping):
                facts = cast("Mapping[object, object]", metadata)
                self.metadata |= {str(key): str(value) for key, value in facts.items()}
        elif kind == "RetryInfo":
            self.wait_seconds = max(self.wait_seconds, _seconds(get("retryDelay") or get("retry_delay")))
        elif kind in {"PreconditionFailure", "QuotaFailure"}:
            for violation in _sequence(get("violations")):
                self.add_violation(_getter(violation))
        elif kind == "BadRequest":
            for violation in _sequence(get("fieldViolations") or get("field_violations")):
                part = _getter(violation)
                self.words.append(f"{part('field')}: {part('description')}")
        else:
            self.words.append(str(get("message") or "") if kind == "LocalizedMessage" else "")
            for link in _sequence(get("links") if kind == "Help" else ()):
                self.metadata.setdefault("activationUrl", str(_getter(link)("url")))

    def add_violation(self, get: _Get) -> None:
        self.reasons.append(str(get("type") or ""))
        self.words.append(str(get("description") or ""))
        if get("type") == "VPC_SERVICE_CONTROLS":
            self.metadata["uid"] = str(get("description"))

    def add_body(self, body: str) -> bool:
        """Add JSON or XML that the client did not parse (uploads, downloads, tokens); return whether it is an error."""
        code = re.search(r"<Error>.*?<Code>(\w+)</Code>", body, re.DOTALL)
        if code:
            self.reasons.append(code.group(1))
            self.words += re.findall(r"<(?:Message|Details)>(.*?)</", body, re.DOTALL)
            return True
        try:
            document: object = json.loads(body)
        except ValueError:
            return False
        items = [cast("object", document)] if isinstance(document, Mapping) else [*_sequence(document)]
        first = items[0] if items else None
        return isinstance(first, Mapping) and self.add_document(cast("Mapping[str, Any]", first))

    def add_document(self, document: Mapping[str, Any]) -> bool:
        error: object = document.get("error")
        if isinstance(error, str):  # a token endpoint's
            self.reasons += [error, str(document.get("error_subtype") or "")]
            description = document.get("error_description")
            self.words += [f"{error}: {description}"] if description and error not in str(self.words) else []
            return True
        if not isinstance(error, Mapping):
            return False
        inner = cast("Mapping[str, Any]", error)
        self.status = self.status or str(inner.get("status") or "")
        self.code = self.code or _number(inner.get("code"))
        self.words.append(str(inner.get("message") or ""))
        for entry in _sequence(inner.get("errors")):
            self.reasons.append(str(_getter(entry)("reason") or ""))
        for detail in _sequence(inner.get("details")):
            self.add_detail(detail)
        return True

    def add_message(self, error: BaseException) -> None:
        """Add the error's own words, and the parts that google-auth adds to them."""
        message = _called(error, "details") or getattr(error, "message", None)
        own = error.args if not isinstance(error, OSError) and error.args else (str(error),)  # OSError: with its file
        parts: Sequence[object] = (message,) if isinstance(message, str) else own
        for part in parts:
            if isinstance(part, Mapping):
                self.add_document(cast("Mapping[str, Any]", part))
            elif not (isinstance(part, str) and part.lstrip().startswith("{") and self.add_body(part)):
                self.words.append(_METHOD.sub("", str(part)))


def _sequence(value: object) -> Iterator[object]:
    """Yield the items of a list or of protobuf's repeated field; nothing for a text."""
    if isinstance(value, (Sequence, Iterator)) and not isinstance(value, (str, bytes)):
        yield from cast("Sequence[object]", value)


def _kind(detail: object) -> str:
    if isinstance(detail, Mapping):
        return str(cast("Mapping[str, Any]", detail).get("@type", "")).rpartition(".")[2]
    return type(detail).__name__


def _getter(item: object) -> _Get:
    """Return a function that gives a part by its name: a JSON object's item, or protobuf's attribute."""

    def get(name: str) -> Any:  # noqa: ANN401 -- JSON
        return cast("Mapping[str, Any]", item).get(name) if isinstance(item, Mapping) else getattr(item, name, None)

    return get


def _seconds(delay: object) -> float:
    """Return the seconds of a duration in JSON, ``"3.5s"``, or in protobuf."""
    if isinstance(delay, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)s", delay)
        return float(found.group(1)) if found else 0.0
    seconds, nanos = getattr(delay, "seconds", 0), getattr(delay, "nanos", 0)
    return float(seconds) + float(nanos) / 1e9


def _number(value: object) -> int:
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else 0


def _called(error: BaseException, name: str) -> object:
    """Return the result of ``code()`` or ``details()`` of gRPC's own errors; None for errors with such attributes."""
    method = getattr(error, name, None)
    return method() if callable(method) else None


def _text(response: object) -> str:
    """Return a response's body; empty for a stream that was read or closed before."""
    try:
        text: object = getattr(response, "text", "")
    except (RuntimeError, OSError, ValueError):
        return ""
    return text if isinstance(text, str) else ""


def _headers(response: object) -> Mapping[str, str]:
    headers: object = getattr(response, "headers", None)
    return cast("Mapping[str, str]", headers) if isinstance(headers, Mapping) else {}


def _is_page(body: str) -> bool:
    return "<html" in body.lower()


def _without_markup(body: str) -> str:
    """Return the title of a page, or the page without its tags; any other text as it is."""
    title = re.search(r"<title>(.*?)</title>", body, re.DOTALL | re.IGNORECASE)
    return title.group(1) if title else re.sub(r"<[^>]*>", " ", body) if _is_page(body) else body
