"""The pages that follow from the code, and the figures: ``python -m bqx_assets_tests.docs.reference`` writes them."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, get_args

import typer

from bqx_assets.base.artifacts import (
    Column,
    ExtractionRecord,
    FailedTable,
    JudgedBy,
    Manifest,
    Piece,
    Quarantined,
    Record,
    RowAccount,
    SlabProvenance,
    SlabRecord,
    SourceTable,
    Spine,
    TrainingFile,
)
from bqx_assets.cli.main import app
from bqx_assets.dictionary.schema import ColumnFacts
from bqx_assets.quality.rules import RULES
from bqx_assets.quality.slab_rules import SLAB_RULES
from bqx_assets.release.published import INTACT_RULE
from bqx_assets_tests.base import settings_page
from bqx_assets_tests.docs import errors_page, metadata_page
from bqx_assets_tests.docs.figures import FIGURES

DOCS = Path(__file__).parents[2] / "docs"
_MADE = "This page is made from {} by `python -m bqx_assets_tests.docs.reference`.\n\n"
_FILE = (Manifest, TrainingFile, JudgedBy, ExtractionRecord, Spine, FailedTable)
_SLABS = (SlabRecord, SlabProvenance, SourceTable, RowAccount, Column, Quarantined, Piece)


def cli() -> str:
    """Return the page of all commands, with the help and the options that each of them shows."""
    group = cast("Any", typer.main.get_command(app))
    lines = [
        "# Commands\n",
        f"{group.epilog} After `make setup` the program is `.venv/bin/bqx`.\n",
        _MADE.format("the commands' own `--help`"),
        f"## bqx\n\n{group.help}\n\n{_options(group)}",
    ]
    lines += [
        f"## {words}\n\n{_sentence(command.help)}\n\n{_options(command)}" for words, command in _commands("bqx", group)
    ]
    return "\n".join(lines)


def _commands(words: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(f"{words} {name}", command)
        elif not command.hidden:
            yield f"{words} {name}", command


def _options(command: Any) -> str:
    rows = [
        f"| {_spelling(each)} | {_default(each)} | {_cell(each.help)} |"
        for each in command.params
        if not each.hidden and each.name != "help"
    ]
    return "\n".join(["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]) if rows else ""


def _spelling(each: Any) -> str:
    if each.param_type_name == "argument":
        name = each.metavar or each.name.upper()
        name = f"{name}..." if each.nargs == -1 or each.multiple else name
        return f"`{name if each.required else f'[{name}]'}`"
    kind = each.type_descriptor.annotation
    choices = "\\|".join(str(word) for word in get_args(kind)) if "Literal" in str(kind) else ""
    value = "" if each.is_flag else f" {choices or each.metavar or 'TEXT'}"
    names = [f"`{name}{value}`" for name in (*each.opts, *each.secondary_opts)]
    return ", ".join(names) + (", repeatable" if each.multiple else "") + (", required" if each.required else "")


def _default(each: Any) -> str:
    if isinstance(each.show_default, str):
        return _cell(each.show_default)
    if each.default is None or each.default is False or each.required or each.default == ():
        return ""
    return f"`{each.opts[0] if each.secondary_opts else each.default}`"


def manifest() -> str:
    """Return the page of the manifest and of the records in it."""
    head = (
        "# Manifest\n\n`training_PAIR.manifest.json` lies beside each training file. Fields that a record of an earlier"
        f" version lacks have the default shown.\n\n{_MADE.format('`bqx_assets/base/artifacts.py`')}"
    )
    return head + "\n".join(
        f"## {each.__name__}\n\n{_sentence(each.__doc__)}\n\n{_fields(each)}" for each in (*_FILE, *_SLABS)
    )


def dictionary() -> str:
    """Return the page of the data dictionary."""
    head = (
        "# Data dictionary\n\nOne row for each column of a training file, as `training_PAIR.columns.parquet` for"
        " programs and `training_PAIR.columns.md` for people.\n\n"
    )
    return head + _MADE.format("`bqx_assets/dictionary/schema.py`") + _fields(ColumnFacts)


def checks() -> str:
    """Return the page of all rules by which slabs, a training file and a published file are checked."""
    rules = [*SLAB_RULES, *RULES]
    rows = [f"| `{rule.name}` | {_cell(rule.description)} | {rule.severity} |" for rule in rules]
    rows.append(f"| `{INTACT_RULE}` | The published object's bytes are those of its manifest. | error |")
    head = "# Checks\n\nA failed check of severity `error` keeps a file from being published; `warn` is only told.\n\n"
    table = ["| check | what holds | severity |", "|---|---|---|", *rows, ""]
    return head + _MADE.format("the rules in `bqx_assets/quality/`") + "\n".join(table)


def _fields(kind: type[Record]) -> str:
    """Return a table of a record's fields; what each means is the text below it in the source."""
    said = _texts(kind)
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {'' if field.is_required() else f'`{_shown(field.default)}`'} | "
        f"{_cell(said.get(name, ''))} |"
        for name, field in kind.model_fields.items()
    ]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _shown(default: object) -> object:
    return default if isinstance(default, str | int | bool | tuple) or default is None else "{}"


def _texts(kind: type) -> dict[str, str]:
    body = cast("ast.ClassDef", ast.parse(inspect.getsource(kind)).body[0]).body
    return {
        one.target.id: inspect.cleandoc(two.value.value)
        for one, two in pairwise(body)
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and isinstance(two, ast.Expr)
        and isinstance(two.value, ast.Constant)
        and isinstance(two.value.value, str)
    }


def _type(kind: object) -> str:
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    text = re.sub(r"\b(?:\w+\.)+(?=\w)", "", text).replace("Literal", "one of ").replace("'", "")
    return f"`{text}`".replace("|", "\\|")


def _sentence(text: str | None) -> str:
    return _plain(inspect.cleandoc(text or "").split("\n\n")[0])


def _cell(text: str | None) -> str:
    return _plain(text or "").replace("|", "\\|")


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r":\w+:`([^`]*)`", r"`\1`", text).replace("``", "`")).strip()


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "settings.md": settings_page.page,
    "manifest.md": manifest,
    "dictionary.md": dictionary,
    "checks.md": checks,
    "metadata.md": metadata_page.page,
    "errors.md": errors_page.page,
    **FIGURES,
}


if __name__ == "__main__":
    for name, made in PAGES.items():
        (DOCS / name).write_text(made())
        sys.stdout.write(f"docs/{name}\n")
