"""Checkpoint folders of another origin: targets and tables with ``interval_time``, rows in any order.

Belongs here: reading such a folder as a merge's parts, a spine from its targets. Does not: slabs of our own
extraction (``plan``), or how one table becomes a slab (``raw_table``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import Column, ExtractionRecord
from bqx_assets.base.errors import ColumnCollision, FooterError, MergeRefused, SchemaDrift
from bqx_assets.base.frame_files import parquet_schema
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import FAMILIES, PAIR_COLUMN, targets_table
from bqx_assets.extract.leaks import ForwardLook
from bqx_assets.extract.spine import describe_spine, spine_rows
from bqx_assets.merge.parts import Part
from bqx_assets.merge.raw_table import RawSpine, RawTable, SpinePart, raw_family, read_rows

_NAMED = 10


def plan_raw(pair: Pair, folder: Path, settings: Settings) -> tuple[ExtractionRecord, list[Part]]:
    """Return the record, its slabs yet to come, and the parts of a folder of raw checkpoints, spine first.

    **Cost**: the targets in memory, 50 columns; of the tables the schemas only.

    Raises:
        MergeRefused: no targets, no table, a file without ``interval_time``.
        ColumnCollision, SchemaDrift, NullKeys, DuplicateKeys, EmptyTable, FooterError: as they say.
    """
    targets = _targets_file(pair, folder)
    others = sorted(path for path in folder.glob("*.parquet") if path != targets and not path.name.startswith("."))
    tables = {path: _schema(path, f"{pair}/{path.stem}") for path in others}
    _refuse_unfit(pair, folder, tables)
    spine, spine_part = _read_spine(pair, targets, settings)
    parts = [RawTable(path, pair, spine, settings, tuple(schema)) for path, schema in tables.items()]
    parts.sort(key=lambda part: (_family_order(raw_family(part.table, pair)), part.table))
    _refuse_collisions(pair, parts)
    newest = max(path.stat().st_mtime for path in (targets, *others))
    extraction = ExtractionRecord(
        pair=pair.name,
        snapshot_time=datetime.fromtimestamp(newest, UTC),
        spine=spine.facts,
        slabs=(),
        forward_looking_included=settings.include_forward_looking,
        origin="raw checkpoints",
    )
    return extraction, [spine_part, *parts]


def _targets_file(pair: Pair, folder: Path) -> Path:
    names = ("targets.parquet", f"{targets_table(pair)}.parquet")
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    raise MergeRefused(
        f"{pair}",
        got=f"{'both' if found else 'neither'} {' and '.join(names)} in {folder}",
        expected="slabs with their extraction.json, or raw checkpoints with one targets file",
        cure=f"Extract first: bqx extract {pair}",
    )


def _schema(path: Path, subject: str) -> dict[str, pl.DataType]:
    try:
        return parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FooterError(
            subject, got=str(error).splitlines()[0], expected="a whole parquet file", cure="Fetch it again."
        ) from error


def _refuse_unfit(pair: Pair, folder: Path, tables: dict[Path, dict[str, pl.DataType]]) -> None:
    keyless = [path.stem for path, schema in tables.items() if KEY not in schema]
    second = [path.stem for path in tables if path.stem.split("_")[0] == "targets"]
    if keyless or second or not tables:
        names = ", ".join((keyless or second)[:_NAMED])
        trouble = f"no {KEY} in {names}" if keyless else f"more targets: {names}" if second else "no table"
        raise MergeRefused(
            f"{pair}",
            got=f"{trouble} in {folder}",
            expected=f"one targets file, and feature tables each with {KEY}",
            cure=f"Move such files away, or extract anew: bqx extract {pair}",
        )
    for path, schema in tables.items():
        if not schema[KEY].is_temporal() or schema[KEY].base_type() not in (pl.Datetime, pl.Date):
            raise SchemaDrift(
                f"{pair}/{path.stem}", got=f"{KEY} {schema[KEY]}", expected="timestamps", cure="Convert the column."
            )


def _refuse_collisions(pair: Pair, parts: Sequence[RawTable]) -> None:
    count = Counter(column.name for part in parts for column in part.columns)
    repeated = {name for name, times in count.items() if times > 1}
    if repeated:
        tables = [part.table for part in parts if any(column.name in repeated for column in part.columns)]
        raise ColumnCollision(
            f"{pair}",
            got=f"{', '.join(sorted(repeated)[:_NAMED])} from {', '.join(tables[:_NAMED])}",
            expected="one table a column",
            cure="Rename one of the files.",
        )


def _family_order(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _read_spine(pair: Pair, path: Path, settings: Settings) -> tuple[RawSpine, SpinePart]:
    """Read the rows whose shortest target is known, one a key, ascending, within the settings' bounds."""
    subject = f"{pair}/{path.stem}"
    expectations = load_expectations(settings.expectations)
    names = (KEY, *expectations.targets())
    schema = _schema(path, subject)
    absent = [name for name in names if name not in schema]
    if absent:
        raise SchemaDrift(
            subject,
            got=f"{len(absent)} columns absent: {', '.join(absent[:5])}",
            expected=f"{KEY} and {len(names) - 1} targets",
            cure="Fetch the targets again.",
        )
    read = read_rows(path, pair, [*names, *(PAIR_COLUMN for _ in (0,) if PAIR_COLUMN in schema)], subject)
    within = [pl.col(KEY) >= settings.start] if settings.start else []
    within += [pl.col(KEY) <= settings.end] if settings.end else []
    frame, rows = spine_rows(read, expectations.shortest_target(), subject, settings.duplicates, *within)
    facts = describe_spine(frame.get_column(KEY), settings.row_group_rows)
    forward = ForwardLook(((window, frame) for window in expectations.windows), expectations.horizons)
    columns = tuple(Column(name=name, source=name, type="TIMESTAMP" if name == KEY else "FLOAT64") for name in names)
    spine = RawSpine(facts, frame.get_column(KEY), forward)
    return spine, SpinePart(path, pair, spine, settings, columns, rows)
