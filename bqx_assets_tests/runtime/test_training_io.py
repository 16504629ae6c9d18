"""The IO manager: a training file comes back lazily and by column; frames of any width leave small events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster_shared.serdes import serialize_value
from polars.testing import assert_frame_equal

from bqx_assets.base.files import TEMP_MARK
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.graph import training_io_manager
from bqx_assets.runtime.keys import PAIRS, TRAINING
from bqx_assets.runtime.workspace import Workspace

WIDE_COLUMNS = 6_000
FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})


def _run(
    settings: Settings, *assets: dg.AssetsDefinition | dg.AssetSpec, pair: str | None = None
) -> dg.ExecuteInProcessResult:
    resources = {"workspace": Workspace.of(settings), "io_manager": training_io_manager}
    made = [asset for asset in assets if isinstance(asset, dg.AssetsDefinition)]
    job = dg.define_asset_job("job", selection=dg.AssetSelection.assets(*made))
    definitions = dg.Definitions(assets, jobs=[job], resources=resources)
    return definitions.resolve_job_def("job").execute_in_process(partition_key=pair, raise_on_error=False)


@pytest.mark.parametrize("lazily", [True, False])
def test_a_frame_comes_back_as_it_went(tmp_path: Path, *, lazily: bool) -> None:
    seen: list[pl.DataFrame] = []

    @dg.asset(name="frame")
    def eager() -> pl.DataFrame:
        return FRAME

    @dg.asset(name="frame")
    def lazy() -> pl.LazyFrame:
        return FRAME.lazy()

    @dg.asset
    def reader(frame: pl.LazyFrame) -> None:
        assert isinstance(frame, pl.LazyFrame)
        seen.append(frame.collect())

    result = _run(Settings(home=tmp_path), lazy if lazily else eager, reader)
    assert result.success
    assert_frame_equal(seen[0], FRAME)
    facts = result.asset_materializations_for_node("frame")[0].metadata
    assert facts["dagster/row_count"].value == 3
    assert [path.name for path in (tmp_path / "assets").iterdir()] == ["frame.parquet"]


def test_only_the_asked_columns_are_loaded_of_a_training_file(published: Settings) -> None:
    seen: list[pl.LazyFrame] = []
    columns = ["interval_time", "target_bqx45_h15"]

    @dg.asset(
        partitions_def=PAIRS,
        ins={"training": dg.AssetIn(TRAINING, metadata={"columns": columns})},
    )
    def trained(training: pl.LazyFrame) -> None:
        seen.append(training)

    assert _run(published, dg.AssetSpec(TRAINING, partitions_def=PAIRS), trained, pair="eurusd").success
    expected = pl.read_parquet(published.training_file(parse_pair("eurusd")), columns=columns)
    assert seen[0].collect_schema().names() == columns
    assert_frame_equal(seen[0].collect(), expected)


def test_the_pairs_of_several_partitions_come_as_one_dict(published: Settings) -> None:
    seen: dict[str, pl.LazyFrame] = {}
    mapping = dg.SpecificPartitionsPartitionMapping(["eurusd", "gbpusd"])
    missing = {"allow_missing_partitions": True}

    @dg.asset(ins={"training": dg.AssetIn(TRAINING, partition_mapping=mapping, metadata=missing)})
    def pooled(training: dict[str, pl.LazyFrame]) -> None:
        seen.update(training)

    run = _run(published, dg.AssetSpec(TRAINING, partitions_def=PAIRS), pooled)
    assert run.success
    assert list(seen) == ["eurusd"]


def test_a_wide_frame_makes_a_small_event_in_no_time(tmp_path: Path) -> None:
    """The base's own metadata had not finished after 15 minutes at 2,000 columns."""
    wide = pl.DataFrame({f"column_{number}": [0.5] for number in range(WIDE_COLUMNS)})

    @dg.asset
    def frame() -> pl.DataFrame:
        return wide

    result = _run(Settings(home=tmp_path), frame)
    assert result.success
    assert result.asset_materializations_for_node("frame")[0].metadata["columns"].value == WIDE_COLUMNS
    assert max(len(serialize_value(event)) for event in result.all_events) < 10_000


def test_a_narrow_frame_shows_its_schema(tmp_path: Path) -> None:
    @dg.asset
    def frame() -> pl.DataFrame:
        return FRAME

    schema = (
        _run(Settings(home=tmp_path), frame)
        .asset_materializations_for_node("frame")[0]
        .metadata["dagster/column_schema"]
    )
    assert isinstance(schema, dg.TableSchemaMetadataValue)
    assert [column.name for column in schema.schema.columns] == ["a", "b"]


def _fails() -> pl.LazyFrame:
    return FRAME.lazy().with_columns(pl.col("b").str.to_integer(strict=True))


def _foreign() -> str:
    return "no frame"


@pytest.mark.parametrize("make", [_fails, _foreign])
def test_what_cannot_be_written_leaves_the_earlier_file(tmp_path: Path, make: Callable[[], object]) -> None:
    @dg.asset(name="frame")
    def good() -> pl.DataFrame:
        return FRAME

    @dg.asset(name="frame")
    def bad() -> object:
        return make()

    assert _run(Settings(home=tmp_path), good).success
    assert not _run(Settings(home=tmp_path), bad).success
    assert_frame_equal(pl.read_parquet(tmp_path / "assets" / "frame.parquet"), FRAME)
    # Polars may still be closing what the failed one had begun: such a name is one that nothing reads.
    names = [path.name for path in (tmp_path / "assets").iterdir() if TEMP_MARK not in path.name]
    assert names == ["frame.parquet"]


def test_a_training_file_lies_where_the_command_line_finds_it(published: Settings) -> None:
    assert published.training_file(parse_pair("eurusd")).is_file()
    assert not (published.home / "assets").exists()
