"""Texts of others as they may be shown: on a terminal, in a log line, in Dagster's markdown.

Belongs here: what is escaped, and how. Does not: where a text is shown.

Names of files and columns, values, and messages of libraries that quote them are written by others. Raw, an escape
sequence in a column's name repaints the terminal, a line break in it forges a line of ours, and markup in it becomes
part of a page.
"""

from __future__ import annotations

import re


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with ``\x1b`` and the like for all characters that are no visible ones.

    That is control and format characters (also those that turn the direction of writing), line breaks, spaces other
    than the plain one, and bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def markdown_code(text: str) -> str:
    """Return ``text`` as a code span, in which no character of it is markup."""
    plain = printable(text)
    fence = "`" * (1 + max(len(run) for run in re.findall("`*", plain)))
    padding = " " if "`" in plain else ""
    return f"{fence}{padding}{plain}{padding}{fence}"
