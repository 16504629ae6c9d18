"""A pair that BigQuery joins has the same slabs, accounts and digest as one that is read table by table.

local-bigquery runs the joins and exports, in DuckDB. It cannot tell what a query would scan (a dry run says 0 bytes),
writes one file for each export, and never refuses a query as too large: those parts are in ``test_export_jobs``.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.errors import ExtractionIncomplete
from bqx_assets.base.names import KEY
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import working_folder
from bqx_assets.base.store.staging_names import JOINS
from bqx_assets.base.usage import LEAST_BILLED_BYTES
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import open_clients
from bqx_assets.extract.bigquery.export_jobs import ExportJobs
from bqx_assets.extract.bigquery.joined_warehouse import JoinedWarehouse, Spine, open_joined
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD, FrameWarehouse, across_months, frame_job, frame_warehouse
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

ROWS = 200


@pytest.fixture(scope="module")
def frames() -> FrameWarehouse:
    """Tables over two months: one of two pairs, one shuffled, with missing and extra rows, one that looks ahead."""
    warehouse = across_months(frame_warehouse(ROWS))
    features = warehouse.frames
    agg = features[FEATURES_DATASET, "agg_eurusd"]
    features[FEATURES_DATASET, "agg_eurusd"] = pl.concat([agg.with_columns(pl.lit("gbpusd").alias("pair")), agg])
    target = features[TARGETS_DATASET, "targets_eurusd"].get_column("target_bqx45_h15")
    tmp = features[FEATURES_DATASET, "tmp_eurusd"]
    features[FEATURES_DATASET, "tmp_eurusd"] = tmp.with_columns(target.alias("day_cos"))
    vol = features[FEATURES_DATASET, "mkt_vol"].with_columns(pl.col("pairs_count").alias("end"))  # a word of SQL
    between = vol.with_columns(pl.col(KEY) + timedelta(seconds=30)).head(7)
    features[FEATURES_DATASET, "mkt_vol"] = pl.concat([vol.sample(fraction=0.8, seed=3, shuffle=True), between])
    return warehouse


@pytest.fixture
def server(
    bigquery_server: LocalBigQuery, frames: FrameWarehouse, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> LocalBigQuery:
    """The frames as tables, and an empty bucket for what is exported."""
    assert gcs.buckets
    bigquery_server.load(frames.frames)
    for name, value in bigquery_server.environment().items():
        monkeypatch.setenv(name, value)
    return bigquery_server


def _joined(server: LocalBigQuery, store: GcsObjectStore, *, max_bytes: int = 0) -> JoinedWarehouse:
    own = BigQueryWarehouse(open_clients(PROJECT, server.grpc_url), max_open_streams=2, max_bytes=max_bytes)
    return open_joined(own, store, Spine(EURUSD, frame_job(Path(), FrameWarehouse({})).expectations.shortest_target()))


def _job(folder: Path, frames: FrameWarehouse, warehouse: JoinedWarehouse | None = None) -> Extraction:
    job = frame_job(folder, frames, period="month")
    return job if warehouse is None else replace(job, warehouse=warehouse)


def _digest(job: Extraction, folder: Path) -> str | None:
    plan = plan_merge(EURUSD, working_folder(folder), job.settings)
    return merge(
        plan, *StoredFile.at(folder / "merged.parquet"), engine="splice", progress=job.progress
    ).file.content_digest


def _left(gcs: GcsServer) -> list[str]:
    return [name for name in gcs.buckets[BUCKET].live if name.startswith(JOINS)]


@contextmanager
def _gone(server: LocalBigQuery, table: str, job: Extraction) -> Generator[None]:
    """A table that is deleted after it was described."""
    described = job.warehouse.describe()
    with closing(server.client()) as client, pytest.MonkeyPatch.context() as patched:
        client.delete_table(f"{FEATURES_DATASET}.{table}")
        patched.setattr(job.warehouse, "describe", lambda: described)
        yield


def _facts(record: ExtractionRecord) -> list[object]:
    told = [each.provenance for each in record.slabs]
    return [(each.source.table, each.rows, each.columns, each.quarantined) for each in told]


def test_a_pair_joined_in_bigquery_has_the_digest_and_accounts_of_one_that_is_read(
    tmp_path: Path, frames: FrameWarehouse, server: LocalBigQuery, gcs: GcsServer, gcs_store: GcsObjectStore
) -> None:
    expected = extract_pair(_job(tmp_path / "read", frames))
    job = _job(tmp_path / "joined", frames, _joined(server, gcs_store))
    record = extract_pair(job)
    assert _facts(record) == _facts(expected)
    accounts = {slab.table: slab.provenance.rows for slab in record.slabs}
    assert (accounts["mkt_vol"].missing, accounts["mkt_vol"].extra) == (40, 7)
    assert [each.column for slab in record.slabs for each in slab.provenance.quarantined].count("day_cos") == 1
    assert len(record.spine.row_groups) == 2
    assert _digest(job, tmp_path / "joined") == _digest(job, tmp_path / "read") is not None
    assert isinstance(job.warehouse, JoinedWarehouse)
    assert job.warehouse.queried_bytes == 2 * 2 * (6 + 1) * LEAST_BILLED_BYTES  # two queries a month
    assert not _left(gcs)


def test_tables_that_cannot_be_joined_fail_as_when_they_are_read_and_the_others_are_saved(
    tmp_path: Path, frames: FrameWarehouse, server: LocalBigQuery, gcs: GcsServer, gcs_store: GcsObjectStore
) -> None:
    broken = FrameWarehouse(dict(frames.frames))
    twice = frames.frames[FEATURES_DATASET, "cov_lag_eurusd_usdjpy"]
    keyless = frames.frames[FEATURES_DATASET, "corr_ibkr_eurusd_ewa"]
    broken.frames[FEATURES_DATASET, "cov_lag_eurusd_usdjpy"] = pl.concat([twice, twice[3:5]])
    unkeyed = keyless[:2].with_columns(pl.lit(None, twice.schema[KEY]).alias(KEY))
    broken.frames[FEATURES_DATASET, "corr_ibkr_eurusd_ewa"] = pl.concat([keyless, unkeyed])
    read = _job(tmp_path / "read", broken)
    with pytest.raises(ExtractionIncomplete):
        extract_pair(read)
    server.load(broken.frames)
    job = _job(tmp_path / "joined", broken, _joined(server, gcs_store))
    with pytest.raises(ExtractionIncomplete, match="3 of 6 tables failed"), _gone(server, "mkt_vol", job):
        extract_pair(job)
    failed = {each.table: each for each in job.slabs.load_extraction().failed}
    assert failed.pop("mkt_vol").error == "TableMissing"
    assert failed == {each.table: each for each in read.slabs.load_extraction().failed}
    assert len(job.slabs.load_extraction().features()) == 3
    assert not _left(gcs)


def _cut_exports(monkeypatch: pytest.MonkeyPatch, store: GcsObjectStore, *, lost: int) -> None:
    """Cut each exported join into files of several sizes whose keys have no order, and lose some of them."""
    run, prefix = ExportJobs.run, f"{JOINS}{EURUSD}/"

    def run_and_cut(jobs: ExportJobs, sql: str, subject: str) -> None:
        run(jobs, sql, subject)
        for info in [each for each in store.list_objects(prefix) if each.name.endswith("-rows-000000000000.parquet")]:
            rows = pl.read_parquet(BytesIO(store.read(info.name)))
            parts = [rows[60:], rows[:0], rows[7:60], rows[:7]][lost:]
            store.delete(info.name)
            for number, part in enumerate(parts, 1):
                data = BytesIO()
                part.write_parquet(data, row_group_size=25)
                store.put_bytes(info.name.replace("0.parquet", f"{number}.parquet"), data.getvalue())

    monkeypatch.setattr(ExportJobs, "run", run_and_cut)


def test_an_export_of_many_files_in_any_order_has_the_same_digest(
    tmp_path: Path,
    frames: FrameWarehouse,
    server: LocalBigQuery,
    gcs_store: GcsObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = extract_pair(_job(tmp_path / "read", frames))
    job = _job(tmp_path / "joined", frames, _joined(server, gcs_store))
    _cut_exports(monkeypatch, gcs_store, lost=0)
    assert _facts(extract_pair(job)) == _facts(expected)
    assert _digest(job, tmp_path / "joined") == _digest(job, tmp_path / "read") is not None


def test_an_export_that_lacks_a_file_is_refused(
    tmp_path: Path,
    frames: FrameWarehouse,
    server: LocalBigQuery,
    gcs: GcsServer,
    gcs_store: GcsObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = _job(tmp_path, frames, _joined(server, gcs_store))
    _cut_exports(monkeypatch, gcs_store, lost=1)
    with pytest.raises(ExtractionIncomplete, match=r"60 rows in 3 exported files.*one for each key of the spine"):
        extract_pair(job)
    assert not job.slabs.load_extraction().features()
    assert not _left(gcs)
