"""Publishes small training files of frames, with columns that a model must not be given, to a folder or a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.dictionary.build import build_dictionary
from bqx_assets.dictionary.files import Dictionary
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs
from bqx_assets.merge.engine import merge
from bqx_assets.merge.slab_parts import plan_slabs
from bqx_assets.quality.report import Report
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import examine
from bqx_assets.release.publish import Published, publish
from bqx_assets_tests.frames import START, few_tables_expectations, frame_warehouse, minutes
from bqx_assets_tests.release.training import report

ROWS = 2_000
"""Hours: three months, each a row group."""


def tables_of(pair: Pair) -> tuple[str, ...]:
    """The names of five tables: three of the pair, of a currency, and of the market."""
    return (f"agg_{pair}", f"base_bqx_{pair}", f"corr_ibkr_{pair}_ewa", "csi_agg_usd", "mkt_vol")


class Merged(NamedTuple):
    """A merged file with everything that a publication takes."""

    file: StoredFile
    manifest: Manifest
    report: Report
    dictionary: Dictionary

    def publish(self, store: ObjectStore, *, dictionary: bool = True) -> Published:
        """Publish it, with its dictionary or as before there was one."""
        facts = self.dictionary if dictionary else None
        return publish(self.file, self.manifest, self.report, store, progress=Silent(), dictionary=facts)


def merged_pair(
    folder: Path,
    pair: Pair,
    *,
    forward: bool = False,
    shift: float = 0,
    rows: int = ROWS,
    tables: Sequence[str] | None = None,
) -> Merged:
    """Make the pair's file of hours; ``shift`` is added to some values, ``forward`` keeps what looks forward."""
    tables = tables or tables_of(pair)
    warehouse = frame_warehouse(rows, tables, pair)
    keys = pl.Series(KEY, [START + timedelta(hours=number) for number in range(rows)], minutes(1).dtype)
    for name, frame in warehouse.frames.items():
        warehouse.frames[name] = frame.with_columns(keys)
    agg = FEATURES_DATASET, f"agg_{pair}"
    warehouse.frames[agg] = warehouse.frames[agg].with_columns(
        agg_std_45=pl.lit(1.5),
        agg_std_90=pl.lit(None, pl.Float64),
        agg_std_180=pl.col("agg_mean_45") + shift,
        agg_mean_45=pl.col("agg_mean_45") + shift,
    )
    expectations = few_tables_expectations(tables, pair, rows)
    slabs = Slabs.in_folder(folder / "slabs" / pair.name)
    settings = Settings(workers=2, period="month", include_forward_looking=forward)
    extract_pair(Extraction(pair, warehouse, slabs, settings, expectations, Silent()))
    file = StoredFile.at(folder / f"merged_{pair}.parquet")
    manifest = merge(plan_slabs(pair, slabs.store, slabs.prefix), file.store, file.name, progress=Silent())
    _, measured = examine(file, pair, expectations, manifest=manifest, progress=Silent())
    assert measured is not None
    facts = {"columns": manifest.file.columns, "pair": pair.name}
    passed = report(folder / file.name, rows=manifest.file.rows).model_copy(update=facts)
    return Merged(file, manifest, passed, build_dictionary(manifest, measured))
