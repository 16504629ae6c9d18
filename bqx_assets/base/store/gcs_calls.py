"""Counts the requests that are sent to Cloud Storage, by the class of operation that each is billed as.

**Source**: cloud.google.com/storage/pricing, "Operation charges", JSON API.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from bqx_assets.base.usage import Usage, count

_LISTING = re.compile(r"/b/[^/]+/o/?|/b/?")
_CLASS_A, _CLASS_B, _FREE = Usage(class_a=1), Usage(class_b=1), Usage()


class CountingAdapter(HTTPAdapter):
    """Sends requests, and counts each attempt."""

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:  # noqa: ANN401 -- the base's
        """Count a request, then send it as the base does."""
        count(operation(request.method or "", request.url or ""))
        return super().send(request, *args, **options)


def operation(method: str, url: str) -> Usage:
    """Return what a request is billed as.

    Writing, composing, listing and the start of a resumable upload are of class A, reading of an object or of its facts
    is of class B; deleting, and sending the bytes of an upload that was started, are free.
    """
    if method in {"DELETE", "PUT"}:
        return _FREE
    if method == "GET":
        _, _, path = urlsplit(url).path.partition("/v1")
        return _CLASS_A if _LISTING.fullmatch(path) else _CLASS_B
    return _CLASS_A
