"""One pair's merge from plan to file and manifest.

Belongs here: pre-flight, the choice of engine, and the two files that become visible. Does not: either engine.
"""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.errors import BadSetting, MergeRefused
from bqx_assets.base.files import FILE, atomic_path, kind_of, remove_partials
from bqx_assets.base.freed import keep_freed_memory
from bqx_assets.base.limits import PeakMemory
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.merge.join import Join
from bqx_assets.merge.plan import MergePlan, refuse_collisions
from bqx_assets.merge.preflight import check_disk, check_memory
from bqx_assets.merge.splice import Splice
from bqx_assets.merge.written import Engine, Written, manifest_of


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


def _refuse_other(plan: MergePlan, written: Written) -> None:
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
