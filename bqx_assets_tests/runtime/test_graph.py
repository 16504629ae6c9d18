"""The graph as Dagster sees it: complete, loadable without a warning, and run as it is drawn."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow as pa
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster_shared.serdes import serialize_value

from bqx_assets.base.artifacts import REPORT_SUFFIX, Manifest, manifest_path
from bqx_assets.base.errors import TransientReadError
from bqx_assets.base.pairs import ALL_PAIRS, parse_pair
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.families import family_names
from bqx_assets.definitions import defs
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets.quality.rules import RULES
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.keys import PUBLISHED, SLABS, SPINE, TARGETS, TRAINING, family_key
from bqx_assets.runtime.launcher.tags import OUTCOME_TAG
from bqx_assets.runtime.metadata import published_of
from bqx_assets.runtime.workspace import Workspace
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.runtime.homes import STAGES, failed_checks, materialised, run_graph, step_metadata

EVENT_BYTES = 64_000
EURUSD = parse_pair("eurusd")
Done = tuple[Settings, dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Workspace())


def test_every_asset_says_what_it_is_and_whose(definitions: dg.Definitions) -> None:
    for key, spec in {spec.key: spec for spec in definitions.resolve_all_asset_specs()}.items():
        assert spec.description, key
        assert spec.kinds, key
        assert spec.owners == ["team:ml-data"], key
        assert spec.group_name in {"training", "bigquery"}, key
        assert key not in STAGES or spec.code_version, key


def test_the_river_flows_from_the_warehouse_to_the_published_file(definitions: dg.Definitions) -> None:
    upstream = {spec.key: {dep.asset_key for dep in spec.deps} for spec in definitions.resolve_all_asset_specs()}
    assert upstream[SPINE] == {TARGETS}
    assert SPINE in upstream[SLABS]
    assert family_key("triangulation") in upstream[SLABS]
    assert upstream[TRAINING] == {SLABS}
    assert upstream[PUBLISHED] == {TRAINING}


def test_a_partition_is_a_pair_in_market_order(definitions: dg.Definitions) -> None:
    pairs = [pair.name for pair in ALL_PAIRS]
    assert len(pairs) == 28
    for spec in definitions.resolve_all_asset_specs():
        if spec.key in STAGES:
            assert spec.partitions_def is not None
            assert list(spec.partitions_def.get_partition_keys()) == pairs


def test_every_rule_is_a_check_of_the_training_file_and_errors_block(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for rule in RULES:
        spec = graph.get_check_spec(dg.AssetCheckKey(TRAINING, rule.name))
        assert spec.blocking == (rule.severity == "error")
        assert spec.partitions_def is not None
        assert spec.description == rule.description
    assert len(graph.asset_check_keys) == len(RULES) + 4


def test_the_published_file_has_a_freshness_policy_by_the_setting_and_wrong_settings_do_not_close_the_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def window() -> timedelta:
        policy = build_definitions(Workspace()).resolve_asset_graph().get(PUBLISHED).freshness_policy
        assert isinstance(policy, TimeWindowFreshnessPolicy)
        return policy.fail_window.to_timedelta()

    for text, days in (("", 8), ("3", 3), ("-1", 8)):
        monkeypatch.setenv("BQX_FRESH_DAYS", text)
        assert window() == timedelta(days=days)


def test_the_definitions_load_and_hold_together() -> None:
    dg.Definitions.validate_loadable(defs())


def test_loading_warns_of_nothing_touches_no_file_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, dagster as dg; from bqx_assets.definitions import defs; dg.Definitions.validate_loadable(defs());"
        "print([name for name in ('pandas', 'google.cloud.bigquery', 'dagster_gcp', 'duckdb') if name in sys.modules])"
    )
    ignored = ["-W", "error", "-W", "ignore::DeprecationWarning:google"]
    done = subprocess.run(
        [sys.executable, *ignored, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


def test_a_pair_goes_through_the_whole_graph_and_every_check_passes(done: Done) -> None:
    settings, result = done
    assert result.success
    assert materialised(result) == list(STAGES)
    assert len(result.get_asset_check_evaluations()) == len(RULES) + 3
    assert failed_checks(result) == set()
    manifest = Manifest.load(manifest_path(settings.training_file(EURUSD)))
    published = pl.read_parquet(settings.output_dir / "training_eurusd.parquet")
    assert published.shape == (manifest.file.rows, manifest.file.columns)


def test_every_asset_tells_rows_bytes_seconds_and_memory_in_small_events(done: Done) -> None:
    _, result = done
    for key in STAGES:
        facts = step_metadata(result, key)
        assert {"dagster/row_count", "size_bytes", "columns", "seconds", "peak_memory_bytes"} <= facts.keys()
        assert int(str(facts["peak_memory_bytes"])) > 50_000_000
    assert max(len(serialize_value(event)) for event in result.all_events) < EVENT_BYTES


def test_columns_and_lineage_are_told_by_family_and_lead_to_the_warehouse(done: Done) -> None:
    for key, above in ((SLABS, {family_key(name) for name in family_names()}), (TRAINING, {SLABS, SPINE})):
        facts = step_metadata(done[1], key)
        schema, lineage = facts["dagster/column_schema"], facts["dagster/column_lineage"]
        assert isinstance(schema, dg.TableSchema)
        assert isinstance(lineage, dg.TableColumnLineage)
        assert len(schema.columns) < 20
        assert lineage.deps_by_column.keys() <= {column.name for column in schema.columns}
        deps = {dep.asset_key for each in lineage.deps_by_column.values() for dep in each}
        assert deps
        assert deps <= above


def test_a_second_run_reads_no_table_again_and_publishes_nothing_new(done: Done, published: Settings) -> None:
    first = done[1]
    second = run_graph(published)
    assert second.success
    assert step_metadata(second, SLABS)["resumed_tables"] == step_metadata(first, SLABS)["tables"]
    one, two = (published_of(step_metadata(each, PUBLISHED)) for each in (first, second))
    assert (one.already_there, two.already_there) == (False, True)
    assert one.generation == two.generation


def test_a_pair_the_warehouse_does_not_hold_fails_and_says_so(settings: Settings) -> None:
    result = run_graph(settings, "gbpusd")
    assert not result.success
    failure = result.failure_data_for_node("targets_spine")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert {"error", "subject", "got", "expected", "cure"} == failure.user_failure_data.metadata.keys()


def test_publishing_alone_validates_first(published: Settings) -> None:
    report = published.training_file(EURUSD).with_suffix(REPORT_SUFFIX)
    for path in [report, *published.output_dir.glob("training_*")]:
        path.unlink()
    assert run_graph(published, selection=[PUBLISHED]).success
    assert report.is_file()
    assert (published.output_dir / "training_eurusd.report.json").is_file()


def test_publishing_alone_what_failed_says_which_assets_to_make_and_making_them_ends_well(
    published: Settings, tmp_path: Path
) -> None:
    right = tmp_path / "right"
    shutil.copytree(published.warehouse_dir, right)
    inject_fault(published.warehouse_dir, "all-null", EURUSD)
    with dg.DagsterInstance.ephemeral() as instance:
        failed = run_graph(published, instance=instance)
        said = [each.user_message for each in instance.all_logs(failed.run_id) if each.level == logging.ERROR]
    assert not failed.success
    advice = next(each for each in said if each.startswith("eurusd: nothing is published. Mend the source, then "))
    assert "a re-execution from failure takes the old file again" in advice
    shutil.rmtree(published.warehouse_dir)
    shutil.copytree(right, published.warehouse_dir)
    again = run_graph(published, selection=[PUBLISHED])
    failure = again.failure_data_for_node("published_training_file")
    assert failure is not None
    assert failure.user_failure_data is not None
    cure = str(failure.user_failure_data.metadata["cure"].value)
    assert all(key.to_user_string() in cure for key in STAGES)
    assert "bqx fleet run --failed" in cure
    got = str(failure.user_failure_data.metadata["got"].value)
    assert got.endswith("its sources have changed since this file was made")
    with dg.DagsterInstance.ephemeral() as instance:
        repeated = run_graph(published, instance=instance, tags={OUTCOME_TAG: "checks_failed"})
        run = instance.get_run_by_id(repeated.run_id)
    assert repeated.success
    assert run is not None
    assert run.tags[OUTCOME_TAG] == "published"


def test_a_read_that_keeps_failing_for_a_while_is_tried_anew_and_only_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Counter[str]()
    read = LocalWarehouse.read

    def failing(self: LocalWarehouse, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        reads[request.table.table] += 1
        if request.table.table == "mkt_corr" and reads["mkt_corr"] <= RETRIES["table_read"].attempts:
            raise TransientReadError("mkt_corr", got="503", expected="rows", cure="Try again.")
        return read(self, request)

    monkeypatch.setattr(LocalWarehouse, "read", failing)
    monkeypatch.setitem(RETRIES, "table_read", replace(RETRIES["table_read"], longest_wait_seconds=0.01))
    result = run_graph(settings)
    assert result.success
    assert result.retry_attempts_for_node("feature_slabs") == 1
    assert reads == {**dict.fromkeys(reads, 1), "mkt_corr": RETRIES["table_read"].attempts + 1}
