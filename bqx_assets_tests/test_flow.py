"""End to end: the real embedded warehouse through the real graph; and every way to spoil a table, seen and survived."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import BqxError
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.fleet.ledger import PREFIX
from bqx_assets.runtime.keys import PUBLISHED, SLABS, SPINE
from bqx_assets.runtime.metadata import published_of
from bqx_assets.runtime.step import failure_error
from bqx_assets.sandbox.create import create_warehouse
from bqx_assets.sandbox.faults import FAULTS, inject_fault
from bqx_assets.sandbox.market.simulate import simulate
from bqx_assets_tests.runtime.homes import copy_home, failed_checks, make_home, materialised, run_graph, step_metadata

EURUSD = parse_pair("eurusd")
TABLES = 7

STOPPED_BY_A_TABLE = {
    "duplicates": "DuplicateKeys",
    "null-keys": "NullKeys",
    "empty-table": "EmptyTable",
    "type-drift": "SchemaDrift",
    "missing-column": "SchemaDrift",
    "missing-table": "TableMissing",
    "corrupt-file": "TableUnreadable",
    "corrupt-page": "TableUnreadable",
}
STOPPED_BY_THE_SPINE = {"target-duplicates": "DuplicateKeys", "missing-target": "CatalogueMismatch"}
STOPPED_BY_A_CHECK = {
    "short-table": "tables_cover_spine",
    "nan": "no_nan_or_infinity",
    "inf": "no_nan_or_infinity",
    "all-null": "no_unexpected_all_null",
    "target-gap": "completeness",
    "wrong-targets": "targets_are_the_future",
    # The column is quarantined by its values; a column fewer than expected must not be published in silence.
    "label-leak": "dimensions",
}
PUBLISHED_ALL_THE_SAME = {
    "extra-column": {"no_drift"},
    "extra-table": {"no_drift"},
    "constant": {"no_unexpected_constant"},
    "named-leak": set[str](),
}


@pytest.fixture(scope="session")
def published_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose pair went through once, every check passed."""
    home = make_home(tmp_path_factory.mktemp("flow") / "home", tables=TABLES)
    result = run_graph(Settings(home=home))
    assert result.success
    assert failed_checks(result) == set()
    return home


def test_rates_of_one_pair_alone_go_through_to_their_own_targets(tmp_path: Path) -> None:
    close = pl.Series(simulate(3_200, 2).pairs["usdjpy"].close).round(3)
    hours = pl.datetime_range(
        pl.datetime(2020, 1, 6), pl.datetime(2020, 1, 6) + pl.duration(hours=3_199), "1h", eager=True
    )
    pl.DataFrame({"Date": hours.dt.to_string("iso"), "Close": close}).write_csv(tmp_path / "usdjpy_h1.csv")
    create_warehouse(
        tmp_path / "warehouse",
        pairs=[parse_pair("usdjpy")],
        rows=3_200,
        tables=TABLES,
        seed=1,
        rates=tmp_path / "usdjpy_h1.csv",
        progress=Silent(),
    )
    settings = Settings(home=tmp_path)
    result = run_graph(settings, "usdjpy")
    assert result.success
    assert failed_checks(result) == set()
    found = pl.read_parquet(settings.output_dir / "training_usdjpy.parquet").get_column("target_bqx45_h15")
    wanted = ((close / close.shift(45) - 1) * 100).shift(-15).drop_nulls()
    assert found.to_list() == pytest.approx(wanted.to_list(), abs=1e-9)


@pytest.fixture
def settings(published_home: Path, tmp_path: Path) -> Settings:
    return copy_home(published_home, tmp_path / "home")


def test_the_published_file_is_the_merged_one_byte_by_byte_with_its_manifest(settings: Settings) -> None:
    merged, published = settings.training_file(EURUSD), settings.output_dir / "training_eurusd.parquet"
    manifest = Manifest.load(manifest_path(published))
    assert merged.read_bytes() == published.read_bytes()
    assert manifest.model_copy(update={"expectations": None, "dictionary": None}) == Manifest.load(
        manifest_path(merged)
    )
    assert manifest.expectations is not None
    assert manifest.dictionary is not None
    assert manifest.dictionary.counts["columns"] == manifest.file.columns
    assert manifest.expectations.place.endswith("expectations.toml")
    assert (published.stat().st_size, crc32c_of_file(published)) == (manifest.file.size_bytes, manifest.file.crc32c)
    frame = pl.read_parquet(published)
    assert frame.shape == (manifest.file.rows, manifest.file.columns)
    assert frame.columns == [column.name for slab in manifest.extraction.slabs for column in slab.provenance.columns]


def test_the_published_file_is_the_warehouses_tables_joined_on_the_spine(settings: Settings) -> None:
    published = pl.read_parquet(settings.output_dir / "training_eurusd.parquet")
    manifest = Manifest.load(manifest_path(settings.output_dir / "training_eurusd.parquet"))
    for slab in manifest.extraction.features():
        source = slab.provenance.source
        table = pl.read_parquet(settings.warehouse_dir / source.dataset / f"{source.table}.parquet")
        own = table.filter(pl.col("pair") == "eurusd") if "pair" in table.columns else table
        expected = published.select("interval_time").join(own, on="interval_time", how="left", maintain_order="left")
        columns = slab.provenance.columns
        assert_frame_equal(
            published.select(column.name for column in columns),
            expected.select(pl.col(column.source).alias(column.name) for column in columns),
        )


def test_a_second_run_resumes_every_table_and_publishes_nothing_new(settings: Settings) -> None:
    before = _files(settings.output_dir)
    result = run_graph(settings)
    assert result.success
    assert step_metadata(result, SLABS)["resumed_tables"] == TABLES
    assert published_of(step_metadata(result, PUBLISHED)).already_there
    assert _files(settings.output_dir) == before


def test_every_spoil_mode_has_its_ending_here() -> None:
    endings = [STOPPED_BY_A_TABLE, STOPPED_BY_THE_SPINE, STOPPED_BY_A_CHECK, PUBLISHED_ALL_THE_SAME]
    assert {mode for each in endings for mode in each} == set(FAULTS)


@pytest.mark.parametrize("mode", STOPPED_BY_A_TABLE)
def test_a_spoiled_table_is_named_the_others_are_saved_and_what_was_published_stays(
    settings: Settings, mode: str
) -> None:
    table = inject_fault(settings.warehouse_dir, mode, EURUSD).split(":")[0]
    before = _files(settings.output_dir)
    result = run_graph(settings)
    assert not result.success
    assert failed_checks(result) == {"tables_complete"}
    error = str(_error(result, "feature_slabs"))
    assert f"1 of {TABLES} tables failed: {table}; first: {STOPPED_BY_A_TABLE[mode]}" in error
    assert materialised(result) == [SPINE]
    assert len(list((settings.checkpoint_dir / "eurusd").glob("*.slab.json"))) >= TABLES
    assert _files(settings.output_dir) == before


@pytest.mark.parametrize("mode", STOPPED_BY_THE_SPINE)
def test_spoiled_targets_stop_the_pair_before_anything_is_read_onto_them(settings: Settings, mode: str) -> None:
    inject_fault(settings.warehouse_dir, mode, EURUSD)
    before = _files(settings.home / "bqx-ml-output"), _files(settings.home / "training")
    result = run_graph(settings)
    assert type(_error(result, "targets_spine")).__name__ == STOPPED_BY_THE_SPINE[mode]
    assert "targets_eurusd" in str(_error(result, "targets_spine"))
    assert materialised(result) == []
    assert (_files(settings.output_dir), _files(settings.home / "training")) == before


@pytest.mark.parametrize("mode", STOPPED_BY_A_CHECK)
def test_values_that_cannot_be_right_fail_the_named_check_and_are_not_published(settings: Settings, mode: str) -> None:
    inject_fault(settings.warehouse_dir, mode, EURUSD)
    before = _files(settings.output_dir)
    result = run_graph(settings)
    assert not result.success
    assert STOPPED_BY_A_CHECK[mode] in failed_checks(result)
    assert PUBLISHED not in materialised(result)
    assert _files(settings.output_dir) == before


@pytest.mark.parametrize("mode", PUBLISHED_ALL_THE_SAME)
def test_what_harms_no_value_is_reported_and_published(settings: Settings, mode: str) -> None:
    inject_fault(settings.warehouse_dir, mode, EURUSD)
    columns = pl.read_parquet_schema(settings.output_dir / "training_eurusd.parquet").keys()
    result = run_graph(settings)
    assert result.success
    assert failed_checks(result) == PUBLISHED_ALL_THE_SAME[mode]
    # Neither an unknown column or table nor a leak comes in by appearing.
    assert pl.read_parquet_schema(settings.output_dir / "training_eurusd.parquet").keys() == columns


def test_a_mended_table_is_the_only_one_read_again(settings: Settings, published_home: Path) -> None:
    table = inject_fault(settings.warehouse_dir, "duplicates", EURUSD).split(":")[0]
    assert not run_graph(settings).success
    whole = next((published_home / "warehouse").glob(f"*/{table}.parquet"))
    mended = settings.warehouse_dir / whole.relative_to(published_home / "warehouse")
    pl.read_parquet(whole).write_parquet(mended)  # the same rows, but other bytes
    result = run_graph(settings)
    assert result.success
    assert step_metadata(result, SLABS)["resumed_tables"] == TABLES - 1


def _error(result: dg.ExecuteInProcessResult, step: str) -> BqxError:
    """What a failed step tells of its error."""
    failure = result.failure_data_for_node(step)
    assert failure is not None
    assert failure.user_failure_data is not None
    error = failure_error(failure.user_failure_data.metadata)
    assert error is not None
    return error


def _files(folder: Path) -> dict[str, int]:
    """Each file with its bytes' checksum, but for what says when a file was last read, and the ledger of all runs."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".read" and not _is_ledger(path))
    return {str(path.relative_to(folder)): crc32c_of_file(path) for path in paths}


def _is_ledger(path: Path) -> bool:
    """Say whether a file is the ledger's, which each stage writes, also one that fails."""
    return PREFIX.strip("/") in path.parts
