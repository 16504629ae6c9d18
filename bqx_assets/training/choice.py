"""Chooses targets and features by the dictionary, and says of each feature that is left out why.

A model is given no column that knows the future: of the targets only those that were asked for, and never a feature
that is marked as forward-looking or has the same values as such a column or as a target.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypedDict, cast, get_args

import polars as pl

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import BadSetting
from bqx_assets.base.names import is_target, target_name
from bqx_assets.base.printable import some_of
from bqx_assets.dictionary.schema import Subject

Target = str | tuple[int, int]
"""A target's name or a pattern of names, or its window and horizon in rows: ``(45, 15)`` is ``target_bqx45_h15``."""
Excluded = Literal["identifier", "not_numeric", "all_null", "constant", "duplicate"]
"""The reasons for which a feature is left out unless it is included by ``include``."""
REASONS: dict[str, str] = {
    "forward_looking": "forward-looking",
    "identifier": "identifiers",
    "not_numeric": "texts or moments",
    "all_null": "without any value",
    "constant": "constant",
    "duplicate": "duplicates",
}
"""All reasons, in the order in which one counts for a feature that has several, in words."""
LEFT_OUT = "left_out"
"""The column with the reason, which is added to a dictionary; null for a feature that is chosen."""
_NEAR = 3
_SHOWN = 10
_WINDOW = re.compile(r"w?(\d{1,9})")


class Choice(TypedDict, total=False):
    """The filters of features: chosen are those that every one lets through; one that is not given lets all through."""

    features: str | Sequence[str]
    """Names or patterns such as ``reg_bqx__*_45``, of which one must fit; also of ``common_name``."""
    families: str | Sequence[str]
    """Families of tables, such as ``pair_specific``."""
    tables: str | Sequence[str]
    """Warehouse tables, such as ``agg_bqx_eurusd``, or patterns of their names."""
    windows: int | Sequence[int]
    """Windows in rows as names have them: 45 is in ``agg_mean_45`` of any table, and in ``lag_bqx_eurusd_45``, whose
    columns may name none."""
    longest_window: int
    """Most rows of the file that a feature may look back over, ``reach_rows`` of the dictionary; features of unknown
    window do not pass. So ``embargo_rows`` knows the reach of each, and the embargo is not longer than it must be."""
    subjects: Subject | Sequence[Subject]
    """What the features are about: ``pair``, ``compared``, ``base``, ``quote``, ``market`` or ``other``."""
    include: Excluded | Collection[Excluded]
    """Kinds of features that are left out by default and are wanted all the same."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A :class:`Choice` in one form: every filter a tuple, None where it is not given."""

    features: tuple[str, ...] | None
    families: tuple[str, ...] | None
    tables: tuple[str, ...] | None
    windows: tuple[int, ...] | None
    longest_window: int | None
    subjects: tuple[str, ...] | None
    include: tuple[str, ...]

    @classmethod
    def of(cls, choice: Choice) -> Selection:
        """Return the selection that a caller describes.

        Raises:
            BadSetting: ``include`` or ``subjects`` has a word that is none of theirs.
            TypeError: there is no filter of that name.
        """
        unknown = choice.keys() - Choice.__annotations__.keys()
        if unknown:
            msg = f"unexpected keyword argument {', '.join(map(repr, sorted(unknown)))}"
            raise TypeError(msg)
        include, subjects = _several(choice.get("include")), _several(choice.get("subjects"))
        _refuse_unknown("include", include or (), get_args(Excluded))
        _refuse_unknown("subjects", subjects or (), get_args(Subject))
        windows = choice.get("windows")
        return cls(
            _several(choice.get("features")),
            _several(choice.get("families")),
            _several(choice.get("tables")),
            (windows,) if isinstance(windows, int) else None if windows is None else tuple(windows),
            choice.get("longest_window"),
            subjects,
            include or (),
        )


def chosen_targets(dictionary: pl.DataFrame, target: Target | Sequence[Target] | None) -> list[str]:
    """Return the names of the targets that are asked for, each once, in the order asked for.

    ``dictionary`` has a row for each column of the file.

    Raises:
        BadSetting: there is no such target, or it has no value.
    """
    there = dictionary.filter(pl.col("kind") == "target")
    names: list[str] = there["column"].to_list()
    found: dict[str, None] = {}
    for wanted in target_names(target):
        fitting = [name for name in names if fnmatchcase(name, wanted)]
        if not fitting:
            windows, horizons = (
                ", ".join(map(str, sorted(there[each].drop_nulls().unique()))) for each in ("window", "horizon")
            )
            raise BadSetting(
                "target",
                got=repr(wanted)[:80],
                expected=f"one of {len(names)} targets, of windows {windows} and horizons {horizons}",
                cure='For example target=(45, 15), or "target_bqx45_h*" for all horizons of a window.',
            )
        found |= dict.fromkeys(fitting)
    empty = there.filter(pl.col("column").is_in([*found]) & (pl.col("nulls") == pl.col("rows")))["column"].to_list()
    if empty:
        got = f"{some_of(empty, _NEAR)}: no value in any row"
        raise BadSetting("target", got=got, expected="a target with values", cure="Choose another.")
    return [*found]


def target_names(target: Target | Sequence[Target] | None) -> list[str]:
    """Return names and patterns of targets; a pair of numbers is one target, and not two. Raises BadSetting."""
    if target is None:
        return []
    if isinstance(target, str):
        return [target]
    if isinstance(target, tuple) and [type(each) for each in target] == [int, int]:
        return [target_name(*cast("tuple[int, int]", target))]
    if not all(isinstance(each, str | tuple) for each in target):
        raise BadSetting(
            "target",
            got=repr(target)[:80],
            expected="a name, a pattern, a window and a horizon, or a list of these",
            cure='target=(45, 15), or target=[(45, 15), "target_bqx90_h15"]',
        )
    return [name for each in target for name in target_names(cast("Target", each))]


def judged_features(dictionary: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    """Return the dictionary's rows of the features that the filters let through, with the reason of each left out.

    A duplicate is left out only if a feature with the same values is chosen, so that no filter can lose both.

    **Shape**: a row a feature, in the file's order, x the dictionary's columns and ``left_out``.

    Raises:
        BadSetting: a filter names something that the file does not have, or nothing that is not left out.
    """
    grouped = dictionary.with_columns(group=same_values())
    knowing = grouped.filter(pl.col("forward_looking") | (pl.col("kind") == "target"))["group"].unique().to_list()
    features = grouped.filter(pl.col("kind") == "feature")
    asked = features.filter(*_filters(features, selection))
    numeric = [name for name, each in COLUMN_TYPES.items() if each.is_number or each.name == "BOOL"]
    tests = {
        "forward_looking": pl.col("group").is_in(knowing),
        "identifier": pl.col("identifier"),
        "not_numeric": ~pl.col("type").is_in(numeric),
        "all_null": pl.col("nulls") == pl.col("rows"),
        "constant": pl.col("constant"),
    }
    reason = pl.coalesce(
        *(pl.when(test).then(pl.lit(name)) for name, test in tests.items() if name not in selection.include),
        pl.lit(None, pl.String),
    )
    judged = asked.with_columns(reason.alias(LEFT_OUT))
    if "duplicate" not in selection.include:
        again = pl.col(LEFT_OUT).is_null() & ~pl.struct(LEFT_OUT, "group").is_first_distinct()
        judged = judged.with_columns(pl.when(again).then(pl.lit("duplicate")).otherwise(LEFT_OUT).alias(LEFT_OUT))
    _refuse_named_and_left_out(judged, selection)
    return judged.drop("group")


def same_values() -> pl.Expr:
    """Return what columns with the same values have in common: the name of the first of them in the file."""
    return pl.when(pl.col("duplicate_of") == "").then(pl.col("column")).otherwise(pl.col("duplicate_of"))


def counts_left_out(judged: pl.DataFrame) -> dict[str, int]:
    """Return how many features are left out for each reason. ``judged`` has a row a feature."""
    counts = Counter[str](judged[LEFT_OUT].drop_nulls().to_list())
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def left_out_text(judged: pl.DataFrame) -> str:
    """Return the same in words: "310 constant, 65 duplicates"; empty if none is. ``judged`` has a row a feature."""
    return ", ".join(f"{count:,} {REASONS[reason]}" for reason, count in counts_left_out(judged).items())


def named_windows(features: pl.DataFrame) -> list[set[int]]:
    """Return the windows in the name of each feature, or else of its table. ``features`` has a row a feature."""
    names = features.select("source", "table").rows()
    return [_numbers(source) or _numbers(table) for source, table in names]


def _numbers(name: str) -> set[int]:
    return {int(found[1]) for word in name.split("_") if (found := _WINDOW.fullmatch(word))}


def _filters(features: pl.DataFrame, selection: Selection) -> list[pl.Expr]:
    """Return the conditions of a selection. Raises BadSetting for a name that no feature has."""
    tests: list[pl.Expr] = []
    if selection.features is not None:
        tests.append(pl.col("column").is_in(_fitting(features, selection.features)))
    if selection.tables is not None:
        tables: list[str] = features["table"].unique(maintain_order=True).to_list()
        for pattern in selection.tables:
            _refuse_unknown("tables", [] if any(fnmatchcase(each, pattern) for each in tables) else [pattern], tables)
        kept = [each for each in tables if any(fnmatchcase(each, pattern) for pattern in selection.tables)]
        tests.append(pl.col("table").is_in(kept))
    if selection.families is not None:
        _refuse_unknown("families", selection.families, features["family"].unique(maintain_order=True).to_list())
        tests.append(pl.col("family").is_in(selection.families))
    if selection.windows is not None:
        named = named_windows(features)
        _refuse_unknown("windows", selection.windows, sorted({window for windows in named for window in windows}))
        wanted = {*selection.windows}
        columns = [name for name, windows in zip(features["column"], named, strict=True) if wanted & windows]
        tests.append(pl.col("column").is_in(columns))
    if selection.longest_window is not None:
        tests.append((pl.col("reach_rows") <= selection.longest_window).fill_null(value=False))
    if selection.subjects is not None:
        tests.append(pl.col("subject").is_in(selection.subjects))
    return tests


def _fitting(features: pl.DataFrame, patterns: Sequence[str]) -> list[str]:
    """Return the features that fit a pattern, by their name or their common name. Raises BadSetting for none."""
    names = features.select("column", "common_name").rows()
    places: dict[str, list[str]] = {}  # 500 names would take a minute if each were tried as a pattern
    for column, common in names:
        for name in {column, common}:
            places.setdefault(name, []).append(column)
    found: dict[str, None] = {}
    for pattern in patterns:
        fitting = places.get(pattern) or [
            column for column, common in names if fnmatchcase(column, pattern) or fnmatchcase(common, pattern)
        ]
        if not fitting:
            raise _no_such_feature(pattern, features["column"].to_list())
        found |= dict.fromkeys(fitting)
    return [*found]


def _no_such_feature(pattern: str, columns: Sequence[str]) -> BadSetting:
    near = difflib.get_close_matches(pattern, columns, n=_NEAR)
    cure = "bqx columns PAIR --all lists all of them."
    if is_target(pattern):
        cure = "Targets are no features: name it as target."
    elif near:
        cure = f"Did you mean {' or '.join(near)}?"
    return BadSetting(
        "features", got=repr(pattern[:80]), expected="the name of a feature, or a pattern that fits some", cure=cure
    )


def _refuse_named_and_left_out(judged: pl.DataFrame, selection: Selection) -> None:
    """Raise BadSetting if a feature that is named in full is left out, or if all are that a filter lets through."""
    by_name = pl.any_horizontal(pl.col("column", "common_name").is_in(selection.features or ()))
    named = judged.filter(by_name & (pl.col(LEFT_OUT) != "duplicate"))
    wrong = named.filter(pl.col(LEFT_OUT).is_not_null())
    if wrong.height:
        column, reason = wrong.select("column", LEFT_OUT).row(0)
        raise BadSetting(
            "features",
            got=f"{column}, which is left out: {reason}",
            expected="features that can be chosen",
            cure="It is never given to a model."
            if reason == "forward_looking"
            else f'Ask for it: include=["{reason}"]',
        )
    if judged[LEFT_OUT].null_count() == 0 and selection.features != ():
        raise BadSetting(
            "features",
            got="none" if not judged.height else f"none; left out: {left_out_text(judged)}",
            expected="at least one feature that the filters let through",
            cure="Leave a filter away, or name what is left out in include. features=[] asks for targets alone.",
        )


def _refuse_unknown(word: str, wanted: Iterable[object], known: Sequence[object]) -> None:
    for each in wanted:
        if each not in known:
            texts = [*map(str, known)]
            near = difflib.get_close_matches(str(each), texts, n=_NEAR)
            near = near or [text for text in texts if str(each) in text][:_NEAR]
            numbers = [number for number in known if isinstance(number, int)]
            if isinstance(each, int) and numbers:  # 44 is nearer to 45 than to 1440
                near = [str(min(numbers, key=lambda number: abs(number - each)))]
            others = f"training_columns(PAIR) shows all {word}." if len(texts) > _SHOWN else "Take one of these."
            raise BadSetting(
                word,
                got=repr(each)[:80],
                expected=f"one of {some_of(texts, len(numbers) or _SHOWN)}" if known else "nothing: there is none",
                cure=f"Did you mean {' or '.join(near)}?" if near else others,
            )


def _several(value: str | Iterable[str] | None) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) else None if value is None else tuple(value)
