"""The tree of compose calls: which objects are put together first, where one call does not take all.

Belongs here: the grouping, level by level. Does not: the calls themselves (``gcs``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bqx_assets.base.store.protocol import ObjectInfo
from bqx_assets.base.threads import in_threads

MOST_SOURCES = 32
"""Objects that one compose call takes. **Source**: cloud.google.com/storage/quotas, 2026-11."""


def first_groups(names: Sequence[str]) -> tuple[list[Sequence[str]], Sequence[str]]:
    """Return what to compose first, from the front, and what is left: as few calls as bring all below the limit.

    **Shape**: groups of 2 to 32. Over all levels ceil((n - 1) / 31) calls, the last one included.
    """
    groups: list[Sequence[str]] = []
    excess, at = len(names) - MOST_SOURCES, 0
    while excess > 0 and at < len(names) - 1:
        groups.append(names[at : at + min(MOST_SOURCES, excess + 1)])
        excess -= len(groups[-1]) - 1
        at += len(groups[-1])
    return groups, names[at:]


def brought_below(
    parts: Sequence[str], stem: str, compose: Callable[[str, Sequence[str]], ObjectInfo], threads: int
) -> tuple[list[str], list[ObjectInfo]]:
    """Compose level by level until one call takes what is left; return that, and all that was made on the way.

    **Shape**: the names of what is made are ``stem`` and five digits.
    """
    level, made = list(parts), list[ObjectInfo]()
    while len(level) > MOST_SOURCES:
        groups, rest = first_groups(level)
        names = [f"{stem}{len(made) + at:05}" for at in range(len(groups))]
        calls = zip(names, groups, strict=True)
        made += in_threads(lambda call: compose(*call), calls, threads, "compose")
        level = [*names, *rest]
    return level, made
