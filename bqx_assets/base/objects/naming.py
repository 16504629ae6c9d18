"""Names of objects and buckets, and the two texts a user writes: ``gs://bucket/prefix`` or a folder.

Belongs here: what a name may be, before it reaches a path or a URL. Does not: a store.
"""

from __future__ import annotations

import re

from bqx_assets.base.errors import BadSetting

GCS_SCHEME = "gs://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_BYTES = 900
"""Cloud Storage takes 1,024; the rest is for a store's own prefix."""


def object_name(name: str) -> str:
    """Return ``name``. Raises BadSetting for one that is absolute, hidden, or would leave its folder."""
    words = name.split("/")
    if (
        not name
        or any(word in {"", ".", ".."} for word in words)
        or words[0].startswith(".")
        or _CONTROL.search(name)
        or len(name.encode(errors="replace")) > _LONGEST_BYTES
    ):
        raise BadSetting("object name", got=repr(name[:80]), expected="a relative name", cure="Use letters, _ and /.")
    return name


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Return bucket and prefix of ``gs://bucket[/prefix]``; the prefix ends with ``/`` or is empty.

    Raises:
        BadSetting: neither.
    """
    bucket, _, prefix = uri.removeprefix(GCS_SCHEME).partition("/")
    prefix = prefix.strip("/")
    if not uri.startswith(GCS_SCHEME) or not _BUCKET.fullmatch(bucket):
        raise BadSetting(
            "bucket", got=repr(uri[:80]), expected="gs://bucket or gs://bucket/prefix", cure="Set BQX_OUTPUT."
        )
    return bucket, f"{object_name(prefix)}/" if prefix else ""
