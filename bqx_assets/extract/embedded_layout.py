"""The folder of an embedded warehouse: the paths of its tables, its record, and whether it is finished.

``sandbox.create`` writes such folders.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from bqx_assets.base.artifacts import FormatVersion, Record
from bqx_assets.base.errors import TableMissing, TableUnreadable
from bqx_assets.base.names import check_identifier, is_identifier
from bqx_assets.base.printable import printable
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET

DATASETS: tuple[str, ...] = (FEATURES_DATASET, TARGETS_DATASET)
_SUFFIX = ".parquet"
RECORD_FILE = "warehouse.json"
UNFINISHED_FILE = "UNFINISHED"


class WarehouseSpec(Record):
    """The parameters of ``bqx warehouse create``. The same parameters give the same tables."""

    format_version: FormatVersion = 1
    pairs: tuple[str, ...]
    rows: int
    tables: int | None
    seed: int
    rates: str | None
    """SHA-256 of the file of rates; None for simulated rates."""
    invert: bool = False
    """Reversed pairs of the file were inverted."""
    quirks: bool = True
    """Tables have gaps, surplus rows and rows of other pairs, and two have no values: see ``sandbox.quirks``."""
    known_gaps: bool = False
    """Tables lack the rows and values that the users' own are known to lack, and some tables are absent."""


class WarehouseRecord(Record):
    """``warehouse.json``, which is written last, so that its existence means a complete warehouse."""

    made: WarehouseSpec
    spoiled: tuple[str, ...] = ()
    """The faults that were injected since, in order."""
    said: tuple[str, ...] = ()
    """How the rates were read, and which tables cannot be computed from them."""
    doubts: tuple[str, ...] = ()
    """What is possible but unlikely in the rates."""


def table_path(root: Path, dataset: str, table: str) -> Path:
    """Return the path of a table's file. Raises BadSetting for a name that is not an identifier."""
    return root / check_identifier(dataset, "dataset") / f"{check_identifier(table, 'table')}.parquet"


def table_paths(root: Path, dataset: str) -> Sequence[Path]:
    """Return the files of a dataset's tables, sorted by name, without half-written and hidden ones."""
    return sorted(path for path in entries(root / dataset) if is_table_name(path.name))


def odd_entries(root: Path, dataset: str) -> dict[str, str]:
    """Return what may be meant as a table in a dataset's folder and is none, by name, each with the reason."""
    found: dict[str, str] = {}
    for path in sorted(entries(root / dataset)):
        if is_table_name(path.name):
            continue
        if path.name.lower().endswith(_SUFFIX):
            found[printable(path.name)] = f"a name that is no table's: letters, digits, _ and then {_SUFFIX}"
        elif path.is_dir():
            found[printable(f"{path.name}/")] = "a folder: tables lie side by side"
    return found


def entries(folder: Path) -> Iterator[Path]:
    """Return what lies in a folder and is not hidden; nothing if there is no folder."""
    return (path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else iter(())


def is_table_name(name: str) -> bool:
    """Return whether a file name is that of a table."""
    return name.endswith(_SUFFIX) and is_identifier(name.removesuffix(_SUFFIX))


def refuse_unusable(root: Path) -> None:
    """Raise TableMissing if there is no warehouse, TableUnreadable if it is not finished."""
    if not any((root / dataset).is_dir() for dataset in DATASETS) and not is_unfinished(root):
        raise TableMissing(
            f"warehouse {root}",
            got="no tables" if root.is_dir() else "no such folder",
            expected=f"Parquet tables in {root / FEATURES_DATASET} and {root / TARGETS_DATASET}",
            cure=f"Make one: bqx warehouse create {shlex.quote(str(root))} --pairs eurusd",
        )
    if is_unfinished(root):
        raise TableUnreadable(
            f"warehouse {root}",
            got="a warehouse whose making was interrupted",
            expected="a finished warehouse",
            cure=f"Make it again, it starts over: bqx warehouse create {shlex.quote(str(root))} --pairs eurusd",
        )


def is_unfinished(root: Path) -> bool:
    """Return whether making the warehouse has begun and not ended."""
    return (root / UNFINISHED_FILE).exists()


def load_record(root: Path) -> WarehouseRecord | None:
    """Return the record of a warehouse; None for a folder of a user's own tables. Raises CheckpointCorrupt."""
    return WarehouseRecord.load(root / RECORD_FILE) if (root / RECORD_FILE).is_file() else None
