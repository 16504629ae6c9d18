"""Fingerprints: one short text for one exact content of JSON-like data.

Belongs here: the canonical form and its hash. Does not: which facts make up a slab's or a spine's fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime


def fingerprint(facts: Mapping[str, object]) -> str:
    """Return 32 hex digits of the SHA-256 of ``facts``, whatever the order of its keys.

    Raises:
        TypeError: for a value that is not plain data (text, number, bool, None, datetime, list, mapping).
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    msg = f"not plain data: {type(value).__name__}"
    raise TypeError(msg)
