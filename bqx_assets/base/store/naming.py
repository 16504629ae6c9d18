"""Checks names of objects and buckets and the places that users write, before they reach a file system or a network.

A place is ``gs://bucket/prefix``, a path, or a server's address. To the operating system every text is a path: an
output ``gcs://bucket`` was a folder called ``gcs:``, into which a pair was "published", with exit code 0. So a text
that means something else is refused by name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from bqx_assets.base.errors import BadSetting

GCS_SCHEME = "gs://"
_SCHEMES: tuple[str, ...] = (GCS_SCHEME,)
"""The beginnings of addresses of buckets; the store of each is chosen in ``open_store``."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ELSEWHERE = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:/|(?:gs|gcs|s3|s3a|r2|az|abfss?|wasbs?|hdfs|dbfs|ftp|sftp|file|https?):", re.IGNORECASE
)
"""The beginnings of texts that are no path of this machine. ``Path`` turns ``gs://`` into ``gs:/``."""
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_SERVER = re.compile(rf"{_HOST}:[0-9]{{1,5}}(?:/.*)?")
"""Texts that are hardly ever a path: ``localhost:4443``, ``127.0.0.1:4443/bucket``."""
_ADDRESS = re.compile(rf"(?P<scheme>https?://)?{_HOST}(?::(?P<port>[0-9]{{1,5}}))?")
_LAST_PORT = 65_535
_STORAGE_VARIABLE = "STORAGE_EMULATOR_HOST"
"""The variable from which Google's clients take another endpoint, without credentials. Polars does not know it."""
_LONGEST_BYTES = 900
"""Cloud Storage takes 1,024; the rest is for a store's own prefix."""


def object_name(name: str) -> str:
    """Return ``name``. Raises BadSetting for one that is absolute, hidden, or would leave its folder."""
    if not is_object_name(name):
        raise BadSetting("object name", got=repr(name[:80]), expected="a relative name", cure="Use letters, _ and /.")
    return name


def is_object_name(name: str) -> bool:
    """Return whether an object may have this name; the name of a file that others put into a folder may be any."""
    words = name.split("/")
    return (
        not any(word in {"", ".", ".."} for word in words)
        and not words[0].startswith(".")
        and _CONTROL.search(name) is None
        and len(name.encode(errors="replace")) <= _LONGEST_BYTES
    )


def is_address(place: str) -> bool:
    """Return whether a text names a bucket, or a place in one, and not a path of this machine."""
    return place.startswith(_SCHEMES)


def bucket_and_prefix(uri: str, subject: str = "BQX_OUTPUT") -> tuple[str, str]:
    """Return bucket and prefix of ``gs://bucket[/prefix]``; the prefix ends with ``/`` or is empty.

    Raises:
        BadSetting: the text is no such URI.
    """
    bucket, _, prefix = uri.partition("//")[2].partition("/")
    prefix = prefix.strip("/")
    if not is_address(uri) or not _BUCKET.fullmatch(bucket):
        raise BadSetting(
            subject,
            got=_shown(uri),
            expected="gs://bucket or gs://bucket/prefix, a bucket's name in lower case",
            cure="List yours with: gcloud storage ls",
        )
    return bucket, f"{object_name(prefix)}/" if prefix else ""


def local_path(text: str | Path, subject: str, expected: str = "a path of this machine") -> Path:
    """Return the path in a setting or an option, which is named ``subject`` in errors.

    Raises:
        BadSetting: the text is empty, an address or a home written as ``~``, or has characters that a path should not
            have. A folder with such a name can be given by its absolute path.
    """
    plain = str(text)
    trouble = _trouble(plain)
    if trouble is None:
        return Path(plain)
    raise BadSetting(
        subject,
        got=f"{_shown(plain)}: {trouble}",
        expected=expected,
        cure="Name a file or folder, for example ./data. If one really has that name, give its absolute path.",
    )


def output_place(text: str | Path, subject: str) -> str:
    """Return a place that may be in a bucket: ``gs://bucket`` with or without a prefix, else a path of this machine.

    Raises:
        BadSetting: the text is neither, for example a URI with another scheme.
    """
    plain = str(text)
    if is_address(plain):
        bucket_and_prefix(plain, subject)
        return plain
    trouble = _trouble(plain)
    if trouble is None:
        return plain
    raise BadSetting(
        subject,
        got=f"{_shown(plain)}: {trouble}",
        expected="gs://bucket, gs://bucket/prefix, or a path of this machine",
        cure="Name one, for example gs://bqx-ml-output or ./data. If one really has that name, give its absolute path.",
    )


def server_address(text: str, subject: str, *, schemes: tuple[str, ...]) -> str:
    """Return the address of a server: one of ``schemes`` ("" is none), then ``host`` or ``host:port``.

    Raises:
        BadSetting: anything else: another scheme, a path, a name and password, an impossible port.
    """
    found = _ADDRESS.fullmatch(text)
    if found and (found["scheme"] or "") in schemes and int(found["port"] or 0) <= _LAST_PORT:
        return text
    forms = " or ".join(f"{scheme}host:port" for scheme in schemes)
    raise BadSetting(
        subject,
        got=_shown(text),
        expected=forms,
        cure=f"Write {subject} in that form with nothing after it, or unset it for Google's own server.",
    )


def storage_endpoint() -> str | None:
    """Return the address of a Cloud Storage server other than Google's, from the variable of Google's clients, or None.

    Raises:
        BadSetting: the clients could not use the address.
    """
    text = os.environ.get(_STORAGE_VARIABLE)
    return None if text is None else server_address(text, _STORAGE_VARIABLE, schemes=("http://", "https://"))


def _trouble(text: str) -> str | None:
    """Return the reason why a text is no path; None if it is one."""
    plain = str(Path(text))  # a later reader of the setting sees "./gs:/x" as "gs:/x"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    reasons = (
        (not text.strip(), "empty"),
        (text != text.strip(), "a space or line break at its beginning or end"),
        (_CONTROL.search(text), "a control character"),
        (_ELSEWHERE.match(plain), "an address, not a path"),
        (_SERVER.fullmatch(plain), "an address, not a path"),
        (plain.startswith("~"), "only a shell replaces ~ by your home, so write it out"),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _shown(text: str) -> str:
    """Return a text in the form for an error: short, escaped, without a password."""
    return repr(re.sub(r"//[^/@]*@", "//...@", text)[:80])
