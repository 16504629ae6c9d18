"""Defines the entry of one column in the data dictionary, and the name of the dictionary's files."""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl

from bqx_assets.base.artifacts import Record

DICTIONARY_SUFFIX, DICTIONARY_PAGE_SUFFIX = ".columns.parquet", ".columns.md"
"""Ends of the names of a training file's dictionary, for programs and for people, in place of ``.parquet``."""

TARGETS_FAMILY = "targets"
"""What stands for a family for the key and the targets."""
_TYPES: dict[object, pl.DataType] = {int: pl.Int64(), bool: pl.Boolean(), float: pl.Float64()}

Kind = Literal["key", "target", "feature"]
FormulaOf = Literal["the users' tables", "the simulated market", ""]
Subject = Literal["pair", "compared", "base", "quote", "market", "other"]
"""What a feature is about: the pair itself, the pair compared with another pair, with an instrument or with the other
rates of a triangle, its base or quote currency, the whole market, or something else, such as another currency, another
pair, or an instrument."""


class ColumnFacts(Record):
    """One column of a training file: the row of the dictionary that describes it."""

    column: str
    """Name in the training file."""
    kind: Kind
    """The key, a target, or a feature."""
    subject: Subject
    """The thing that a feature is about, by names: ``compared`` is the pair together with another pair, an instrument
    or a triangle, ``other`` another currency or pair, an instrument, or a triangle without the pair."""
    pairs: str
    """The pairs that a feature is computed from, as far as its name tells them, with spaces between them; empty for
    means over a currency's or all pairs."""
    common_name: str
    """The name with ``base``, ``quote`` and ``pair`` in place of the currencies and the pair, so that columns that
    mean the same in two pairs have the same one."""
    table: str
    """The warehouse table."""
    source: str
    """The column of that table."""
    path: str
    """Where the table lies: ``project.dataset.table`` in BigQuery, else ``dataset.table`` of an embedded warehouse."""
    family: str
    """Family of the table; ``targets`` for the key and the targets."""
    meaning: str
    """One sentence; it says so where the meaning is not known."""
    formula: str
    """How the value follows from the bars; empty where it is not known."""
    formula_of: FormulaOf
    """Whose formula it is; that of the simulated market need not be that of the users' table of the same name."""
    unit: str
    """The unit, such as ``index points`` or ``1`` for a number without one; empty where it is not known."""
    window: int | None
    """Rows that a value looks back over, the row itself included, and those over which the series looks back that the
    value is computed from; of a target the window of its BQX, by its name. A correlation with an instrument counts the
    rows that both have. None where there is no bound (exponential means, cycles), and where it is not known."""
    reach_rows: int | None
    """Rows of the file over which the window of a feature reaches at most, the row itself included: more than the
    window where it counts rows of other pairs, or of a table, that lack some. The window of a target and the key."""
    horizon: int | None
    """Rows that a target looks ahead; None for features and the key."""
    warm_up_rows: int
    """Rows at the beginning of the file before the first value."""
    type: str
    """BigQuery's name of the type."""
    identifier: bool
    """Whether the column only names things, such as a pair: it is no number to train on."""
    rows: int
    """Rows of the file."""
    nulls: int
    """Rows without a value."""
    constant: bool
    """Whether all values that are there are equal, 0.0 and -0.0 included; False where there is none."""
    minimum: float | None
    """The smallest value of a number, not NaN; None for other types, and where there is no value."""
    maximum: float | None
    """The largest value, as ``minimum``."""
    matched_rows: int
    """Rows of the spine for which the table has a row."""
    duplicate_of: str
    """The first column of the file with exactly the same type, nulls and values, to the bit; empty for that one itself
    and for all others. All columns of a type that have no value are duplicates of the first of them."""
    gap_rows: int | None
    """Rows whose window spans a gap, so that it covers more time than its name says: two neighbouring keys of the file
    further apart than the most frequent distance. Of a target also gaps between the row and its horizon count. None
    where the window is not known."""
    forward_looking: bool
    """Whether the column was found to look forward and is in the file by an explicit setting alone."""


def dictionary_schema() -> pl.Schema:
    """Return the columns and types of the dictionary's Parquet file: those of :class:`ColumnFacts`, in their order."""
    fields = {name: field.annotation for name, field in ColumnFacts.model_fields.items()}
    return pl.Schema({name: _stored(kind) for name, kind in fields.items()})


def _stored(kind: object) -> pl.DataType:
    """Return the stored type of a field; texts, and choices of them, are the rest."""
    found = (_TYPES[each] for each in (kind, *get_args(kind)) if each in _TYPES)
    return next(found, pl.String())
