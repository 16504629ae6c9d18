"""Describes the folder of an embedded warehouse: its tables' paths, its record, and the mark of an unfinished one.

``sandbox.create`` writes such folders.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from bqx_assets.base.artifacts import FormatVersion, Record
from bqx_assets.base.errors import TableMissing, TableUnreadable
from bqx_assets.base.names import check_identifier, is_identifier
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pairs
from bqx_assets.base.printable import printable
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, targets_table

DATASETS: tuple[str, ...] = (FEATURES_DATASET, TARGETS_DATASET)
_SUFFIX = ".parquet"
RECORD_FILE = "warehouse.json"
UNFINISHED_FILE = "UNFINISHED"
"""Exists while a warehouse is made."""
APPENDING_FILE = "APPENDING"
"""Exists while tables are replaced by longer ones."""

MONTHS_FILE = ".months.json"
"""States of the tables' months, which were found when the tables were made."""


class WarehouseSpec(Record):
    """The parameters of ``bqx warehouse create``. The same parameters give the same tables."""

    format_version: FormatVersion = 1
    pairs: tuple[str, ...]
    rows: int
    tables: int | None
    seed: int
    rates: str | None
    """SHA-256 of the rates file; None for simulated rates."""
    invert: bool = False
    """Whether reversed pairs of the file were inverted."""
    quirks: bool = True
    """Whether tables have gaps, surplus rows and rows of other pairs, and two have no values (``sandbox.quirks``)."""
    known_gaps: bool = False
    """Whether tables lack the rows and values that the users' own tables are known to lack, and some are absent."""


class WarehouseRecord(Record):
    """The content of ``warehouse.json``, which is written last: if it exists, the warehouse is complete."""

    made: WarehouseSpec
    spoiled: tuple[str, ...] = ()
    """The faults that were injected later, in order."""
    said: tuple[str, ...] = ()
    """Notes on the reading of the rates, and the tables that cannot be computed from them."""
    doubts: tuple[str, ...] = ()
    """Facts of the rates that are possible but unlikely."""
    appended: tuple[int, ...] = ()
    """Bars that ``bqx warehouse advance`` appended to each pair, in order."""

    @property
    def present(self) -> WarehouseSpec:
        """The parameters that give the tables as they are now, with the bars that were appended."""
        return self.made.model_copy(update={"rows": self.made.rows + sum(self.appended)})


class Appending(Record):
    """The content of ``APPENDING``: the change that is under way, or was interrupted."""

    format_version: FormatVersion = 1
    bars: int
    """Bars that are appended to each pair."""
    rows: int
    """Bars of each pair when that has ended."""


def table_path(root: Path, dataset: str, table: str) -> Path:
    """Return the path of a table's file. Raises BadSetting for a name that is not an identifier."""
    return root / check_identifier(dataset, "dataset") / f"{check_identifier(table, 'table')}.parquet"


def table_paths(root: Path, dataset: str) -> Sequence[Path]:
    """Return the files of a dataset's tables, sorted by name, without half-written and hidden ones."""
    return sorted(path for path in entries(root / dataset) if is_table_name(path.name))


def odd_entries(root: Path, dataset: str) -> dict[str, str]:
    """Return the entries of a dataset's folder that may be meant as tables but are not, by name, with the reason."""
    found: dict[str, str] = {}
    for path in sorted(entries(root / dataset)):
        if is_table_name(path.name):
            continue
        if path.name.lower().endswith(_SUFFIX):
            found[printable(path.name)] = f"not a table's name, which is letters, digits and _, then {_SUFFIX}"
        elif path.is_dir():
            found[printable(f"{path.name}/")] = "a folder: tables must lie directly in the dataset's folder"
    return found


def entries(folder: Path) -> Iterator[Path]:
    """Return the entries of a folder that are not hidden; none if there is no folder."""
    return (path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else iter(())


def is_table_name(name: str) -> bool:
    """Return whether a file name is that of a table."""
    return name.endswith(_SUFFIX) and is_identifier(name.removesuffix(_SUFFIX))


def refuse_unusable(root: Path, pair: Pair = ALL_PAIRS[0]) -> None:
    """Raise TableMissing if there is no warehouse, TableUnreadable if it is not finished.

    The cure makes one with the tables of ``pair``, or goes on with the appending of bars.
    """
    made_by = f"bqx warehouse create {shlex.quote(str(root))} --pairs {pair}"
    if not any((root / dataset).is_dir() for dataset in DATASETS) and not is_unfinished(root):
        raise TableMissing(
            f"warehouse {root}",
            got="no tables" if root.is_dir() else "no such folder",
            expected=f"Parquet tables in {root / FEATURES_DATASET} and {root / TARGETS_DATASET}",
            cure=f"Make one: {made_by}",
        )
    if (root / UNFINISHED_FILE).exists():
        raise TableUnreadable(
            f"warehouse {root}",
            got="a warehouse whose creation was interrupted",
            expected="a finished warehouse",
            cure=f"Create it again, from the start: {made_by}",
        )
    appending = load_appending(root)
    if appending is not None:
        raise TableUnreadable(
            f"warehouse {root}",
            got="a warehouse with tables of two lengths: bars are being appended, or that was interrupted",
            expected="a finished warehouse",
            cure=f"Append them again: bqx warehouse advance {shlex.quote(str(root))} --bars {appending.bars}",
        )


def pairs_with_targets(settings: Settings) -> tuple[Pair, ...]:
    """Return the pairs whose embedded warehouse has a targets table, in market order; each has its own or a common one.

    **Cost**: looks at 28 paths, and reads none.
    """
    folders = [(pair, settings.of_pair(pair).warehouse_dir) for pair in ALL_PAIRS]
    return tuple(pair for pair, at in folders if table_path(at, TARGETS_DATASET, targets_table(pair)).is_file())


def pairs_of_fleet(settings: Settings) -> tuple[Pair, ...]:
    """Return the pairs that are to be published and kept fresh, in market order.

    These are the pairs of ``BQX_FLEET``. Where it names none, they are all 28 in BigQuery, and of embedded warehouses
    those that have tables; all 28 where there is no table at all.
    """
    if settings.fleet is not None:
        return parse_pairs(settings.fleet)
    return (settings.bigquery_project is None and pairs_with_targets(settings)) or ALL_PAIRS


def is_unfinished(root: Path) -> bool:
    """Return whether the creation of the warehouse, or the replacement of its tables, has begun and not ended."""
    return (root / UNFINISHED_FILE).exists() or (root / APPENDING_FILE).exists()


def load_appending(root: Path) -> Appending | None:
    """Return the change of the tables that is under way or was interrupted, if any. Raises CheckpointCorrupt."""
    return Appending.load(root / APPENDING_FILE) if (root / APPENDING_FILE).is_file() else None


def load_record(root: Path) -> WarehouseRecord | None:
    """Return the record of a warehouse; None for a folder of a user's own tables. Raises CheckpointCorrupt."""
    return WarehouseRecord.load(root / RECORD_FILE) if (root / RECORD_FILE).is_file() else None
