"""The door to all stages of a pair: plan, extract, merge, validate, publish, verify and status over one context.

The command line, the Dagster assets, the doctor, the benchmarks and a Python program all call it. It alone decides by
the settings which warehouse is read and whether files are in a folder or in a bucket, and passes both to the stages.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bqx_assets.base.artifacts import SIMULATED, ExtractionRecord, Manifest, Spine, manifest_path
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.progress import Progress, Silent, at_work, waiting
from bqx_assets.base.settings import Settings, refuse_unfit_for_joins
from bqx_assets.base.store.local import LocalObjectStore, working_folder
from bqx_assets.base.store.naming import is_address
from bqx_assets.base.store.open_store import in_cloud, open_store
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.store.staging_names import SHARED, merged_name
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.expectations import EXPECTATIONS_FILE, Expectations, load_expectations
from bqx_assets.dictionary.files import Dictionary
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import load_record, pairs_of_fleet
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.plan import PairPlan, plan_pair
from bqx_assets.extract.slabs import Slabs, slabs_prefix
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import Warehouse
from bqx_assets.merge.engine import (
    bucket_checkpoints_of,
    checkpoints_of,
    engine_named,
    merge,
    plan_merge,
    refuse_foreign,
    refuse_published,
)
from bqx_assets.merge.plan import MergePlan
from bqx_assets.merge.slab_parts import objects_in
from bqx_assets.quality.diff import Difference
from bqx_assets.quality.report import Report
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.merged_file import MergedFile, publish_checked
from bqx_assets.release.named_file import diff_files, kept_expectations, validate_file
from bqx_assets.release.publish import Published
from bqx_assets.release.published import Standing, published_dictionary, verify_pairs
from bqx_assets.release.retention import Removed, clean_checkpoints, sweep
from bqx_assets.release.status import PairArtifacts, PairStatus, pair_artifacts

_PAIRS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class MergedResult:
    """The result of a merge: the manifest, and the path or URI of the file that it describes."""

    manifest: Manifest
    place: str


@dataclass(frozen=True, slots=True)
class Publication:
    """The result of a publication: the published file, its manifest, and the objects that were removed afterwards."""

    published: Published
    manifest: Manifest
    swept: Removed
    """Staged objects older than ``staging_days``."""
    cleaned: Removed | None
    """The pair's slabs, if they were to be deleted."""


class Pipeline:
    """All stages over one set of settings. Nothing is opened or read before a stage needs it.

    By default ``settings`` come from the ``BQX_*`` environment variables, and no ``progress`` is reported. Every method
    raises a ``BqxError`` with subject, got, expected and cure. One instance may be used for several pairs, one after
    another.
    """

    def __init__(self, settings: Settings | None = None, progress: Progress | None = None) -> None:
        self.settings = Settings() if settings is None else settings
        self.progress: Progress = Silent() if progress is None else progress
        self._warehouses: dict[Path | str, Warehouse] = {}
        self._expectations: dict[Path | str | None, Expectations] = {}

    @property
    def in_bucket(self) -> bool:
        """Return whether slabs, merged and published files are in a bucket and not in folders of this machine."""
        return in_cloud(self.settings)

    @cached_property
    def store(self) -> ObjectStore:
        """The store that training files are published to. Raises BadSetting, StoreError as ``open_store``."""
        return open_store(self.settings)

    def warehouse(self, pair: Pair) -> Warehouse:
        """Return the warehouse that the pair is read from: BigQuery if a project is named, else an embedded one.

        Raises:
            TableMissing: there is no warehouse at the configured place.
            BadSetting: the project or an endpoint is not valid.
            WarehouseError: there are no Google credentials.
        """
        settings = self.settings.of_pair(pair)
        place = settings.bigquery_project or settings.warehouse_dir
        if place not in self._warehouses:
            self._warehouses[place] = LocalWarehouse(place, pair) if isinstance(place, Path) else self._bigquery(place)
        return self._warehouses[place]

    def warehouses(self) -> list[tuple[Warehouse, list[Pair]]]:
        """Return each warehouse with the fleet's pairs that are read from it. Raises as ``warehouse`` if none is."""
        folders: dict[Path, list[Pair]] = {}
        for pair in pairs_of_fleet(self.settings):
            folders.setdefault(self.settings.of_pair(pair).warehouse_dir, []).append(pair)
        there = {folder: pairs for folder, pairs in folders.items() if folder.is_dir()} or folders
        return [(self.warehouse(pairs[0]), pairs) for pairs in there.values()]

    def _bigquery(self, project: str) -> Warehouse:
        # Imported here: Google's clients and pandas take two seconds, which an embedded warehouse need not wait for.
        from bqx_assets.extract.bigquery.bigquery_warehouse import open_bigquery  # noqa: PLC0415

        warehouse = open_bigquery(project, self.settings)
        if not self.settings.stage_shared or self.settings.way == "query":
            return warehouse
        if self.in_bucket and self.settings.staging is None:  # a container's own folder takes memory
            return StagedWarehouse(warehouse, self.store, SHARED)
        return StagedWarehouse(warehouse, LocalObjectStore(self.settings.staging_dir))

    def _joined(self, pair: Pair, expectations: Expectations) -> Warehouse:
        """Return the pair's warehouse for ``way`` ``query``. Raises BadSetting as ``refuse_unfit_for_joins``."""
        refuse_unfit_for_joins(self.settings, in_bucket=self.in_bucket)
        from bqx_assets.extract.bigquery.joined_warehouse import Spine, open_joined  # noqa: PLC0415 -- as in ``_bigquery``

        return open_joined(self.warehouse(pair), self.store, Spine(pair, expectations.shortest_target()))

    def expectations(self, pair: Pair | None = None) -> Expectations:
        """Return the expectations in force: those in the settings, else the warehouse's own, else the packaged ones.

        With ``pair``, the warehouse is the pair's own one, if the home has it. No warehouse need exist.

        Raises:
            BadSetting: as ``load_expectations``.
        """
        place = self.expectations_place(pair)
        if place not in self._expectations:
            self._expectations[place] = load_expectations(place)
        return self._expectations[place]

    def expectations_place(self, pair: Pair | None = None) -> str | Path | None:
        """Return the place of the expectations in force; None stands for the packaged ones."""
        settings = self.settings if pair is None else self.settings.of_pair(pair)
        own = settings.warehouse_dir / EXPECTATIONS_FILE
        return settings.expectations or (own if own.is_file() else None)

    def data_location(self) -> str | None:
        """Return the location of the feature tables in BigQuery, such as EU; None for an embedded warehouse.

        **Cost**: one ``datasets.get``, which is free.

        Raises:
            WarehouseError: BigQuery does not tell it.
        """
        if self.settings.bigquery_project is None:
            return None
        from bqx_assets.extract.bigquery.bigquery_warehouse import open_bigquery  # noqa: PLC0415 -- as in ``_bigquery``

        return open_bigquery(self.settings.bigquery_project, self.settings).location()

    def slabs(self, pair: Pair, checkpoints: Path | None = None) -> Slabs:
        """Return the slabs of a pair: below ``checkpoints`` if it is given, else in the place of the settings.

        Raises:
            BadSetting: ``output`` is not the address of a bucket.
        """
        if checkpoints is None and self.in_bucket:
            return Slabs(self.store, slabs_prefix(pair))
        return Slabs.in_folder((checkpoints or self.settings.checkpoint_dir) / pair.name)

    def extraction(self, pair: Pair, checkpoints: Path | None = None) -> Extraction:
        """Return the inputs of an extraction of the pair; nothing is read from the warehouse yet."""
        expectations = self.expectations(pair)  # first, so that a wrong file is reported before the warehouse is opened
        return Extraction(
            pair=pair,
            warehouse=self._joined(pair, expectations) if self.settings.way == "query" else self.warehouse(pair),
            slabs=self.slabs(pair, checkpoints),
            settings=self.settings.of_pair(pair),
            expectations=expectations,
            progress=self.progress,
            origin=self.origin(pair),
        )

    def origin(self, pair: Pair) -> str:
        """Return the source of the pair's warehouse in the words of manifests. Raises CheckpointCorrupt."""
        settings = self.settings.of_pair(pair)
        if settings.bigquery_project is not None:
            return f"BigQuery project {settings.bigquery_project}"
        folder = load_record(settings.warehouse_dir)
        if folder is None:
            return "a folder of tables"
        return SIMULATED if folder.made.rates is None else "a rates file"

    def plan(self, pair: Pair, *, checkpoints: Path | None = None) -> PairPlan:
        """Return the plan of an extraction: tables, columns, bytes, cost, and the slabs that are fresh already.

        **Cost**: descriptions of tables and records of slabs; no row is read.

        Raises:
            TableMissing, SchemaDrift: the pair's targets are missing, or differ from the expectations.
        """
        return plan_pair(self.extraction(pair, checkpoints))

    def extract(
        self, pair: Pair, tables: Collection[str] | None = None, *, checkpoints: Path | None = None, anew: bool = False
    ) -> ExtractionRecord:
        """Read the pair's spine and feature tables into slabs; fresh pieces are read again only with ``anew``.

        ``tables`` limits the reading to those feature tables. **Cost**: as many tables in memory as there are workers.

        Raises:
            ExtractionIncomplete: tables failed; all others are saved, and the error names each failed one.
            BudgetExceeded, NotEnoughMemory, UnknownTable, WarehouseUnavailable: as ``extract.pair``.
        """
        return extract_pair(self.extraction(pair, checkpoints), tables, anew=anew)

    def extract_spine(self, pair: Pair) -> Spine:
        """Read the pair's targets as its spine and fix the run's snapshot. Raises as ``extract``."""
        return extract_spine(self.extraction(pair))

    def extract_features(self, pair: Pair) -> ExtractionRecord:
        """Read the pair's feature tables onto the existing spine, at its snapshot. Raises as ``extract``."""
        return extract_features(self.extraction(pair))

    def plan_merge(self, pair: Pair, checkpoints: str | None = None) -> MergePlan:
        """Return the plan to merge the pair's slabs, or raw checkpoints in a folder or bucket. Reads their footers.

        Raises:
            MergeRefused, CheckpointCorrupt, CheckpointMismatch, ColumnCollision, FooterError: slabs are missing or
                incomplete, differ from their records, or do not fit each other.
        """
        with waiting(self.progress, "merge", at_work("reading the footers of slabs")):
            if checkpoints is None and self.in_bucket:
                return plan_merge(pair, self.store, self.settings, prefix=slabs_prefix(pair))
            place = checkpoints or str(self.settings.checkpoint_dir)
            if is_address(place):
                return plan_merge(pair, bucket_checkpoints_of(pair, place), self.settings)
            return plan_merge(pair, working_folder(checkpoints_of(pair, Path(place))), self.settings)

    def merge(self, pair: Pair, *, checkpoints: str | None = None, output: Path | None = None) -> MergedResult:
        """Make the pair's wide parquet of its slabs, and its manifest beside it.

        **Cost**: bytes are copied, not decoded; the footers of all slabs in memory.

        Raises:
            BadSetting: the engine is ``join``, and the slabs are in a bucket; or the output is a published file.
            ForeignFile: a file that is no manifest has the name of the output's manifest.
            NotEnoughDisk, NotEnoughMemory: there is too little for the file; other errors as ``plan_merge``.
        """
        # Slabs in the bucket are composed there; a named output is a file of this machine.
        if output is not None and checkpoints is None:
            checkpoints = str(self.settings.checkpoint_dir)
        engine_named(self.settings.engine, composes=self.in_bucket and checkpoints is None)  # before anything is read
        if output is not None:
            refuse_foreign(manifest_path(output))
        return self.merge_planned(self.plan_merge(pair, checkpoints), output)

    def merge_planned(self, plan: MergePlan, output: Path | None = None) -> MergedResult:
        """Execute the plan of a merge. Raises as ``merge``."""
        target = output or self.settings.training_file(plan.pair)
        if not self.in_bucket:
            refuse_published(self.settings.output_dir, target)
        store, name = StoredFile.at(target)
        # Local files are merged on this machine, so that the output bucket need not be reachable.
        remote = output is None and self.in_bucket and not any(part.paths for part in plan.parts)
        if remote and objects_in(plan, self.store):
            store, name = self.store, merged_name(plan.pair)
        manifest = merge(plan, store, name, engine=self.settings.engine, progress=self.progress)
        return MergedResult(manifest, store.uri(name))

    def merged(self, pair: Pair, file: Path | None = None) -> MergedFile:
        """Return the pair's merged, not yet published file, or ``file`` in its place; it need not exist."""
        if file is None and self.in_bucket:
            return MergedFile(StoredFile(self.store, merged_name(pair)), pair)
        return MergedFile(StoredFile.at(file or self.settings.training_file(pair)), pair)

    def validate(
        self,
        pair: Pair,
        file: str | Path | None = None,
        *,
        expectations: Expectations | None = None,
        deep: bool = True,
    ) -> Report:
        """Check a training file by every rule; a bad file is a report with failures, not an error.

        ``file`` is the path or ``gs://`` URI of any training file; the default is the pair's merged one. The default of
        ``expectations`` are those kept with the file, else those in force. The report of a deep pass with the default
        is kept beside a file that has a manifest. ``deep=False`` reads footer and statistics only.
        **Cost**: one pass over the file, a few columns in memory.

        Raises:
            BadSetting: the named place is no file.
            CheckpointCorrupt: the merged file has no manifest, or a published file's manifest is gone or damaged.
        """
        if file is None:
            merged, own = self.merged(pair), self.expectations(pair)
            if expectations is None or expectations == own:
                return merged.validate(merged.manifest(), own, self.progress, deep=deep)
            file = merged.place
        place = str(file)
        own = self.expectations_of(place, pair)
        return validate_file(
            place,
            pair,
            expectations or own,
            # A report with other expectations is not kept, because nobody should take it for the report of these.
            keep=(expectations is None or expectations == own) and self._keeps_reports_at(pair, place),
            deep=deep,
            progress=self.progress,
        )

    def _keeps_reports_at(self, pair: Pair, place: str) -> bool:
        """Return whether a report may lie beside a file: always in a folder, in a bucket beside our merged file."""
        return not is_address(place) or (self.in_bucket and place == self.merged(pair).place)

    def expectations_of(self, file: str, pair: Pair | None = None) -> Expectations:
        """Return the expectations for a training file: those in the settings, else those kept with it, else ours.

        Raises:
            CheckpointCorrupt: an object that the published file names is gone or damaged.
            BadSetting: as ``expectations``.
        """
        kept = kept_expectations(file) if self.settings.expectations is None else None
        return self.expectations(pair) if kept is None else kept

    def publish(self, pair: Pair, *, file: Path | None = None, clean: bool = False) -> Publication:
        """Publish the pair's merged file, or ``file``: validate, upload, verify, and swap it in in one step.

        A deep validation by this process is not repeated. A second call publishes nothing new. Each call also deletes
        what this package staged more than ``staging_days`` ago; ``clean`` deletes the pair's slabs once the store
        confirms the file.

        Raises:
            ValidationFailed: a blocking rule failed.
            ReplacementRefused: the published file was made from another source.
            ChecksumMismatch, PreconditionFailed, StoreError: as ``release.publish``.
        """
        chosen = self.merged(pair, file)
        manifest = chosen.manifest()
        published = publish_checked(chosen, manifest, self.settings, self.expectations(pair), self.store, self.progress)
        swept = sweep(self.store, staging_days=self.settings.staging_days)
        cleaned = clean_checkpoints(pair, self.slabs(pair), self.store) if clean else None
        return Publication(published, manifest, swept, cleaned)

    def dictionary(self, pair: Pair) -> Dictionary:
        """Return the dictionary of the pair's published file. Raises CheckpointCorrupt if there is none."""
        return published_dictionary(self.store, pair)

    def verify(self, pairs: Sequence[Pair] = (), *, every: bool = False) -> list[Standing]:
        """Return the verified state of each pair's published file; ``every`` stands for all published pairs.

        **Cost**: in a folder, reads the files; a bucket is asked for its checksums.

        Raises:
            BadSetting: there are neither pairs nor ``every``, or both.
        """
        return verify_pairs(self.store, pairs, self.progress, every=every)

    def status(self, pairs: Sequence[Pair] = ALL_PAIRS) -> list[PairStatus]:
        """Return the state of the pairs' stages by records and manifests. Raises as ``artifacts``."""
        return [each.status for each in self.artifacts(pairs)]

    def artifacts(self, pairs: Sequence[Pair]) -> list[PairArtifacts]:
        """Return the state of the pairs' stages, and their records. **Cost**: reads no slab and no large file.

        Raises:
            StoreError: the store does not answer.
        """
        store = self.store

        def of(pair: Pair) -> PairArtifacts:
            return pair_artifacts(pair, self.slabs(pair), self.merged(pair), self.expectations(pair), store)

        what = f"looking at {len(pairs)} pair{'s' * (len(pairs) != 1)}"
        with waiting(self.progress, "status", at_work(what)):
            return list(in_threads(of, pairs, _PAIRS_AT_ONCE, "status"))

    def diff(self, a: str, b: str, *, values: bool = False) -> Difference:
        """Return the tables and columns in which two training files differ; see ``release.named_file.diff_files``."""
        return diff_files(a, b, values=values, progress=self.progress)
