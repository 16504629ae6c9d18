"""Merges one pair: finds its checkpoints, plans the merge of slabs or raw checkpoints, and writes file and manifest.

The splice is the product's engine. The join, which decodes everything, is the readable engine that the splice is tested
against, and may be chosen for small pairs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import polars as pl

from bqx_assets.base.artifacts import EXTRACTION_FILE, Manifest, SlabRecord, load_record, manifest_path, save_record
from bqx_assets.base.checksums import sums_of_files
from bqx_assets.base.errors import (
    BadSetting,
    CheckpointCorrupt,
    ForeignFile,
    MergeRefused,
    NewerFormat,
    ObjectMissing,
)
from bqx_assets.base.files import FILE, kind_of, locked_folder, read_regular, remove_partials
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.process import PeakMemory, keep_freed_memory
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.settings import Settings, training_name
from bqx_assets.base.store.open_store import bucket_at
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.extract.slabs import SPINE_FILE
from bqx_assets.merge.plan import MergePlan, check_disk, check_memory, place_of, refuse_collisions
from bqx_assets.merge.raw import list_checkpoints, plan_raw
from bqx_assets.merge.result import MergeResult, manifest_of, own_metadata
from bqx_assets.merge.slab_parts import SlabPart, objects_in, plan_slabs
from bqx_assets.merge.splice import COMPOSE, Splice, compose

_CELL_BYTES = 8
_NAMED = 5
_COPIES = 3
"""Copies of the table that a join has in memory: both of its sides and its result."""
_KEPT_BYTES = 8 << 20
"""Freed memory that each arena keeps for the next strips. With 64 MiB a raw merge of 40 tables x 240,000 rows took
450 MB in place of 420, and a fiftieth less processor time."""


class Engine(Protocol):
    """A way to write one wide parquet file by a plan."""

    @property
    def name(self) -> str:
        """Its name as ``--engine`` takes it and manifests record it."""
        ...

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return the memory that the merge takes."""
        ...

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> MergeResult:
        """Write the file, with temporary files beside it; advance stage "merge" by one step a part."""
        ...


class Join:
    """The simple engine that the splice is tested against: chained left joins on the key. Implements ``Engine``."""

    name = "join"

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return three times the size of the whole table."""
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
            merged = merged.join(pl.DataFrame([keys, *table]), on=KEY, how="left", maintain_order="left")
            records.append(record)
            progress.advance("merge", record.table)
        merged.write_parquet(
            target,
            row_group_size=max(plan.extraction.spine.row_groups),
            metadata=own_metadata(plan.extraction, self.name, records),
        )
        return MergeResult(*sums_of_files([(target, 0)]), merged.width, tuple(records))


def plan_merge(pair: Pair, store: ObjectStore, settings: Settings, *, prefix: str = "") -> MergePlan:
    """Return the merge of a pair's checkpoints under ``prefix``: slabs by their record, else raw checkpoints.

    **Cost**: a listing, and the footers: about 90 bytes a column, in a bucket one or two requests a table. Of raw
    checkpoints the targets are read as well.

    Raises:
        MergeRefused: a table is missing, failed, superfluous, another pair's or replaced meanwhile; or the extraction
            did not end.
        ColumnCollision: two tables have a column of the same name.
        CheckpointMismatch: a slab is not the recorded one.
        CheckpointCorrupt, FooterError: the record or a slab is damaged.
        TableDefect: the raw targets cannot be a spine.
    """
    if store.head(f"{prefix}{EXTRACTION_FILE}") is not None:
        return plan_slabs(pair, store, prefix)
    if store.head(f"{prefix}{SPINE_FILE}") is not None:
        # Read as raw checkpoints, the slabs that are there would give a file that lacks the others.
        raise MergeRefused(
            place_of(store, prefix),
            got=f"{SPINE_FILE} without {EXTRACTION_FILE}: an extraction that did not end",
            expected="all slabs of an extraction, or raw checkpoints",
            cure=f"Extract the rest: bqx extract {pair}",
        )
    return plan_raw(pair, list_checkpoints(pair, store, prefix), settings)


def merge(plan: MergePlan, store: ObjectStore, name: str, *, engine: str = Splice.name, progress: Progress) -> Manifest:
    """Make object ``name`` of the plan's parts, and its manifest beside it; return the manifest.

    Slabs that are objects of the same bucket are composed there. Otherwise the file is written on this machine and
    handed over to the store: in a folder it is renamed.
    **Shape**: the spine's rows x the parts' columns. Both files are whole or absent. In a folder an earlier manifest is
    removed before the new file appears, so that no manifest ever lies beside a file that it does not describe.

    Raises:
        NotEnoughDisk, NotEnoughMemory: the merge would not fit.
        BadSetting: there is no such engine, or the output is not a file, or is one of the checkpoints.
        CheckpointMismatch, FooterError, TableDefect: a part is not what the plan saw; an earlier output stays.
        ChecksumMismatch, PreconditionFailed: as ``compose``.
    """
    slabs = objects_in(plan, store)
    plan = replace(plan, earlier=() if plan.extraction.slabs else _earlier(store, name))
    chosen = engine_named(engine, composes=bool(slabs))
    target = store.local_path(name)
    if target is not None:
        _refuse_unfit(plan, target)
        remove_partials(target.parent)
    keep_freed_memory(_KEPT_BYTES)
    subject = f"{plan.pair}"
    if not slabs:
        check_disk(target.parent if target else Path(tempfile.gettempdir()), plan.size_bytes, subject)
    also = "" if chosen.name == Splice.name else f", or use --engine {Splice.name}"
    check_memory(chosen.memory_bytes(plan), subject, also=also)
    progress.start("merge", len(plan.parts) * plan.periods + 1)
    if plan.left_out:
        progress.warn("merge", f"left out, being no table: {', '.join(plan.left_out)}")
    with PeakMemory() as memory:
        manifest = (
            _composed(plan, slabs, store, name, progress) if slabs else _written(plan, chosen, store, name, progress)
        )
    progress.advance(
        "merge", name, f"{manifest.file.size_bytes / 1e6:,.1f} MB, peak memory {memory.peak_bytes / 1e6:,.0f} MB"
    )
    return manifest


def _earlier(store: ObjectStore, name: str) -> tuple[SlabRecord, ...]:
    """Return the slabs of the training file that is there; nothing where there is none, or one of another version."""
    with suppress(CheckpointCorrupt, NewerFormat):
        return load_record(store, _manifest_name(name), Manifest).extraction.slabs
    return ()


def _composed(plan: MergePlan, slabs: list[SlabPart], store: ObjectStore, name: str, progress: Progress) -> Manifest:
    with waiting(progress, "merge", at_work("the bucket lays slabs end to end")):
        result = compose(plan, slabs, store, name)
    for part in plan.parts * plan.periods:
        progress.advance("merge", part.table)
    manifest = _manifest(plan, COMPOSE, result, name)
    save_record(store, _manifest_name(name), manifest)
    return manifest


def _written(plan: MergePlan, engine: Engine, store: ObjectStore, name: str, progress: Progress) -> Manifest:
    with store.scratch(name) as scratch, waiting(progress, "merge", at_work("writing")):
        file = scratch / PurePosixPath(name).name
        result = engine.write(plan, file, progress)
        _refuse_other(plan, result)
        manifest, path = _manifest(plan, engine.name, result, name), store.local_path(name)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        # Without the lock, a merge into the same folder at the same time could end with the manifest of this one
        # beside its own file. Writes with conditions would wait for the lock.
        with nullcontext() if path is None else locked_folder(path.parent):
            with suppress(ObjectMissing):
                store.delete(_manifest_name(name))
            store.put_file(name, file, move=True)
            store.put_bytes(_manifest_name(name), manifest.as_json())
    return manifest


def _manifest(plan: MergePlan, engine: str, result: MergeResult, name: str) -> Manifest:
    return manifest_of(plan.extraction, PurePosixPath(name).name, engine, result)


def _manifest_name(name: str) -> str:
    return manifest_path(Path(name)).as_posix()


def engine_named(name: str, *, composes: bool) -> Engine:
    """Return the engine of that name; ``composes``: the slabs lie in a bucket that composes them.

    Raises:
        BadSetting: there is no such engine, or it cannot merge where the slabs are.
    """
    if composes and name != Splice.name:
        raise BadSetting(
            "engine",
            got=name,
            expected=f"{Splice.name}, where slabs are in a bucket",
            cure="Name a folder of slabs with --checkpoint-dir.",
        )
    engines: tuple[Engine, ...] = (Splice(), Join())
    for each in engines:
        if each.name == name:
            return each
    raise BadSetting("engine", got=repr(name), expected="splice or join", cure="--engine splice")


def _refuse_unfit(plan: MergePlan, output: Path) -> None:
    """Refuse an output that the training file cannot or must not replace, before minutes of work and not after."""
    if not output.exists():
        return
    if (kind := kind_of(output.stat().st_mode)) != FILE:
        raise BadSetting(
            f"output {output}", got=kind, expected="a new file, or one to replace", cure="Name a file with --output."
        )
    paths = [path for part in plan.parts for path in part.paths]
    if any(path.exists() and output.samefile(path) for path in paths):  # a missing one is named when its turn comes
        raise BadSetting(
            f"output {output}",
            got="one of the checkpoints that the file is made from: it would be lost",
            expected="a new file, or an earlier training file",
            cure="Name another file with --output.",
        )


def _refuse_other(plan: MergePlan, result: MergeResult) -> None:
    """Check the engine's work before it becomes visible: every part once and in order, and every recorded column."""
    tables = [slab.table for slab in result.slabs]
    columns = sum(len(slab.provenance.columns) for slab in result.slabs)
    if tables != [part.table for part in plan.parts] or columns != result.columns:
        raise MergeRefused(
            f"{plan.pair}",
            got=f"{len(tables):,} tables, {result.columns:,} columns",
            expected=f"{len(plan.parts):,} tables, {columns:,} columns",
            cure="Merge again.",
        )
    refuse_collisions(plan.pair, result.slabs)


def checkpoints_of(pair: Pair, root: Path) -> Path:
    """Return ``root/pair``, or ``root`` if it contains the checkpoints itself, as folders of other origin do.

    Raises:
        MergeRefused: there is neither.
    """
    own = root / pair.name
    if own.is_dir():
        return own
    if any((root / name).is_file() for name in _first_files(pair)):
        return root
    others = sorted(path.name for path in root.glob("targets_*.parquet")) if root.is_dir() else []
    raise _no_checkpoints(pair, str(root), others, f"bqx extract {pair}, or correct --checkpoint-dir")


def bucket_checkpoints_of(pair: Pair, root: str) -> ObjectStore:
    """Return a store of ``root/pair``, or of ``root`` if the bucket has the checkpoints there.

    A folder ``pair`` is accepted whatever it contains, so that a later error names what it lacks. A bucket has no
    folders: an object that every folder of checkpoints has must be there.

    Raises:
        MergeRefused: there is neither. StoreError: the bucket cannot be read.
    """
    root = root.rstrip("/")
    for place in (f"{root}/{pair}", root):
        store = bucket_at(place)
        if any(store.head(name) is not None for name in _first_files(pair)):
            return store
    others = [info.name for info in bucket_at(root).list_objects("targets_") if "/" not in info.name]
    raise _no_checkpoints(pair, root, others, f"Correct --checkpoint-dir; what is there: gcloud storage ls {root}")


def _first_files(pair: Pair) -> tuple[str, ...]:
    """Return the names of which at least one is in every folder of checkpoints."""
    return ("targets.parquet", f"targets_{pair}.parquet", EXTRACTION_FILE)


def _no_checkpoints(pair: Pair, root: str, others: Sequence[str], cure: str) -> MergeRefused:
    """Return the error for a place without the pair's checkpoints; ``others``: targets of other pairs there."""
    besides = f" of it, but {some_of(others, _NAMED)}" if others else ""
    expected = "the slabs of an extraction, or targets.parquet and *.parquet"
    return MergeRefused(root, got=f"neither a folder {pair} nor checkpoints{besides}", expected=expected, cure=cure)


def refuse_foreign(manifest: Path) -> None:
    """Refuse to write a manifest over a file of the same name that is no manifest, because it may be anybody's.

    Raises:
        ForeignFile: such a file is there.
    """
    try:
        facts = json.loads(read_regular(manifest))
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict) or not {"format_version", "pair", "extraction"} <= facts.keys():
        raise ForeignFile(
            str(manifest),
            got="a file that is no manifest of a training file",
            expected="nothing, or the manifest of an earlier merge, in whose place the new one is written",
            cure="Move it away, or name another file with --output.",
        )


def refuse_published(folder: Path, target: Path) -> None:
    """Refuse to merge over a published file: ``verify`` would call bytes published that no check has seen.

    Raises:
        BadSetting: the target is one.
    """
    wanted = target.resolve()
    for pair in ALL_PAIRS:
        if (folder / training_name(pair)).resolve() == wanted:
            raise BadSetting(
                f"output {target}",
                got=f"the place of {pair}'s published file",
                expected="another file, which a publication checks and copies there",
                cure=f"Name another file with --output, then: bqx publish {pair} --file FILE",
            )
