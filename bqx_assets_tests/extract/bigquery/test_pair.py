"""A pair extracted from BigQuery over the wire equals the same pair extracted from the frames it was loaded from."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from google.cloud.bigquery_storage_v1 import types
from polars.testing import assert_frame_equal

from bqx_assets.base.errors import ExtractionIncomplete
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.client import open_clients
from bqx_assets.extract.bigquery.session import OpenSession
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.plan import plan_pair
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets.pipeline import Pipeline
from bqx_assets_tests.frames import FEW_TABLES, FrameWarehouse, frame_job, frame_warehouse
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery

ROWS = 200


@pytest.fixture(scope="module")
def frames() -> FrameWarehouse:
    """A pair's few tables: one of two pairs' rows, one shuffled with rows missing and rows too many."""
    warehouse = frame_warehouse(ROWS)
    features = warehouse.frames
    agg = features[FEATURES_DATASET, "agg_eurusd"]
    features[FEATURES_DATASET, "agg_eurusd"] = pl.concat([agg.with_columns(pl.lit("gbpusd").alias("pair")), agg])
    vol = features[FEATURES_DATASET, "mkt_vol"]
    later = vol.with_columns(pl.col(KEY) + pl.duration(days=3))
    features[FEATURES_DATASET, "mkt_vol"] = pl.concat([vol.sample(fraction=0.8, seed=3, shuffle=True), later])
    return warehouse


@pytest.fixture(scope="module")
def loaded(bigquery_server: LocalBigQuery, frames: FrameWarehouse) -> LocalBigQuery:
    """The frames as tables."""
    bigquery_server.load(frames.frames)
    return bigquery_server


@pytest.fixture(autouse=True)
def server(loaded: LocalBigQuery, monkeypatch: pytest.MonkeyPatch) -> LocalBigQuery:
    """The environment that makes ``connect`` choose it."""
    for name, value in loaded.environment().items():
        monkeypatch.setenv(name, value)
    return loaded


@contextmanager
def _changed(server: LocalBigQuery, frames: FrameWarehouse, **changes: str) -> Generator[None]:
    """Tables changed by a statement each, put back afterwards."""
    with closing(server.client()) as client:
        try:
            for table, change in changes.items():
                client.query_and_wait(change.format(table=f"{FEATURES_DATASET}.{table}"))
            yield
        finally:
            for table in changes:
                client.delete_table(f"{FEATURES_DATASET}.{table}", not_found_ok=True)
            server.load({(FEATURES_DATASET, table): frames.frames[FEATURES_DATASET, table] for table in changes})


def _job(folder: Path, frames: FrameWarehouse) -> Extraction:
    job = frame_job(folder / "checkpoints", frames, home=folder)
    warehouse = Pipeline(job.settings).warehouse(parse_pair("eurusd"))
    return replace(job, warehouse=warehouse)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[types.ReadSession]:
    """Every session that is asked for, as it is asked for."""
    asked: list[types.ReadSession] = []
    create = OpenSession.__call__

    def noting(self: OpenSession, request: types.CreateReadSessionRequest, **options: Any) -> types.ReadSession:
        asked.append(request.read_session)
        return create(self, request, **options)

    monkeypatch.setattr(OpenSession, "__call__", noting)
    return asked


def _is_of_pair(session: types.ReadSession) -> bool:
    return session.read_options.row_restriction.endswith("pair = 'eurusd'")


def _slabs(folder: Path) -> dict[str, pl.DataFrame]:
    return {path.stem: pl.read_parquet(path) for path in folder.glob("*.parquet")}


def test_a_pair_from_bigquery_equals_the_pair_from_its_frames_and_a_rerun_reads_only_what_changed(
    tmp_path: Path, frames: FrameWarehouse, server: LocalBigQuery, sessions: list[types.ReadSession]
) -> None:
    expected = extract_pair(frame_job(tmp_path / "frames", frames))
    job = _job(tmp_path, frames)
    assert isinstance(job.warehouse, StagedWarehouse)
    record = extract_pair(job)
    assert [slab.table for slab in record.features()] == list(FEW_TABLES)
    assert [slab.provenance.rows for slab in record.slabs] == [slab.provenance.rows for slab in expected.slabs]
    assert [slab.provenance.columns for slab in record.slabs] == [slab.provenance.columns for slab in expected.slabs]
    slabs = _slabs(tmp_path / "checkpoints")
    for name, frame in _slabs(tmp_path / "frames").items():
        assert_frame_equal(slabs[name], frame, check_exact=True)
    assert all(session.table_modifiers.snapshot_time == record.snapshot_time for session in sessions)
    assert len(sessions) == len(record.slabs)
    of_pair = {session.table.rpartition("/")[2] for session in sessions if _is_of_pair(session)}
    assert of_pair == {name for (_, name), frame in frames.frames.items() if "pair" in frame.columns}
    assert job.warehouse.read_bytes > 0
    assert plan_pair(job).read_bytes == 0

    shorter = "CREATE OR REPLACE TABLE {table} AS SELECT * FROM {table} ORDER BY interval_time LIMIT 150"
    with _changed(server, frames, tmp_eurusd=shorter):
        job = _job(tmp_path, frames)
        again = next(slab.provenance for slab in extract_pair(job).slabs if slab.table == "tmp_eurusd")
    assert (again.rows.matched, again.rows.missing) == (150, 50)
    assert job.warehouse.read_bytes == 150 * 8 * (1 + len(again.columns))  # as this server estimates


def test_tables_changed_between_plan_and_read_are_named_and_the_others_are_saved(
    tmp_path: Path, frames: FrameWarehouse, server: LocalBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _job(tmp_path, frames)
    extract_spine(job)
    planned = job.warehouse.describe()
    monkeypatch.setattr(job.warehouse, "describe", lambda: planned)  # as if the changes came a moment later
    as_text = "SELECT * REPLACE (CAST(mkt_vol_atr_45 AS STRING) AS mkt_vol_atr_45) FROM {table}"
    changes = {
        "agg_eurusd": "DROP TABLE {table}",
        "mkt_vol": f"CREATE OR REPLACE TABLE {{table}} AS {as_text}",
        "tmp_eurusd": "ALTER TABLE {table} DROP COLUMN day_cos",
    }
    with _changed(server, frames, **changes), pytest.raises(ExtractionIncomplete, match="3 of 6 tables failed"):
        extract_features(job)
    record = job.slabs.load_extraction()
    assert {each.table: each.error for each in record.failed} == {
        "agg_eurusd": "TableMissing",
        "mkt_vol": "TableChanged",
        "tmp_eurusd": "TableChanged",
    }
    assert all(each.table in each.message for each in record.failed)
    assert [slab.table for slab in record.features()] == list(FEW_TABLES[1:4])


def test_bounds_and_pair_are_filtered_by_the_server(frames: FrameWarehouse, server: LocalBigQuery) -> None:
    key = frames.frames[TARGETS_DATASET, "targets_eurusd"].get_column(KEY)
    clients = open_clients(PROJECT, server.grpc_url)
    warehouse = BigQueryWarehouse(clients, max_open_streams=2)
    table = next(each for each in warehouse.describe() if each.table == "agg_eurusd")
    bounds = (key[10], key[10] + timedelta(minutes=4))
    request = ReadRequest(table, (KEY, "pair"), warehouse.snapshot(), *bounds, "gbpusd")
    rows = pl.concat(pl.DataFrame(pl.from_arrow(batch)) for batch in warehouse.read(request)).sort(KEY)
    assert rows.get_column(KEY).to_list() == key.slice(10, 5).to_list()
    assert set(rows.get_column("pair")) == {"gbpusd"}
