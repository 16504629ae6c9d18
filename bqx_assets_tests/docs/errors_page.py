"""The page of all errors: what each means, and the cures that its message may name, read from the code."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bqx_assets.base import errors
from bqx_assets.base.errors import BqxError

PACKAGE = Path(__file__).parents[2] / "bqx_assets"
_HEAD = """# Errors

Every failure is one block of four parts: the subject (what it is about), what was got, what was expected, and a cure
that works when it is followed. The name of the error is the tag `bqx/outcome` of a run in Dagster and the field `error`
of `--json`. Below, `…` stands for what a message fills in: a pair, a table, a number, an address.

Exit code 1 means that the work failed, 2 that the command was used wrongly. An error whose message is composed from a
service's answer has no fixed cure here; its cure names the permission and the command that grants it.

This page is made from `bqx_assets/` by `python -m bqx_assets_tests.docs.reference`.

"""


def page() -> str:
    """Return the page, with an error under the more general one that it is a kind of."""
    cures = _cures()
    return _HEAD + "\n".join(_section(kind, cures) for kind in _tree(BqxError) if kind is not BqxError)


def _tree(kind: type[BqxError]) -> Iterator[type[BqxError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _tree(below)


def _section(kind: type[BqxError], cures: dict[str, list[tuple[str, str, str]]]) -> str:
    above = kind.__bases__[0]
    facts = [f"exit code {kind.exit_code}", *([f"a kind of `{above.__name__}`"] if above is not BqxError else [])]
    lines = [f"## {kind.__name__}", "", f"{_plain(kind.__doc__ or '')} ({', '.join(facts)})", ""]
    if rows := cures.get(kind.__name__):
        lines += ["| expected | cure | raised in |", "|---|---|---|"]
        lines += [f"| {expected} | {cure} | `{place}` |" for expected, cure, place in sorted(set(rows))]
        lines.append("")
    return "\n".join(lines)


def _cures() -> dict[str, list[tuple[str, str, str]]]:
    """Return, by the error's name, what its calls expect, their cures, and the module of the call."""
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                parts = {each.arg: _text(each.value) for each in node.keywords}
                if parts.get("expected") and parts.get("cure"):
                    place = path.relative_to(PACKAGE).as_posix()
                    found[node.func.id].append((parts["expected"], parts["cure"], place))
    return found


def _text(value: ast.expr) -> str:
    """Return a text of the code, with ``…`` for what it fills in; empty where it is made elsewhere."""
    if isinstance(value, ast.JoinedStr):
        parts = (each.value if isinstance(each, ast.Constant) else "…" for each in value.values)
        text = "".join(map(str, parts))
    else:
        text = str(value.value) if isinstance(value, ast.Constant) else ""
    return _plain(text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*") if text.strip("…. ") else ""


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("``", "`")).strip()
