"""A training file in the bucket as a Dagster input: of many columns, only the ranges of those asked for are read."""

from __future__ import annotations

import io
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.staging_names import merged_name
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs, slabs_prefix
from bqx_assets.merge.engine import merge
from bqx_assets.merge.slab_parts import plan_slabs
from bqx_assets.runtime.graph import training_io_manager
from bqx_assets.runtime.keys import PAIRS, TRAINING
from bqx_assets.runtime.workspace import Workspace
from bqx_assets_tests.frames import EURUSD, frame_job, frame_warehouse
from bqx_assets_tests.servers.gcs.bucket import Stored
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

NAME = merged_name(EURUSD)
FIRST_LOOK_BYTES = 256 << 10
"""What Polars asks for at a file's end, whatever the footer's size."""


@pytest.fixture(scope="module")
def objects(gcs_process: GcsServer) -> dict[str, Stored]:
    """What a bucket holds in which a pair was merged."""
    gcs_process.reset()
    gcs_process.bucket(BUCKET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", gcs_process.url)
        store = GcsObjectStore(BUCKET)
        extract_pair(frame_job(Slabs(store, slabs_prefix(EURUSD)), frame_warehouse(24_000)))
        merge(plan_slabs(EURUSD, store, slabs_prefix(EURUSD)), store, NAME, progress=Silent())
        store.client.close()
    return dict(gcs_process.buckets[BUCKET].live)


@pytest.fixture
def merged(objects: dict[str, Stored], gcs: GcsServer) -> bytes:
    """A merged object of 28 MB, and its bytes: Polars reads on over gaps of up to a megabyte."""
    gcs.buckets[BUCKET].live.update(objects)
    return objects[NAME].data


def _load(settings: Settings, reader: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    resources = {"workspace": Workspace.of(settings), "io_manager": training_io_manager}
    job = dg.define_asset_job("job", selection=dg.AssetSelection.assets(reader))
    made = dg.Definitions([dg.AssetSpec(TRAINING, partitions_def=PAIRS), reader], jobs=[job], resources=resources)
    return made.resolve_job_def("job").execute_in_process(
        partition_key="eurusd" if reader.partitions_def else None, raise_on_error=False
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, output=f"gs://{BUCKET}")


def test_ten_of_many_columns_cost_the_footer_and_their_own_ranges(
    merged: bytes, gcs: GcsServer, settings: Settings
) -> None:
    metadata = pq.ParquetFile(io.BytesIO(merged)).metadata
    chunks = [metadata.row_group(0).column(place) for place in range(metadata.num_columns)]
    apart = [next(each for each in chunks if _start(each) >= len(merged) * tenth / 10) for tenth in range(10)]
    wanted = {_start(chunk): chunk.total_compressed_size for chunk in apart}
    columns = [chunk.path_in_schema for chunk in apart]
    seen: list[pl.DataFrame] = []

    @dg.asset(partitions_def=PAIRS, ins={"training": dg.AssetIn(TRAINING, metadata={"columns": columns})})
    def trained(training: pl.LazyFrame) -> None:
        assert not gcs.log.ranges  # lazy: nothing so far
        seen.append(training.collect())

    assert _load(settings, trained).success
    assert_frame_equal(seen[0], pl.read_parquet(io.BytesIO(merged), columns=columns))
    footer_start = len(merged) - max(metadata.serialized_size + 8, FIRST_LOOK_BYTES)
    read = [(start, size) for name, start, size in gcs.log.ranges if name == NAME]
    assert all(start >= footer_start or wanted.get(start) == size for start, size in read)
    assert sum(size for start, size in read if start < footer_start) < len(merged) / 10


def _start(chunk: pq.ColumnChunkMetaData) -> int:
    return min(filter(None, [chunk.dictionary_page_offset, chunk.data_page_offset]))


def test_a_frame_is_collected_where_the_input_says_so(merged: bytes, settings: Settings) -> None:
    seen: list[pl.DataFrame] = []

    @dg.asset(partitions_def=PAIRS, ins={"training": dg.AssetIn(TRAINING, metadata={"columns": ["interval_time"]})})
    def trained(training: pl.DataFrame) -> None:
        seen.append(training)

    assert _load(settings, trained).success
    assert_frame_equal(seen[0], pl.read_parquet(io.BytesIO(merged), columns=["interval_time"]))


@pytest.mark.parametrize("missing_allowed", [True, False])
def test_several_pairs_come_as_a_dict_and_a_missing_one_is_an_error_unless_allowed(
    merged: bytes, settings: Settings, *, missing_allowed: bool
) -> None:
    seen: dict[str, int] = {}
    mapping = dg.SpecificPartitionsPartitionMapping(["eurusd", "gbpusd"])
    metadata = {"allow_missing_partitions": missing_allowed}

    @dg.asset(ins={"training": dg.AssetIn(TRAINING, partition_mapping=mapping, metadata=metadata)})
    def pooled(training: dict[str, pl.LazyFrame]) -> None:
        seen.update({pair: frame.select(pl.len()).collect().item() for pair, frame in training.items()})

    run = _load(settings, pooled)
    assert run.success == missing_allowed
    assert seen == ({"eurusd": pq.ParquetFile(io.BytesIO(merged)).metadata.num_rows} if missing_allowed else {})
