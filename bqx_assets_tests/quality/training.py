"""A good training file made by the product's own extraction and merge, and ways to break exactly one thing of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import PAIR_KEY, Manifest, manifest_path
from bqx_assets.base.checksums import crc32c_of_file, sums_of_files
from bqx_assets.base.content import Contents, file_digest, periods_of
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.encoding import as_arrow
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.integrity import SPLICED
from bqx_assets.quality.report import Report, Verdict
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD, START, FrameWarehouse, few_tables_expectations, frame_job, frame_warehouse
from bqx_assets_tests.merge.slabs import as_earlier_manifest, as_earlier_version

ROWS, MONTH_ROWS = 400, 140
JOINT = datetime(2024, 2, 1, tzinfo=UTC)
PERIODS = ("2024-01", "2024-02", "2024-03")


@dataclass(frozen=True)
class Training:
    """A file, its manifest, and what it is expected to be."""

    file: Path
    manifest: Manifest | None
    expectations: Expectations

    def report(self, *, deep: bool = True) -> Report:
        """Validate it."""
        return validate(
            StoredFile.at(self.file), EURUSD, self.expectations, manifest=self.manifest, deep=deep, progress=Silent()
        )

    def failed(self, *, deep: bool = True) -> set[str]:
        """Names of the rules that did not pass, of either severity."""
        return {verdict.rule for verdict in self.report(deep=deep).verdicts if not verdict.passed}

    def frame(self) -> pl.DataFrame:
        """The whole content."""
        return pl.read_parquet(self.file)


def expectations(rows: int = ROWS) -> Expectations:
    """One in ten feature values is null in the tests' warehouse."""
    return few_tables_expectations(rows=rows).model_copy(update={"max_feature_null_fraction": 0.12})


def coherent_warehouse(rows: int = ROWS) -> FrameWarehouse:
    """The tests' warehouse, with the base table's BQX being what the targets promise, in three months.

    The first joint has a minute between the rows of both months, as any other two rows have; the second has a gap.
    """
    warehouse = frame_warehouse(rows)
    targets = warehouse.frames[TARGETS_DATASET, "targets_eurusd"]
    base = FEATURES_DATASET, "base_bqx_eurusd"
    warehouse.frames[base] = warehouse.frames[base].with_columns(
        targets.get_column(f"target_bqx{w}_h15").shift(15).alias(f"bqx_{w}") for w in load_expectations().windows
    )
    month = pl.format("{}mo", (pl.int_range(pl.len()) // MONTH_ROWS - 1).clip(0))
    moved = pl.col(KEY) - START + JOINT - timedelta(minutes=MONTH_ROWS)
    for name, frame in warehouse.frames.items():
        warehouse.frames[name] = frame.with_columns(moved.alias(KEY)).with_columns(pl.col(KEY).dt.offset_by(month))
    return warehouse


def good(folder: Path, *, warehouse: FrameWarehouse | None = None, period: str = "none") -> Training:
    """Extract and merge."""
    made = warehouse or coherent_warehouse()
    rows = made.frames[TARGETS_DATASET, "targets_eurusd"].height
    extract_pair(frame_job(folder / "slabs", made, period=period))
    file = folder / "training_eurusd.parquet"
    manifest = merge(
        plan_merge(EURUSD, working_folder(folder / "slabs"), Settings()), *StoredFile.at(file), progress=Silent()
    )
    return Training(file, manifest, expectations(rows))


def earlier(folder: Path) -> Training:
    """The good file as an earlier version made it, of slabs without pieces and with several row groups each."""
    slabs = folder / "slabs"
    extract_pair(frame_job(slabs, coherent_warehouse(), period="month"))
    file = folder / "training_eurusd.parquet"
    plan = plan_merge(EURUSD, working_folder(as_earlier_version(slabs)), Settings())
    merge(plan, *StoredFile.at(file), progress=Silent())
    as_earlier_manifest(manifest_path(file))
    return Training(file, Manifest.load(manifest_path(file)), expectations())


def rewritten(
    training: Training,
    frame: pl.DataFrame,
    folder: Path,
    *,
    metadata: Mapping[str, str] | None = None,
    row_group_rows: int = 0,
) -> Training:
    """The file with another content, and a manifest that vouches for its bytes: only the content can be wrong."""
    file = folder / training.file.name
    size = row_group_rows or frame.height
    frame.write_parquet(file, row_group_size=size, metadata={PAIR_KEY: EURUSD.name} | dict(metadata or {}))
    return Training(file, vouching(training.manifest, file, engine="join"), training.expectations)


def vouching(manifest: Manifest | None, file: Path, *, engine: str) -> Manifest:
    """The manifest with the file's present size and checksum."""
    assert manifest is not None
    behind = sum(slab.size_bytes for slab in manifest.extraction.slabs) if engine in SPLICED else 0
    end = sums_of_files([(file, behind)]).sha256
    facts = {"size_bytes": file.stat().st_size, "crc32c": crc32c_of_file(file), "end_sha256": end}
    facts |= {"content_digest": content_of(file)}
    facts = manifest.file.model_copy(update=facts)
    return manifest.model_copy(update={"engine": engine, "file": facts})


def content_of(file: Path) -> str:
    """The digest of a file's values; of one that cannot have any, a text that is none."""
    frame = pl.read_parquet(file)
    try:
        contents = Contents(periods_of(frame.get_column(KEY)))
        contents.add(as_arrow(frame))
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        return "none"
    return file_digest(zip(frame.columns, contents.digests(frame.columns), strict=True))


def verdict_of(report: Report, rule: str) -> Verdict:
    """One rule's verdict."""
    return next(verdict for verdict in report.verdicts if verdict.rule == rule)
