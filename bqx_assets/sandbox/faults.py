"""Injects faults that real tables have had into an embedded warehouse, to see that the checks find them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from bqx_assets.base.errors import BadSetting, TableMissing, TableUnreadable
from bqx_assets.base.files import atomic_path, write_atomic
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.names import KEY, target_name
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import first_line
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, expected_tables, targets_table
from bqx_assets.extract.embedded_layout import RECORD_FILE, load_record, refuse_unusable, table_path
from bqx_assets.sandbox.quirks import ALL_NULL, SEVERAL_PAIRS
from bqx_assets.sandbox.table_files import write_table

FrameFault = Callable[[pl.DataFrame, str], tuple[pl.DataFrame, str]]
"""Takes a table and the name of one of its columns; returns the damaged table and a description of the damage."""

_REPEATED_ROWS = 76
"""Number of repeated minutes in two of the users' tables, which multiplied 100,000 rows to 177,748 in a join."""
_TARGET = target_name(90, 30)
"""The target that faults of the targets table change."""


def inject_fault(folder: Path, mode: str, pair: Pair) -> str:
    """Damage one table of ``pair`` in ``folder`` and return a description of what was done to which table.

    The same mode always does the same, to a table that no other pair reads. Making the warehouse again repairs it.

    Raises:
        BadSetting: an unknown mode.
        TableMissing: the folder holds no warehouse, or no table of the pair.
        TableUnreadable: the table was damaged before.
    """
    if mode not in FAULTS:
        raise unknown_fault(mode)
    refuse_unusable(folder)
    targets = table_path(folder, TARGETS_DATASET, targets_table(pair))
    if mode in _TARGET_FAULTS:
        done = _change_table(targets, _TARGET_FAULTS[mode][1], [_TARGET])
    else:
        path, columns = _table_of(folder, pair)
        if mode in _FEATURE_FAULTS:
            done = _change_table(path, _FEATURE_FAULTS[mode][1], columns)
        elif mode == "label-leak":
            known = _read(targets).select(KEY, leak=_TARGET)
            done = _change_table(path, lambda frame, name: _leak(frame, name, known), columns)
        else:
            done = _FILE_FAULTS[mode][1](path, pair)
    record = load_record(folder)
    if record is not None:  # so that making the warehouse again repairs it
        record.model_copy(update={"spoiled": (*record.spoiled, done)}).save(folder / RECORD_FILE)
    return done


def unknown_fault(mode: str) -> BadSetting:
    """Return the error for a mode that does not exist; it names the command that lists the modes."""
    return BadSetting(
        "spoil mode", got=repr(mode), expected="a mode that exists", cure="See: bqx warehouse spoil --list"
    )


def _change_table(path: Path, fault: FrameFault, columns: Sequence[str]) -> str:
    """Apply a fault to the first of ``columns`` that has values: a window longer than the history leaves none."""
    whole = _read(path)
    column = next(
        (name for name in columns if name in whole.columns and whole.get_column(name).drop_nulls().len()), columns[0]
    )
    frame, what = fault(whole, column)
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
            expected="a table that can be read before it is spoiled",
            cure="Make the warehouse again first.",
        ) from error


def _table_of(folder: Path, pair: Pair) -> tuple[Path, Sequence[str]]:
    """Return the pair's first table that no other pair reads and that has no quirk, with its FLOAT64 features."""
    for table in expected_tables(pair):
        shared = table.shared or table.kind.startswith("cov_")
        path = table_path(folder, FEATURES_DATASET, table.table)
        quirky = table.kind in SEVERAL_PAIRS or any(table.kind == prefix for prefix, _ in ALL_NULL)
        numbers = [name for name, kind in table.columns if kind == "FLOAT64"]
        if path.is_file() and numbers and not shared and not quirky:
            return path, numbers
    raise _no_table(folder / FEATURES_DATASET)


def _no_table(path: Path) -> TableMissing:
    return TableMissing(
        str(path),
        got="no table of the pair that could be spoiled",
        expected="at least one",
        cure="Make the warehouse again, with this pair.",
    )


def _repeat_rows(frame: pl.DataFrame, _column: str) -> tuple[pl.DataFrame, str]:
    middle = frame.slice(frame.height // 2, _REPEATED_ROWS)
    return pl.concat([frame, middle]), f"{middle.height} of {frame.height:,} rows are repeated"


def _remove_keys(frame: pl.DataFrame, _column: str) -> tuple[pl.DataFrame, str]:
    rows = pl.int_range(pl.len()).is_between(frame.height // 2, frame.height // 2 + 2)
    return frame.with_columns(pl.when(~rows).then(KEY)), f"3 of {frame.height:,} rows without {KEY}"


def _remove_all_rows(frame: pl.DataFrame, _column: str) -> tuple[pl.DataFrame, str]:
    return frame.clear(), f"all {frame.height:,} rows removed"


def _remove_last_rows(frame: pl.DataFrame, _column: str) -> tuple[pl.DataFrame, str]:
    kept = frame.sort(KEY).head(frame.height * 3 // 5)
    return kept, f"the last {frame.height - kept.height:,} of {frame.height:,} rows removed"


def _retype(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return frame.with_columns(pl.col(column).cast(pl.String)), f"{column} is STRING"


def _drop_column(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return frame.drop(column), f"{column} removed"


def _add_column(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return frame.with_columns((pl.col(column) * 2).alias("appeared_today")), "appeared_today added"


def _add_target_column(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return frame.with_columns(pl.col(column).shift(-45).alias("target_45")), "target_45 added"


def _set_nan(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return _in_second_half(frame, column, float("nan")), f"every tenth value of {column} in the second half is NaN"


def _set_infinite(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return _in_second_half(frame, column, float("inf")), f"every tenth value of {column} in the second half is infinite"


def _in_second_half(frame: pl.DataFrame, column: str, value: float) -> pl.DataFrame:
    row = pl.int_range(pl.len())
    changed = (row >= frame.height // 2) & (row % 10 == 0)
    return frame.with_columns(pl.when(changed).then(value).otherwise(pl.col(column)).alias(column))


def _set_constant(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return frame.with_columns(pl.lit(1.0).alias(column)), f"{column} is 1.0 on every row"


def _set_null(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return frame.with_columns(pl.lit(None, frame.schema[column]).alias(column)), f"{column} is null on every row"


def _set_null_in_middle(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    rows = pl.int_range(pl.len()).is_between(frame.height // 2, frame.height * 3 // 5)
    return frame.with_columns(pl.when(~rows).then(column)), f"{column} is null on {frame.height // 10:,} rows"


def _shift(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    return frame.with_columns(pl.col(column).shift(-1)), f"{column} is one bar later than its name says"


def _leak(frame: pl.DataFrame, column: str, known: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    joined = frame.join(known, on=KEY, how="left", maintain_order="left")
    return joined.with_columns(pl.col("leak").alias(column)).drop("leak"), f"{column} holds {_TARGET}"


def _remove_file(path: Path, _pair: Pair) -> str:
    path.unlink()
    return f"{path.stem}: removed"


def _add_file(path: Path, pair: Pair) -> str:
    added = path.with_stem(f"agg_appeared_{pair}")
    write_atomic(added, path.read_bytes())
    return f"{added.stem}: added, a copy of {path.stem}"


def _truncate_file(path: Path, _pair: Pair) -> str:
    data = path.read_bytes()
    write_atomic(path, data[: len(data) * 2 // 3])
    return f"{path.stem}: cut off after {len(data) * 2 // 3:,} of {len(data):,} bytes"


def _overwrite_with_zeros(path: Path, _pair: Pair) -> str:
    data = bytearray(path.read_bytes())
    start, size = len(data) // 3, min(4_096, len(data) // 3)
    data[start : start + size] = bytes(size)
    write_atomic(path, bytes(data))
    return f"{path.stem}: {size:,} bytes from {start:,} on are zero"


_FEATURE_FAULTS: dict[str, tuple[str, FrameFault]] = {
    "duplicates": ("a feature table has several rows for one minute", _repeat_rows),
    "null-keys": ("rows of a feature table have no interval_time", _remove_keys),
    "empty-table": ("a feature table has no rows", _remove_all_rows),
    "short-table": ("a feature table ends too early, which leaves nulls in the last rows", _remove_last_rows),
    "type-drift": ("a FLOAT64 feature has become STRING", _retype),
    "missing-column": ("a feature table lacks a column", _drop_column),
    "extra-column": ("a feature table has an unknown column", _add_column),
    "named-leak": ("a feature table has a column named target_*", _add_target_column),
    "nan": ("a feature holds NaN", _set_nan),
    "inf": ("a feature holds infinity", _set_infinite),
    "constant": ("a feature has the same value on every row", _set_constant),
    "all-null": ("a feature has no values", _set_null),
}
_TARGET_FAULTS: dict[str, tuple[str, FrameFault]] = {
    "target-duplicates": ("the targets table has several rows for one minute", _repeat_rows),
    "target-gap": ("a target has no values in the middle of the history", _set_null_in_middle),
    "wrong-targets": ("a target holds the value of one bar later than its name says", _shift),
    "missing-target": ("the targets table lacks a target", _drop_column),
}
_FILE_FAULTS: dict[str, tuple[str, Callable[[Path, Pair], str]]] = {
    "missing-table": ("a feature table does not exist", _remove_file),
    "extra-table": ("an unknown feature table exists", _add_file),
    "corrupt-file": ("the file of a feature table is cut off and has no footer", _truncate_file),
    "corrupt-page": ("bytes in the middle of a feature table's file are zero", _overwrite_with_zeros),
}
FAULTS: dict[str, str] = {
    mode: what for mode, (what, _) in (_FEATURE_FAULTS | _TARGET_FAULTS | _FILE_FAULTS).items()
} | {"label-leak": "a feature holds future values of a target, and its name does not say so"}
"""The modes of ``bqx warehouse spoil``, each with one line on what the fault is."""
