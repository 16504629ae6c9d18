"""Breaking a warehouse on purpose, as real ones have been broken.

Belongs here: the modes by name, and which table of a pair they strike. Does not: the damage itself (``damage``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from bqx_assets.base.errors import BadSetting, TableMissing, TableUnreadable
from bqx_assets.base.files import atomic_path
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import first_line
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, expected_tables, targets_table
from bqx_assets.extract.embedded_layout import note_spoiled, refuse_unusable, table_path
from bqx_assets.sandbox import damage
from bqx_assets.sandbox.quirks import ALL_NULL, SEVERAL_PAIRS
from bqx_assets.sandbox.table_files import write_table

Damage = Callable[[pl.DataFrame, str], tuple[pl.DataFrame, str]]
"""From a table and one of its columns to the damaged table and what happened to it."""

_FEATURE_DAMAGE: dict[str, tuple[str, Damage]] = {
    "duplicates": ("minutes stand on several rows of a feature table", damage.repeat_rows),
    "null-keys": ("rows of a feature table have no interval_time", damage.forget_keys),
    "empty-table": ("a feature table has no row", damage.empty),
    "short-table": ("a feature table ends at an earlier minute: nulls at the tail", damage.cut),
    "type-drift": ("a FLOAT64 feature has become STRING", damage.retype),
    "missing-column": ("a feature table lacks a column", damage.drop_column),
    "extra-column": ("a feature table has a column nobody knows", damage.add_column),
    "named-leak": ("a feature table has a column named target_*", damage.add_target_column),
    "nan": ("a feature holds NaN", damage.set_nan),
    "inf": ("a feature holds infinity", damage.set_infinite),
    "constant": ("a feature has one value only", damage.set_constant),
    "all-null": ("a feature has no value", damage.set_null),
}
_TARGET_DAMAGE: dict[str, tuple[str, Damage]] = {
    "target-duplicates": ("minutes stand on several rows of the targets table", damage.repeat_rows),
    "target-gap": ("a target lacks a stretch of values", damage.gap),
    "wrong-targets": ("a target is not the future it is named for, but one bar later", damage.shift),
    "missing-target": ("the targets table lacks a target", damage.drop_column),
}
_FILE_MODES: dict[str, str] = {
    "missing-table": "a feature table is not there",
    "extra-table": "there is a feature table nobody knows",
    "corrupt-file": "a feature table's file is cut off: it has no footer",
    "corrupt-page": "bytes in the middle of a feature table's file are zero",
    "label-leak": "a feature holds a target's future values under its innocent name",
}
SPOIL_MODES: dict[str, str] = {
    mode: what for mode, (what, _) in (_FEATURE_DAMAGE | _TARGET_DAMAGE).items()
} | _FILE_MODES
"""Mode to what it does."""

_TARGET = "target_bqx90_h30"


def spoil(folder: Path, mode: str, pair: Pair) -> str:
    """Damage one table of ``pair`` in ``folder`` and return what was done to which; the same mode does the same.

    The table is the pair's own, never one that other pairs share. Making the warehouse again mends it.

    Raises:
        BadSetting: an unknown mode. TableMissing: no warehouse, or none of the pair. TableUnreadable: spoiled before.
    """
    if mode not in SPOIL_MODES:
        raise BadSetting("spoil mode", got=repr(mode), expected=", ".join(SPOIL_MODES), cure="Choose one of these.")
    refuse_unusable(folder)
    targets = table_path(folder, TARGETS_DATASET, targets_table(pair))
    if mode in _TARGET_DAMAGE:
        done = _damage(targets, _TARGET_DAMAGE[mode][1], [_TARGET])
    else:
        path, columns = _victim(folder, pair)
        if mode in _FEATURE_DAMAGE:
            done = _damage(path, _FEATURE_DAMAGE[mode][1], columns)
        elif mode == "label-leak":
            known = _read(targets).select("interval_time", leak=_TARGET)
            done = _damage(path, lambda frame, name: damage.leak(frame, name, known, _TARGET), columns)
        else:
            done = damage.FILE_DAMAGE[mode](path, pair)
    note_spoiled(folder, done)
    return done


def _damage(path: Path, damage_table: Damage, columns: Sequence[str]) -> str:
    """Strike the first of ``columns`` that has values: a window longer than the history has none to lose."""
    whole = _read(path)
    column = next(
        (name for name in columns if name in whole.columns and whole.get_column(name).drop_nulls().len()), columns[0]
    )
    frame, what = damage_table(whole, column)
    with atomic_path(path) as temp:
        write_table(temp, frame)
    return f"{path.stem}: {what}"


def _read(path: Path) -> pl.DataFrame:
    try:
        return read_parquet(path)
    except FileNotFoundError as error:
        raise _no_table(path) from error
    except pl.exceptions.ComputeError as error:
        raise TableUnreadable(
            path.stem,
            got=first_line(error),
            expected="a table to spoil",
            cure="Make the warehouse again first.",
        ) from error


def _victim(folder: Path, pair: Pair) -> tuple[Path, Sequence[str]]:
    """The pair's first table that no other pair reads and that has only its rows, and its FLOAT64 features."""
    for table in expected_tables(pair):
        shared = table.family != "pair_specific" or table.kind.startswith("cov_")
        path = table_path(folder, FEATURES_DATASET, table.table)
        quirky = table.kind in SEVERAL_PAIRS or any(table.kind == prefix for prefix, _ in ALL_NULL)
        numbers = [name for name, kind in table.columns if kind == "FLOAT64"]
        if path.is_file() and numbers and not shared and not quirky:
            return path, numbers
    raise _no_table(folder / FEATURES_DATASET)


def _no_table(path: Path) -> TableMissing:
    return TableMissing(
        str(path), got="no table of the pair to spoil", expected="one", cure="Make the warehouse again, with this pair."
    )
