"""Texts of others as they may be shown: on a terminal, in a log line, in Dagster's markdown.

Belongs here: what is escaped and how, and what of an error is shown. Does not: where a text is shown.

Names of files and columns, values, and messages of libraries that quote them are written by others. Raw, an escape
sequence in a column's name repaints the terminal, a line break in it forges a line of ours, and markup in it becomes
part of a page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_FIRST_LINE_CHARACTERS = 400


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with ``\x1b`` and the like for all characters that are no visible ones.

    That is control and format characters (also those that turn the direction of writing), line breaks, spaces other
    than the plain one, and bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def first_line(error: BaseException) -> str:
    """Return what an error of a library says first, cut to a length that is shown; its class's name if it says nothing.

    An error without a text is a usual thing: ``str(OSError())`` and ``str(MemoryError())`` are empty.
    """
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:_FIRST_LINE_CHARACTERS]


def first_of(items: Sequence[str], most: int) -> list[str]:
    """Return the first ``most`` items, and as one more item how many are left out, if any."""
    more = [f"and {len(items) - most:,} more"] if len(items) > most else []
    return [*items[:most], *more]


def some_of(items: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first ``most`` items for a sentence, and how many more there are; empty for none."""
    more = first_of(items, most)[most:]
    return " ".join([separator.join(items[:most]), *more])


def markdown_code(text: str) -> str:
    """Return ``text`` as a code span, in which no character of it is markup."""
    plain = printable(text)
    fence = "`" * (1 + max(len(run) for run in re.findall("`*", plain)))
    padding = " " if "`" in plain else ""
    return f"{fence}{padding}{plain}{padding}{fence}"
