"""Makes texts of others fit to be shown on a terminal, in a log line or in Dagster's markdown.

Others write the names of files and columns, the values, and the messages of libraries that quote them. Shown as it is,
an escape sequence in a column's name repaints the terminal, a line break forges one of our lines, and markup becomes
part of a page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_FIRST_LINE_CHARACTERS = 400


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with ``\x1b`` and the like in place of all invisible characters.

    These are control and format characters (including those that change the direction of writing), line breaks, spaces
    other than the plain one, and bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, cut to 400 characters; its class's name if it has no text.

    Errors without a text are common: ``str(OSError())`` and ``str(MemoryError())`` are empty.
    """
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:_FIRST_LINE_CHARACTERS]


def first_of(items: Sequence[str], most: int) -> list[str]:
    """Return the first ``most`` items, and one more item with the number of the others, if there are any."""
    more = [f"and {len(items) - most:,} more"] if len(items) > most else []
    return [*items[:most], *more]


def some_of(items: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first ``most`` items and the number of the others, for a sentence; empty if there are no items."""
    more = first_of(items, most)[most:]
    return " ".join([separator.join(items[:most]), *more])


def markdown_code(text: str) -> str:
    """Return ``text`` as a code span of markdown, in which no character acts as markup."""
    plain = printable(text)
    fence = "`" * (1 + max(len(run) for run in re.findall("`*", plain)))
    padding = " " if "`" in plain else ""
    return f"{fence}{padding}{plain}{padding}{fence}"


def markdown_cell(text: str) -> str:
    """Return ``text`` as the only content of a cell of a markdown table, on one line and without markup.

    A bar would end the cell, even in a code span. An empty text stays empty: an empty code span shows its quotes.
    """
    plain = " ".join(text.split())
    return markdown_code(plain).replace("|", r"\|") if plain else ""


def cut(text: str, most_bytes: int) -> str:
    """Return the beginning of ``text`` that takes at most so many bytes as JSON, where a letter may take twelve."""
    left = most_bytes
    for place, letter in enumerate(text):
        left -= len(json.dumps(letter)) - 2  # without the quotes
        if left < 0:
            return text[:place]
    return text
