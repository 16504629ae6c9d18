"""One pair's merge from plan to file and manifest.

Belongs here: pre-flight, the choice of engine, and the two files that become visible. Does not: either engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import EXTRACTION_FILE, Manifest, SlabRecord, manifest_path
from bqx_assets.base.checksums import sums_of_files
from bqx_assets.base.errors import BadSetting, MergeRefused
from bqx_assets.base.files import FILE, atomic_path, kind_of, remove_partials
from bqx_assets.base.freed import keep_freed_memory
from bqx_assets.base.limits import PeakMemory
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.merge.plan import MergePlan, check_disk, check_memory, plan_slabs, refuse_collisions
from bqx_assets.merge.raw import list_folder, list_objects, plan_raw
from bqx_assets.merge.result import Engine, MergeResult, manifest_of, own_metadata
from bqx_assets.merge.splice import Splice

_CELL_BYTES = 8
_COPIES = 3
"""Both sides of a join and its result."""


class Join:
    """The engine for reading, and for small pairs."""

    name = "join"

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return what the whole table takes, three times."""
        encoded_bytes = sum(part.size_bytes for part in plan.parts)
        return _COPIES * max(plan.extraction.spine.rows * plan.column_count * _CELL_BYTES, encoded_bytes)

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> MergeResult:
        """Join all parts and write the result. **Cost**: the whole table in memory, about three times."""
        spine_part, *others = plan.parts
        merged, record = spine_part.frame()
        keys = merged.get_column(KEY)
        records: list[SlabRecord] = [record]
        progress.advance("merge", record.table)
        for part in others:
            table, record = part.frame()
            merged = merged.join(table.with_columns(keys), on=KEY, how="left", maintain_order="left")
            records.append(record)
            progress.advance("merge", record.table)
        _write(merged, target, plan, records)
        return MergeResult(*sums_of_files([(target, 0)]), merged.width, tuple(records))


def _write(merged: pl.DataFrame, target: Path, plan: MergePlan, records: Sequence[SlabRecord]) -> None:
    merged.write_parquet(
        target,
        compression="zstd",
        row_group_size=max(plan.extraction.spine.row_groups),
        metadata=own_metadata(plan.extraction, Join.name, records),
    )


def plan_merge(pair: Pair, folder: Path, settings: Settings) -> MergePlan:
    """Return the merge of a pair's checkpoint folder: slabs by their record, else raw checkpoints.

    **Cost**: reads the footers, about 90 bytes a column; of raw checkpoints the targets as well.

    Raises:
        MergeRefused: a table is missing, failed or superfluous, or the folder holds another pair.
        ColumnCollision: two tables give one column name.
        CheckpointMismatch: a slab is not the recorded one.
        CheckpointCorrupt, FooterError: the record or a slab is damaged.
        TableDefect: raw targets cannot be a spine.
    """
    if (folder / EXTRACTION_FILE).is_file():
        return plan_slabs(pair, folder)
    return plan_raw(pair, list_folder(pair, folder), settings)


def plan_merge_of_objects(pair: Pair, store: ObjectStore, place: str, settings: Settings) -> MergePlan:
    """Return the merge of raw checkpoints that are a store's objects, ``place`` as a user names it.

    **Cost**: a listing, two requests an object for its footer, and the targets.

    Raises as ``plan_merge``, and:
        MergeRefused: an object is replaced while it is read, or these are slabs of an extraction.
    """
    if store.head(EXTRACTION_FILE) is not None:
        raise MergeRefused(
            place,
            got=f"slabs of an extraction, with their {EXTRACTION_FILE}",
            expected="raw checkpoints: slabs in a bucket are merged there",
            cure=f"Merge them where they are, with BQX_OUTPUT and without --checkpoint-dir: bqx merge {pair}",
        )
    return plan_raw(pair, list_objects(pair, store, place), settings)


def merge(plan: MergePlan, output: Path, *, engine: str = "splice", progress: Progress) -> Manifest:
    """Write the plan's training file as ``output`` and its manifest beside it; return the manifest.

    **Shape**: the spine's rows x the parts' columns. Both files are whole or not there; an earlier manifest goes
    before the new file comes, so none ever lies beside a file it does not speak of.

    Raises:
        NotEnoughDisk, NotEnoughMemory: pre-flight.
        BadSetting: no such engine, or an output that is no file, or one of the checkpoints.
        CheckpointMismatch, FooterError, TableDefect: a part is not what the plan saw; an earlier output stays.
    """
    chosen = _engine(engine)
    _refuse_unfit(plan, output)
    keep_freed_memory()
    subject = f"{plan.pair}"
    check_disk(output.parent, plan.size_bytes, subject)
    also = "" if chosen.name == Splice.name else f", or use --engine {Splice.name}"
    check_memory(chosen.memory_bytes(plan), subject, also=also)
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(output.parent)
    progress.start("merge", len(plan.parts) + 1)
    if plan.left_out:
        progress.warn("merge", f"left out, being no table: {', '.join(plan.left_out)}")
    with PeakMemory() as memory, atomic_path(output) as temp, waiting(progress, "merge", at_work("writing")):
        written = chosen.write(plan, temp, progress)
        _refuse_other(plan, written)
        manifest = manifest_of(plan.extraction, output.name, chosen.name, written)
        manifest_path(output).unlink(missing_ok=True)
    manifest.save(manifest_path(output))
    progress.advance("merge", output.name, f"peak memory {memory.peak_bytes / 1e6:,.0f} MB")
    return manifest


def _engine(name: str) -> Engine:
    engines: tuple[Engine, ...] = (Splice(), Join())
    for each in engines:
        if each.name == name:
            return each
    raise BadSetting("engine", got=repr(name), expected="splice or join", cure="--engine splice")


def _refuse_unfit(plan: MergePlan, output: Path) -> None:
    """Refuse what the training file cannot or must not take the place of, before minutes of work and not after."""
    if not output.exists():
        return
    if (kind := kind_of(output.stat().st_mode)) != FILE:
        raise BadSetting(
            f"output {output}", got=kind, expected="a new file, or one to replace", cure="Name a file with --output."
        )
    if any(part.path is not None and output.samefile(part.path) for part in plan.parts):
        raise BadSetting(
            f"output {output}",
            got="one of the checkpoints that the file is to be made of: it would be lost",
            expected="a new file, or an earlier training file",
            cure="Name another file with --output.",
        )


def _refuse_other(plan: MergePlan, written: MergeResult) -> None:
    """Check the engines' own work a last time: every part once, in order, and every recorded column."""
    tables = [slab.table for slab in written.slabs]
    columns = sum(len(slab.provenance.columns) for slab in written.slabs)
    if tables != [part.table for part in plan.parts] or columns != written.columns:
        raise MergeRefused(
            f"{plan.pair}",
            got=f"{len(tables):,} tables, {written.columns:,} columns",
            expected=f"{len(plan.parts):,} tables, {columns:,} columns",
            cure="Merge again.",
        )
    refuse_collisions(plan.pair, written.slabs)
