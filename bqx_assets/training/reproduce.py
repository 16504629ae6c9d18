"""Judges whether a training file can be made again, by its manifest and what there is now; no row is read.

A piece of a slab is made again without reading while it is kept with the fingerprint that the manifest states. Else
its table must be as it was, and code and settings too: then its present fingerprint is the stated one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from bqx_assets.base.artifacts import Manifest, Record, SlabRecord, library_versions
from bqx_assets.base.errors import CheckpointCorrupt, TableMissing
from bqx_assets.base.names import target_parts
from bqx_assets.dictionary.build import BIGQUERY
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.periods import ALL, bounds_in
from bqx_assets.extract.slab_records import SpineRecord, source_of
from bqx_assets.extract.table import piece_fingerprint
from bqx_assets.quality.report import Report

_TIME_TRAVEL = timedelta(days=7)
"""The longest time for which BigQuery keeps rows that were changed or deleted; a dataset may say as few as two days."""
Way = Literal["pieces", "reading", "not"]
TableState = Literal["unchanged", "changed", "gone", "settings", "new"]
"""``unchanged``: reading it gives the missing pieces. ``settings``: the table is unchanged, but code, settings, columns
or keys differ. ``new``: an extraction would read it, and the file does not have it."""


class TableVerdict(Record):
    """The way in which the part of one table can be made again."""

    table: str
    state: TableState
    pieces: int
    missing: int
    """Pieces that are not kept, or only in another version."""
    detail: str = ""


class Reproduction(Record):
    """The answer whether a training file can be made again, and what differs from when it was made."""

    pair: str
    content_digest: str | None
    way: Way
    """``pieces``: without reading the warehouse. ``reading``: an extraction must read what is missing, which is nothing
    where only the last extraction was not complete or had other rows. ``not``: no longer."""
    tables: tuple[TableVerdict, ...]
    """Tables whose pieces are not all kept; if there are some, also those that an extraction would read anew, though
    their pieces are kept, because they changed."""
    kept_tables: int
    notes: tuple[str, ...]
    """What may change other things than the values: libraries, which change the bytes, and expectations. And whether
    BigQuery still has the rows of the snapshot."""

    @property
    def possible(self) -> bool:
        """Return whether a file with the same content digest can be made."""
        return self.way != "not"


def reproduction(
    manifest: Manifest, job: Extraction, expectations_sha256: str = "", at: datetime | None = None
) -> Reproduction:
    """Return whether the manifest's file can be made again from the job's slabs and warehouse; ``at`` is the time now.

    **Cost**: the records of slabs; if a piece is missing, descriptions of the tables and states of their months.

    Raises:
        WarehouseError, StoreError: pieces are missing, and the warehouse or the store does not answer.
        CheckpointCorrupt: the manifest has not one spine, or names no months.
    """
    kept = {slab.table: _missing(slab, job) for slab in manifest.extraction.slabs}
    lacking = [slab for slab in manifest.extraction.slabs if kept[slab.table]]
    tables: list[TableVerdict] = []
    ready = not lacking and _is_extraction(manifest, job)
    if not ready:
        now = _Now(manifest, job)
        tables = [now.verdict(slab, kept[slab.table]) for slab in lacking]
        # An extraction that reads what is missing reads these too: no command keeps a piece of a table that changed.
        tables += now.moved(kept)
        tables += now.added(kept)
    lost = any(each.state != "unchanged" for each in tables)
    return Reproduction(
        pair=manifest.pair,
        content_digest=manifest.file.content_digest,
        way="not" if lost else "pieces" if ready else "reading",
        tables=tuple(tables),
        kept_tables=len(kept) - len(lacking),
        notes=(
            *_other_libraries(manifest.versions),
            *_other_expectations(manifest, expectations_sha256),
            *(_time_travel(manifest, tables, at or datetime.now(UTC)) if lost else ()),
        ),
    )


def _missing(slab: SlabRecord, job: Extraction) -> list[str]:
    """Return the periods of a slab of which no piece with the manifest's fingerprint is kept."""
    found = job.slabs.kept(slab.table)
    kept = {each.piece.period: each.piece.fingerprint for each in found.pieces} if found is not None else {}
    there = {piece.period for piece in job.slabs.there(slab).pieces}
    return [
        piece.period
        for piece in slab.pieces
        if piece.period not in there or kept.get(piece.period) != piece.fingerprint
    ]


def _is_extraction(manifest: Manifest, job: Extraction) -> bool:
    """Return whether the last extraction, which a merge takes, is complete and has the manifest's pieces alone."""
    try:
        last = job.slabs.load_extraction()
    except CheckpointCorrupt:
        return False
    return not last.failed and _pieces(last.slabs) == _pieces(manifest.extraction.slabs)


def _pieces(slabs: Sequence[SlabRecord]) -> list[tuple[str, list[str]]]:
    return [(slab.table, [piece.fingerprint for piece in slab.pieces]) for slab in slabs]


class _Now:
    """The present warehouse, compared with the sources that a manifest states."""

    def __init__(self, manifest: Manifest, job: Extraction) -> None:
        self._job, self._extraction = job, manifest.extraction
        self._catalogue = job.catalogue()
        self._states = job.states(self._catalogue)
        self._spine = _spine_of(manifest)
        targets = self._catalogue.targets
        self._described = {each.description.table: each.description for each in self._catalogue.tables}
        self._described[targets.table] = targets
        self._features = {each.description.table: each for each in self._catalogue.tables}

    def verdict(self, slab: SlabRecord, missing: Sequence[str]) -> TableVerdict:
        """Return how the missing pieces of a slab can be made."""
        state, detail = self._state(slab, missing)
        return TableVerdict(table=slab.table, state=state, pieces=len(slab.pieces), missing=len(missing), detail=detail)

    def moved(self, kept: Mapping[str, Sequence[str]]) -> list[TableVerdict]:
        """Return the verdicts on tables that are kept and would be read anew, or give other rows."""
        slabs = [slab for slab in self._extraction.slabs if not kept[slab.table]]
        found = [(slab, *self._state(slab, [piece.period for piece in slab.pieces])) for slab in slabs]
        return [
            TableVerdict(table=slab.table, state=state, pieces=len(slab.pieces), missing=0, detail=detail)
            for slab, state, detail in found
            if state != "unchanged"
        ]

    def added(self, kept: Mapping[str, Sequence[str]]) -> list[TableVerdict]:
        """Return the verdicts on tables that an extraction would add."""
        return [
            TableVerdict(table=table, state="new", pieces=0, missing=0, detail="not in the file")
            for table in self._features
            if table not in kept
        ]

    def _state(self, slab: SlabRecord, missing: Sequence[str]) -> tuple[TableState, str]:
        there = self._described.get(slab.table)
        if there is None:
            problem = self._catalogue.problems.get(slab.table)
            gone = problem is None or isinstance(problem, TableMissing)
            return "gone" if gone else "changed", str(problem or "no such table")
        before, now = slab.provenance.source, source_of(there)
        same_table = (before.etag, before.last_modified) == (now.etag, now.last_modified)
        if self._makes_them(slab, missing, same_table=same_table):
            return "unchanged", ""
        if same_table:
            return "settings", "the table is as it was; code, settings, its columns or the rows asked for are others"
        return (
            "changed",
            f"modified {now.last_modified:%Y-%m-%d %H:%M}, read as of {before.last_modified:%Y-%m-%d %H:%M}",
        )

    def _makes_them(self, slab: SlabRecord, missing: Sequence[str], *, same_table: bool) -> bool:
        """Return whether reading the table now gives pieces with the manifest's fingerprints."""
        if slab.provenance.role == "spine":
            return same_table and self._extraction.span == self._job.settings.span
        table = self._features[slab.table]
        marks = {piece.period: piece.fingerprint for piece in slab.pieces}
        return all(
            piece_fingerprint(self._job, self._states, table, self._spine, name) == marks[name] for name in missing
        )


def _spine_of(manifest: Manifest) -> SpineRecord:
    """Return the spine's record as far as a manifest states it: bounds are those of the periods."""
    spine = manifest.extraction.spine
    try:
        (slab,) = (each for each in manifest.extraction.slabs if each.provenance.role == "spine")
        inner = [
            bounds_in(piece.period) if piece.period not in {"", ALL} else (spine.first, spine.last)
            for piece in slab.pieces
        ]
    except ValueError as error:
        raise CheckpointCorrupt(
            f"the manifest of {manifest.pair}",
            got=f"no spine, or periods that are none: {error}",
            expected="one slab that is the spine, of periods such as 2024-01",
            cure="Name the manifest that was published with the file.",
        ) from error
    bounds = tuple((max(first, spine.first), min(last, spine.last)) for first, last in inner)
    return SpineRecord(spine=spine, slab=slab, snapshot_time=manifest.extraction.snapshot_time, bounds=bounds)


def _other_libraries(before: Mapping[str, str]) -> list[str]:
    now = library_versions()
    others = [f"{name} {old} (now {now.get(name, 'none')})" for name, old in before.items() if now.get(name) != old]
    return [f"made with {', '.join(others)}: bytes may differ, values do not"] if others else []


def _other_expectations(manifest: Manifest, now: str) -> list[str]:
    judged = manifest.expectations
    if judged is None or not now or judged.sha256 == now:
        return []
    return [f"checked against other expectations ({judged.place}, {judged.sha256[:12]}) than those in force"]


def _time_travel(manifest: Manifest, tables: Sequence[TableVerdict], at: datetime) -> list[str]:
    """Return what is true of BigQuery's earlier rows, if the manifest's tables lie there."""
    if not manifest.extraction.origin.startswith(BIGQUERY):
        return []
    snapshot = manifest.extraction.snapshot_time
    if at - snapshot >= _TIME_TRAVEL:
        return [f"BigQuery keeps earlier rows for 7 days at most: those of {snapshot:%Y-%m-%d %H:%M} UTC are gone"]
    found = [
        f"BigQuery keeps the rows of the snapshot until {snapshot + _TIME_TRAVEL:%Y-%m-%d %H:%M} UTC, if the "
        "dataset keeps 7 days; bqx extract reads only the present ones"
    ]
    project = manifest.extraction.origin.removeprefix(BIGQUERY)
    sources = {slab.table: slab.provenance.source for slab in manifest.extraction.slabs}
    lost = [sources[each.table] for each in tables if each.state in ("changed", "gone") and each.table in sources]
    for source in lost[:1]:
        place = f"{project}:{source.dataset}.{source.table}"
        moment = int(snapshot.timestamp() * 1000)
        found.append(f"to save a table as it was: bq cp '{place}@{moment}' '{place}_as_it_was'")
    return found


def model_card(manifest: Manifest, generation: int | str | None = None, report: Report | None = None) -> str:
    """Return Markdown for a model card: which data a model was trained on, and how to load exactly these again.

    ``report`` is the one that the file was published with.
    """
    file, made = manifest.file, manifest.extraction
    pin = file.content_digest or generation
    judged = (
        manifest.expectations.sentence(manifest.pair).removeprefix("expectations: ")
        if manifest.expectations is not None
        else ""
    )
    passed = "" if report is None else f"{sum(each.passed for each in report.verdicts)} of {len(report.verdicts)}"
    facts = {
        "dataset": f"{file.name}, {file.rows:,} rows x {file.columns:,} columns",
        "pair": manifest.pair,
        "period": f"{made.spine.first:%Y-%m-%d %H:%M} to {made.spine.last:%Y-%m-%d %H:%M} UTC",
        "targets": _targets(manifest),
        "features": _families(manifest),
        "checks passed": passed,
        "content digest": file.content_digest or "not kept",
        "generation": "" if generation is None else str(generation),
        "source": made.origin,
        "snapshot": f"{made.snapshot_time:%Y-%m-%d %H:%M:%S} UTC",
        "made": f"{manifest.created_at:%Y-%m-%d %H:%M} UTC, bqx-assets {manifest.versions.get('bqx-assets', '?')}",
        "expectations": judged,
    }
    lines = [f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in facts.items() if value]
    load = f'load_training("{manifest.pair}", pin={pin!r})'.replace("'", '"')
    return "\n".join(("| training data | |", "|---|---|", *lines, "", "```python", load, "```"))


def _targets(manifest: Manifest) -> str:
    """Return the targets in words: of which windows and horizons, in rows."""
    names = [column.name for slab in manifest.extraction.slabs for column in slab.provenance.columns]
    parts = [found for name in names if (found := target_parts(name)) is not None]
    windows, horizons = (", ".join(map(str, sorted({part[side] for part in parts}))) for side in (0, 1))
    return f"{len(parts)}: BQX of {windows} rows, {horizons} rows later" if parts else "none"


def _families(manifest: Manifest) -> str:
    """Return the number of columns and tables of each family."""
    slabs = manifest.extraction.features()
    tables = Counter(slab.provenance.family for slab in slabs)
    columns = Counter[str]()
    for slab in slabs:
        columns[slab.provenance.family] += len(slab.provenance.columns)
    each = (f"{family} {columns[family]:,} of {count:,} tables" for family, count in tables.items())
    return f"{columns.total():,} columns of {len(slabs):,} tables: {', '.join(each)}"
