"""Defines the names of this package's objects under ``staging/`` of an output, and reads the clock for their age.

Others may use the same folder or bucket: a sweep of everything old under ``staging/`` once removed a file of theirs.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from datetime import datetime

from bqx_assets.base.errors import StoreError
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.protocol import ABSENT, STAGING, ObjectInfo, ObjectStore

RELEASES, SLABS, SHARED = f"{STAGING}releases/", f"{STAGING}slabs/", f"{STAGING}shared/"
TRAINING, FOOTERS, COMPOSE = f"{STAGING}training/", f"{STAGING}footers/", f"{STAGING}compose/"
JOINS = f"{STAGING}joins/"
STAGED_PREFIXES = (RELEASES, SLABS, SHARED, TRAINING, FOOTERS, COMPOSE, JOINS, f"{STAGING}clock-")
"""The beginnings of the names of all staged objects. Others may have files beside these, and even below."""
TEMPORARY_PREFIXES = tuple(each for each in STAGED_PREFIXES if each != SLABS)
"""Of these the ones whose objects go by age. Slabs do not: the next refresh reads what is not there, and the pieces of
periods that never change are the oldest."""
_PAIR = f"(?:{'|'.join(pair.name for pair in ALL_PAIRS)})"
_WORD, _HEX8, _HEX16 = "[A-Za-z_][A-Za-z0-9_]*", "[0-9a-f]{8}", "[0-9a-f]{16}"
_PERIOD = r"(?:[0-9]{4}(?:-(?:[0-9]{2}|Q[1-4]|H[12]))?|all)"
_OWN_TEMPORARY_NAME = re.compile(
    "|".join(
        (
            # Versions up to 0.1.0 wrote these without ``releases/``.
            rf"{STAGING}(?:releases/)?{_PAIR}/{_HEX8}-{_HEX8}/training_{_PAIR}\.parquet",
            rf"{SHARED}{_WORD}/{_WORD}(?:/{_PERIOD})?\.parquet(?:\.lease)?",
            rf"{TRAINING}{_PAIR}/training_{_PAIR}\.(?:parquet|manifest\.json|report\.json)",
            rf"{FOOTERS}{_PAIR}-{_HEX16}",
            rf"{COMPOSE}{_HEX16}/[0-9]{{5}}",
            rf"{JOINS}{_PAIR}/(?:[0-9]+-(?:rows|keys|proof)-[0-9]{{12}}\.parquet|lease\.json)",
            rf"{STAGING}(?:[A-Za-z0-9_]+/)*clock-{_HEX16}",
        )
    )
)


def merged_name(pair: Pair) -> str:
    """Return the name of a pair's merged, not yet published file in the bucket where it was composed."""
    return f"{TRAINING}{pair}/{training_name(pair)}"


def is_own(info: ObjectInfo) -> bool:
    """Return whether the object is one that goes by age, and this package staged it.

    The store's facts say so, and its name has one of our forms. BigQuery writes the files of joins, without such facts.
    """
    return (info.own or info.name.startswith(JOINS)) and _OWN_TEMPORARY_NAME.fullmatch(info.name) is not None


def store_time(store: ObjectStore, prefix: str) -> datetime:
    """Return the time of the store's clock, from which ``updated`` comes; this machine's clock may be days off.

    **Cost**: two small requests, which write an object below ``prefix`` and delete it.
    """
    info = store.put_bytes(f"{prefix}clock-{secrets.token_hex(8)}", b"", only_if=ABSENT)
    with suppress(StoreError):  # otherwise a later sweep removes it
        store.delete(info.name, only_if=info.version)
    return info.updated
