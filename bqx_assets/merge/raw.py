"""Checkpoint folders of another origin: targets and tables with ``interval_time``, rows in any order.

Belongs here: reading such a folder as a merge's parts, a spine from its targets. Does not: slabs of our own
extraction (``plan``), one file (``raw_file``), or how one table becomes a slab (``raw_table``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import Column, ExtractionRecord
from bqx_assets.base.content import periods_of
from bqx_assets.base.errors import MergeRefused, SchemaDrift
from bqx_assets.base.files import TEMP_MARK, regular_file
from bqx_assets.base.names import KEY, is_identifier, refuse_same_names
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import FAMILIES, targets_table
from bqx_assets.extract.leaks import ForwardLook
from bqx_assets.extract.spine import describe_spine, latest_rows, spine_rows
from bqx_assets.merge.parts import Part
from bqx_assets.merge.preflight import check_memory
from bqx_assets.merge.raw_file import NUMBERS, RawFile
from bqx_assets.merge.raw_table import RawSpine, RawTable, SpinePart, raw_family, targets_memory_bytes

_NAMED = 10
_SUFFIX = ".parquet"
_LIKE_A_TABLE = (
    _SUFFIX,
    ".parq",
    ".pq",
    *(f"{_SUFFIX}.{packed}" for packed in ("gz", "zst", "bz2", "xz", "lz4", "zip")),
)
"""Names that end so, in whatever case, are meant as tables: to leave one out would lose its columns without a word."""


@dataclass(frozen=True, slots=True)
class RawFolder:
    """A folder's raw checkpoints: parts, and what their merge will record."""

    extraction: ExtractionRecord
    """Its slabs are yet to come."""
    parts: tuple[Part, ...]
    """The spine first."""
    left_out: tuple[str, ...]
    """What else lies in the folder, by name."""


def plan_raw(pair: Pair, folder: Path, settings: Settings) -> RawFolder:
    """Return the parts of a folder of raw checkpoints.

    **Cost**: the targets in memory, 50 columns; of the tables the schemas only.

    Raises:
        MergeRefused: no targets, no table, a file without ``interval_time``, an entry that is no table and named like
            one.
        ColumnCollision, SchemaDrift, NullKeys, DuplicateKeys, EmptyTable, InexactValue, FooterError: as they say.
        NotEnoughMemory: for the targets.
    """
    paths, left_out = _listed(pair, folder)
    targets = _targets_file(pair, folder, paths)
    files = [RawFile(path, pair) for path in paths if path != targets]
    # An earlier merge's output is often kept beside its checkpoints: as a table it would give every column twice.
    left_out += tuple(f"{file.path.name} (a training file)" for file in files if file.is_training)
    tables = [file for file in files if not file.is_training]
    _refuse_unfit(pair, folder, tables)
    spine, spine_part = _read_spine(RawFile(targets, pair), settings)
    parts = [RawTable(file, spine, settings) for file in tables]
    parts.sort(key=lambda part: (_family_order(raw_family(part.table, pair)), part.table))
    refuse_same_names(f"{pair}", ((part.table, each.name) for part in (spine_part, *parts) for each in part.columns))
    extraction = ExtractionRecord(
        pair=pair.name,
        snapshot_time=datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC),
        spine=spine.facts,
        slabs=(),
        forward_looking_included=settings.include_forward_looking,
        origin="raw checkpoints",
        span=settings.span,
    )
    return RawFolder(extraction, (spine_part, *parts), left_out)


def _listed(pair: Pair, folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return a folder's tables in order of their names, and what it holds besides."""
    tables: list[Path] = []
    others: list[str] = []
    wrong: list[str] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name if path.name.isprintable() else ascii(path.name)
        if path.name.startswith(".") or not path.name.lower().endswith(_LIKE_A_TABLE):
            others += [] if TEMP_MARK in path.name else [name]
            continue
        trouble = _no_table(path)
        if trouble:
            wrong.append(f"{name} ({trouble})")
        tables.append(path)
    if wrong:
        raise MergeRefused(
            f"{pair}",
            got=f"{len(wrong):,} entries named like tables that are none, in {folder}: {', '.join(wrong[:_NAMED])}",
            expected=f"files TABLE{_SUFFIX}, each table's name of letters, digits and underscores",
            cure=f"Make such files of them, or move them out of {folder}.",
        )
    return tables, tuple(others)


def _no_table(path: Path) -> str:
    """Why a folder's entry cannot be a table; empty where it can."""
    if path.suffix != _SUFFIX:
        return f"its name does not end in {_SUFFIX}"
    if not is_identifier(path.stem):
        return "its name is no table's name"
    try:
        regular_file(path)
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return error.strerror or str(error).partition(":")[0]
    return ""


def _targets_file(pair: Pair, folder: Path, tables: Sequence[Path]) -> Path:
    names = (f"targets{_SUFFIX}", f"{targets_table(pair)}{_SUFFIX}")
    found = [path for path in tables if path.name in names]
    if len(found) == 1:
        return found[0]
    raise MergeRefused(
        f"{pair}",
        got=f"{'both' if found else 'neither'} {' and '.join(names)} in {folder}",
        expected="slabs with their extraction.json, or raw checkpoints with one targets file",
        cure=f"Extract first: bqx extract {pair}",
    )


def _refuse_unfit(pair: Pair, folder: Path, tables: Sequence[RawFile]) -> None:
    keyless = [file.table for file in tables if KEY not in file.types]
    second = [file.table for file in tables if file.table.lower().split("_")[0] == "targets"]
    if keyless or second or not tables:
        names = ", ".join((keyless or second)[:_NAMED])
        trouble = f"no {KEY} in {names}" if keyless else f"more targets: {names}" if second else "no table"
        raise MergeRefused(
            f"{pair}",
            got=f"{trouble} in {folder}",
            expected=f"one targets file, and feature tables each with {KEY}",
            cure=f"Move such files away, or extract anew: bqx extract {pair}",
        )


def _family_order(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _read_spine(file: RawFile, settings: Settings) -> tuple[RawSpine, SpinePart]:
    """Read the rows whose shortest target is known, one a key, ascending, within the settings' bounds."""
    expectations = load_expectations(settings.expectations)
    targets = expectations.targets()
    names = (KEY, *targets)
    absent = [name for name in names if name not in file.types]
    if absent:
        raise SchemaDrift(
            file.subject,
            got=f"{len(absent)} columns absent: {', '.join(absent[:5])}",
            expected=f"{KEY} and {len(names) - 1} targets",
            cure="Fetch the targets again.",
        )
    file.refuse_types(targets, NUMBERS)
    check_memory(targets_memory_bytes(file, names), file.subject)
    read = file.rows(names, floats=True)
    if (last := settings.last_span) is not None:
        read = latest_rows(read, expectations.shortest_target(), last, file.subject)
    within = [pl.col(KEY) >= settings.start] if settings.start else []
    within += [pl.col(KEY) <= settings.end] if settings.end else []
    frame, rows = spine_rows(read, expectations.shortest_target(), file.subject, settings.duplicates, *within)
    facts = describe_spine(frame.get_column(KEY), settings.row_group_rows)
    forward = ForwardLook(((window, frame) for window in expectations.windows), expectations.horizons)
    columns = tuple(Column(name=name, source=name, type="TIMESTAMP" if name == KEY else "FLOAT64") for name in names)
    spine = RawSpine(facts, frame.get_column(KEY), forward, periods_of(frame.get_column(KEY)))
    return spine, SpinePart(file, spine, settings, columns, rows)
