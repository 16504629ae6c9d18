"""Where things lie in the folder of an embedded warehouse, and whether it is finished.

Belongs here: paths, and the two files that say what the folder holds. Does not: tables' contents.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bqx_assets.base.artifacts import FormatVersion, Record
from bqx_assets.base.errors import TableMissing, TableUnreadable
from bqx_assets.base.files import locked, remove_partials, write_atomic
from bqx_assets.base.names import check_identifier, is_identifier
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.printable import printable
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, family_of

DATASETS: tuple[str, ...] = (FEATURES_DATASET, TARGETS_DATASET)
EXPECTATIONS_FILE = "expectations.toml"
_SUFFIX = ".parquet"
_MADE_FILE = "warehouse.json"
_UNFINISHED_FILE = "UNFINISHED"


class Made(Record):
    """What ``bqx warehouse create`` was asked for: the same again gives the same tables."""

    format_version: FormatVersion = 1
    pairs: tuple[str, ...]
    rows: int
    tables: int | None
    seed: int
    rates: str | None
    """SHA-256 of the rates' file; None for simulated rates."""
    invert: bool = False
    """Reversed pairs of the file were turned."""
    quirks: bool = True
    """Tables have gaps, surplus rows and rows of other pairs, and two have no value, as real ones: see ``quirks``."""
    known_gaps: bool = False
    """Tables lack the rows and values that the users' own are known to lack, and some are absent: ``known_gaps``."""


class Folder(Record):
    """``warehouse.json``: written last, so that it stands for a whole warehouse."""

    made: Made
    spoiled: tuple[str, ...] = ()
    """What was broken on purpose since, in order."""
    said: tuple[str, ...] = ()
    """What of the rates was taken for what, and which tables they cannot give."""
    doubts: tuple[str, ...] = ()
    """What in the rates is hardly true."""


def table_path(root: Path, dataset: str, table: str) -> Path:
    """Return where a table lies. Raises BadSetting for a name that is no identifier: it never reaches a path."""
    return root / check_identifier(dataset, "dataset") / f"{check_identifier(table, 'table')}.parquet"


def table_paths(root: Path, dataset: str) -> Sequence[Path]:
    """Return what is named as a dataset's tables are, by name; half-written and hidden ones left out."""
    return sorted(path for path in _entries(root / dataset) if _is_table_name(path.name))


def odd_entries(root: Path, dataset: str) -> dict[str, str]:
    """Return what lies in a dataset's folder and is no table but could be meant as one, and why it is none."""
    found: dict[str, str] = {}
    for path in sorted(_entries(root / dataset)):
        if _is_table_name(path.name):
            continue
        if path.name.lower().endswith(_SUFFIX):
            found[printable(path.name)] = f"a name that is no table's: letters, digits, _ and then {_SUFFIX}"
        elif path.is_dir():
            found[printable(f"{path.name}/")] = "a folder: tables lie side by side"
    return found


def _entries(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else iter(())


def _is_table_name(name: str) -> bool:
    return name.endswith(_SUFFIX) and is_identifier(name.removesuffix(_SUFFIX))


def _is_makeable(name: str) -> bool:
    """Whether a making, or spoiling, gives a table this name."""
    table = name.removesuffix(_SUFFIX)
    return _is_table_name(name) and (
        table.startswith(("targets_", "mkt_")) or any(family_of(table, pair) for pair in ALL_PAIRS)
    )


def refuse_unusable(root: Path) -> None:
    """Raise TableMissing where there is no warehouse, TableUnreadable where one is not finished."""
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
            got="its making was interrupted",
            expected="a finished warehouse",
            cure=f"Make it again, it starts over: bqx warehouse create {shlex.quote(str(root))} --pairs eurusd",
        )


def is_unfinished(root: Path) -> bool:
    """Whether a making of this folder has begun and not ended."""
    return (root / _UNFINISHED_FILE).exists()


@contextmanager
def exclusive(root: Path) -> Generator[None]:
    """Hold the folder for one making. Raises FolderBusy."""
    with locked(root, busy="being made by another process"):
        yield


def begin(root: Path) -> None:
    """Mark the folder unfinished and remove the tables of an earlier making; what others put there stays."""
    write_atomic(root / _UNFINISHED_FILE, b"bqx warehouse create was interrupted\n")
    for name in (_MADE_FILE, EXPECTATIONS_FILE):
        (root / name).unlink(missing_ok=True)
    for dataset in DATASETS:
        (root / dataset).mkdir(exist_ok=True)
        remove_partials(root / dataset)
        for path in (path for path in _entries(root / dataset) if _is_makeable(path.name)):
            path.unlink()


def finish(root: Path, folder: Folder) -> None:
    """Say what the folder holds, then take the mark away."""
    folder.save(root / _MADE_FILE)
    (root / _UNFINISHED_FILE).unlink()


def load_folder(root: Path) -> Folder | None:
    """Return what a finished folder says of itself; None for one that was not made here. Raises CheckpointCorrupt."""
    return Folder.load(root / _MADE_FILE) if (root / _MADE_FILE).is_file() else None


def note_spoiled(root: Path, what: str) -> None:
    """Record that a table was broken on purpose, so that making the warehouse again mends it."""
    folder = load_folder(root)
    if folder is not None:
        folder.model_copy(update={"spoiled": (*folder.spoiled, what)}).save(root / _MADE_FILE)
