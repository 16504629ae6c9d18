"""Says what a column of the training file means, by the names of its table and column alone; no file is read.

The texts are in ``meanings.toml``, beside the grammar's kinds of tables. A formula is that of the users' tables for BQX
and the targets alone; for all others it is the one by which the simulated market computes the same names.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from bqx_assets.base.artifacts import Record
from bqx_assets.base.names import target_parts
from bqx_assets.catalogue.families import kind_of
from bqx_assets.dictionary.schema import FormulaOf

UNKNOWN = "Its meaning is not known: the catalogue's grammar does not have this column."
"""The sentence of a column that the grammar does not have."""
_NUMBER = {name: rf"(?P<{name}>\d+)" for name in "wabk"}
_CURRENCY_MEAN = "csi_"


class Meaning(Record):
    """The description of a column as far as its name gives it; see the same fields of ``ColumnFacts``."""

    meaning: str
    formula: str = ""
    formula_of: FormulaOf = ""
    unit: str = ""
    window: int | None = None
    horizon: int | None = None
    identifier: bool = False


class _Value(Record):
    name: str
    unit: str
    rows: int


class _Kind(Record):
    tables: str
    columns: tuple[tuple[str, str, str, str, str], ...]
    known: bool = False


class _Meanings(Record):
    identifiers: tuple[str, ...]
    series: Mapping[str, _Value]
    compared: Mapping[str, _Value]
    kind: tuple[_Kind, ...]


def meaning_of(table: str, column: str, *, role: str = "feature") -> Meaning:
    """Return what a table's column means; ``role`` is ``key``, ``target`` or ``feature``.

    A column that the grammar does not have gets a sentence that says so.
    """
    if role == "key":
        return Meaning(meaning="Time of the bar, UTC: the key of the row.", formula_of="the users' tables", window=1)
    parts = target_parts(column) if role == "target" else None
    if parts is not None:
        window, horizon = parts
        return Meaning(
            meaning=f"BQX of {window} rows, {horizon} rows later: the change in percent up to then of the close over "
            f"{window} rows.",
            formula=f"(close[t+{horizon}] - close[t+{horizon}-{window}]) / close[t+{horizon}-{window}] * 100",
            formula_of="the users' tables",
            unit="percent",
            window=window,
            horizon=horizon,
        )
    number = re.search(r"_w?(\d+)$", table)
    return _of_kind(kind_of(table), column, int(number[1]) if number else 0)


@cache
def _of_kind(kind: str, column: str, table_rows: int) -> Meaning:
    """Return the meaning of a column in tables of a kind; ``table_rows`` is the number at the end of their names."""
    if kind.startswith(_CURRENCY_MEAN) and column.startswith(_CURRENCY_MEAN):
        series = "bqx" if kind.endswith("_bqx") else "idx"
        inner = kind.removeprefix(_CURRENCY_MEAN), column.removeprefix(_CURRENCY_MEAN)
        found = _look_up(*inner, table_rows, series)
        if found is None:
            return Meaning(meaning=UNKNOWN)
        first = found.meaning[0] if found.meaning[1].isupper() else found.meaning[0].lower()
        text = f"Mean over the currency's pairs, each seen from the currency: {first}{found.meaning[1:]}"
        formula = f"mean over pairs: {found.formula}" if found.formula else "mean over pairs"
        return found.model_copy(update={"meaning": text, "formula": formula})
    words = kind.split("_")
    index = kind.startswith((_CURRENCY_MEAN, "mkt_"))
    series = "bqx" if "bqx" in words else "idx" if "idx" in words or index else "close"
    return _look_up(kind, column, table_rows, series) or Meaning(meaning=UNKNOWN)


def _look_up(kind: str, column: str, table_rows: int, series: str) -> Meaning | None:
    meanings = _meanings()
    for tables, known, columns in _patterns():
        of_table = tables.fullmatch(kind)
        for pattern, meaning, formula, unit, window in columns if of_table else ():
            found = pattern.fullmatch(column)
            if of_table is None or found is None:
                continue
            base = meanings.series[series]
            value = meanings.compared.get(of_table.groupdict().get("compared") or "", _Value(name="", unit="", rows=1))
            texts = found.groupdict() | {"x": base.name, "u": base.unit}
            texts |= {"v": value.name.format(**texts), "vu": value.unit.format(**texts)}
            numbers = {name: int(text) for name, text in found.groupdict().items() if name in _NUMBER}
            return Meaning(
                meaning=meaning.format(**texts),
                formula=formula.format(**texts),
                formula_of="the users' tables" if known else "the simulated market",
                unit=unit.format(**texts),
                window=_rows(window, numbers | {"table": table_rows}, base.rows + value.rows - 2),
                identifier=any(re.fullmatch(each, column) for each in meanings.identifiers),
            )
    return None


def _rows(window: str, numbers: Mapping[str, int], more: int) -> int | None:
    """Return the rows of a window such as ``w+w/3``, and ``more``, those before that its series looks back over."""
    if not window:
        return None
    total = 0 if window.startswith("=") else more
    for term in window.removeprefix("=").split("+"):
        name, _, divisor = term.partition("/")
        total += (numbers[name] if name in numbers else int(name)) // int(divisor or 1)
    return total


@cache
def _meanings() -> _Meanings:
    text = files("bqx_assets.dictionary").joinpath("meanings.toml").read_text(encoding="utf-8")
    return _Meanings.model_validate(tomllib.loads(text))


_Pattern = tuple[re.Pattern[str], str, str, str, str]


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], bool, tuple[_Pattern, ...]], ...]:
    return tuple(
        (re.compile(kind.tables), kind.known, tuple((_named(column[0]), *column[1:]) for column in kind.columns))
        for kind in _meanings().kind
    )


def _named(pattern: str) -> re.Pattern[str]:
    """Return a column's pattern with groups for the numbers that it names, such as ``{w}``."""
    return re.compile(re.sub(r"\{([wabk])\}", lambda found: _NUMBER[found[1]], pattern))
