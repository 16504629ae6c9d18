"""Writes TOML, which Python's standard library can only read.

The same content always gives the same text, so that texts can be compared by their digests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

_BARE = re.compile("[A-Za-z0-9_-]+")
_LINE = 120


def as_toml(facts: Mapping[str, Any]) -> str:
    """Return a TOML document of plain values: first scalars and lists, then a section for each table."""
    return "\n".join(_section((), facts)).strip() + "\n"


def assignment(name: str, value: object) -> str:
    """Return ``name = value`` on one line; a long list gets a line for each item."""
    line = f"{toml_key(name)} = {toml_value(value)}"
    if not isinstance(value, list | tuple) or len(line) <= _LINE:
        return line
    items = cast("list[object]", value)
    return f"{toml_key(name)} = [\n" + "".join(f"    {toml_value(each)},\n" for each in items) + "]"


def toml_key(name: str) -> str:
    """Return a key, in quotes where TOML demands them."""
    return name if _BARE.fullmatch(name) else _text(name)


def toml_value(value: object) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value)
        inner = ", ".join(f"{toml_key(name)} = {toml_value(each)}" for name, each in pairs.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(each) for each in cast("list[object]", value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _text(str(value))


def _section(path: tuple[str, ...], facts: Mapping[str, Any]) -> list[str]:
    tables = {name: cast("Mapping[str, object]", value) for name, value in facts.items() if isinstance(value, Mapping)}
    lines = [assignment(name, value) for name, value in facts.items() if name not in tables]
    if path and (lines or not tables):
        lines = ["", f"[{'.'.join(map(toml_key, path))}]", *lines]
    for name, value in tables.items():
        if _is_table_of_rows(value):
            lines += ["", f"[{'.'.join(map(toml_key, (*path, name)))}]"]
            lines += [assignment(key, row) for key, row in value.items()]
        else:
            lines += _section((*path, name), value)
    return lines


def _is_table_of_rows(value: Mapping[str, object]) -> bool:
    """Return whether a table has only small tables of numbers, which read better on a line than in a section each."""
    rows = list(value.values())
    return bool(rows) and all(
        isinstance(row, Mapping)
        and all(isinstance(each, int | float) for each in cast("Mapping[str, object]", row).values())
        for row in rows
    )


def _text(text: str) -> str:
    """Return a text in quotes: JSON escapes what TOML demands, except DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
