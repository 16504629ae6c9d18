"""Every command of ``bqx`` with BigQuery as warehouse and a bucket as output: the same words, no file kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.base.store.staging_names import JOINS, merged_name
from bqx_assets.cli.main import app
from bqx_assets.extract.slabs import slabs_prefix
from bqx_assets.fleet.ledger import PREFIX, Ledger
from bqx_assets.quality.rules import RULES
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.servers.bigquery.gate import ReadGate
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

PUBLISHED = f"gs://{BUCKET}/training_eurusd.parquet"
MERGED = f"gs://{BUCKET}/{merged_name(EURUSD)}"
TABLES = 7


def _bqx(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.stdout


def _json(*words: str, code: int = 0) -> dict[str, Any]:
    return json.loads(_bqx(*words, "--json", code=code))


def _counted(cloud: GcsServer, stage: str, *words: str) -> dict[str, Any]:
    """Return a command's answer, after its entry in the ledger was compared with the server's own counts."""
    cloud.log.clear()
    answer = _json(*words)
    class_a, class_b = cloud.log.billed()
    uploaded_bytes = cloud.log.uploaded_bytes
    entry = Ledger(GcsObjectStore(BUCKET)).read().entries[-1]
    cloud.log.ranges[:] = [each for each in cloud.log.ranges if not each[0].startswith(PREFIX)]
    assert (entry.pair, entry.stage, entry.outcome) == ("eurusd", stage, "done")
    assert (entry.class_a, entry.class_b) == (class_a, class_b)
    assert 0 < uploaded_bytes - entry.written_bytes < 20_000  # the entry itself, whose size is not known before
    assert entry.storage_usd > 0
    return answer


def _eurusd() -> dict[str, Any]:
    return next(each for each in _json("status")["pairs"] if each["pair"] == "eurusd")


def test_a_pair_goes_stage_by_stage_from_bigquery_into_the_bucket(
    cloud: GcsServer, gate: ReadGate, tmp_path: Path
) -> None:
    plan = _json("plan", "eurusd")
    assert plan["read_bytes"] > 0
    assert plan["read_usd"] == pytest.approx(plan["read_bytes"] / 2**40 * 1.1)

    extracted = _counted(cloud, "extract", "extract", "eurusd")
    assert extracted["folder"] == f"gs://{BUCKET}/{slabs_prefix(EURUSD)[:-1]}"
    assert (extracted["tables"], extracted["resumed_tables"]) == (TABLES, 0)
    assert (_eurusd()["slabs"], _eurusd()["merged"]) == ("done", "none")
    assert _json("plan", "eurusd")["read_bytes"] == 0

    gate.tables.clear()
    assert _json("extract", "eurusd")["resumed_tables"] == TABLES
    assert not gate.tables

    merged = _counted(cloud, "merge", "merge", "eurusd")
    assert (merged["file"], merged["engine"]) == (MERGED, "compose")
    assert (_eurusd()["merged"], _eurusd()["validated"]) == ("done", "none")

    report = _json("validate", MERGED, "--pair", "eurusd")
    assert report["passed"]
    assert len(report["verdicts"]) == len(RULES)
    assert (_eurusd()["validated"], _eurusd()["published"]) == ("done", "none")

    published = _counted(cloud, "publish", "publish", "eurusd")
    assert published["uri"] == PUBLISHED
    read = {name for name, _, _ in cloud.log.ranges if name.endswith(".parquet") and not name.startswith("companions/")}
    assert read == {MERGED.removeprefix(f"gs://{BUCKET}/")}  # a kept report is a claim: validated again
    assert _eurusd()["published"] == "done"
    assert _eurusd()["uri"] == PUBLISHED

    assert _json("validate", PUBLISHED, "--pair", "eurusd", "--shallow")["passed"]
    assert _json("publish", "eurusd", "--clean-checkpoints")["already_there"]
    assert [name for name in cloud.buckets[BUCKET].live if name.startswith(slabs_prefix(EURUSD))] == [
        f"{slabs_prefix(EURUSD)}spine.json"
    ]
    assert (_eurusd()["slabs"], _eurusd()["published"]) == ("none", "done")
    assert not list(tmp_path.iterdir())


def test_run_takes_a_pair_through_the_graph_into_the_bucket_by_expectations_that_lie_there(
    cloud: GcsServer, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (warehouse / "expectations.toml").read_bytes()
    GcsObjectStore(BUCKET).put_bytes("settings/expectations.toml", text)
    monkeypatch.setenv("BQX_EXPECTATIONS", f"gs://{BUCKET}/settings")
    run = _json("run", "eurusd")
    assert run["passed"]
    assert run["published"]["uri"] == PUBLISHED
    assert [stage["name"] for stage in run["stages"]] == ["spine", "slabs", "merge", "validate", "publish"]
    assert not [name for name in Path().rglob("*.parquet") if name.is_file()]
    ends = ("parquet", "manifest.json", "report.json", "expectations.toml", "columns.parquet", "columns.md")
    assert {name.split("/")[0] for name in cloud.buckets[BUCKET].live} == {
        "settings",
        "staging",
        "companions",
        "ledger",
        *(f"training_eurusd.{end}" for end in ends),
    }
    judged = run["published"]["expectations"]
    assert judged["place"] == f"gs://{BUCKET}/settings/expectations.toml"
    monkeypatch.delenv("BQX_EXPECTATIONS")
    later = _json("validate", PUBLISHED, "--pair", "eurusd")["expectations"]
    assert later["sha256"] == judged["sha256"]
    assert later["place"] == f"kept with the file ({judged['place']})"


def test_what_would_read_more_than_max_bytes_is_refused_before_a_row_is_read(
    cloud: GcsServer, gate: ReadGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BQX_MAX_BYTES", "1000")
    for command in ("plan", "extract"):
        failure = _json(command, "eurusd", code=1)
        assert failure["error"] == "BudgetExceeded"
        assert "USD" in failure["got"]
    assert not gate.tables
    written = [name for name in cloud.buckets[BUCKET].live if name.endswith(".parquet")]
    assert [name.split("/")[0] for name in written] == ["ledger"]  # the failed run's line


def test_a_slab_that_failed_is_counted_and_named(cloud: GcsServer) -> None:
    cloud.fail("object.insert", status=403, name="mkt_")
    _bqx("extract", "eurusd", code=1)
    found = _eurusd()
    assert found["slabs"] == "partial"
    assert len(found["failed_tables"]) == 1
    cloud.buckets[BUCKET].live.pop(f"{slabs_prefix(EURUSD)}extraction.json")  # as after a kill: counted all the same
    assert _eurusd()["slabs_done"] == TABLES - 1


def test_tables_joined_in_bigquery_make_the_same_slabs_and_cost_the_price_of_queries(
    cloud: GcsServer, gate: ReadGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BQX_WAY", "query")
    joins = next(line for line in _json("doctor", "--only", "bigquery")["lines"] if line["name"] == "joins")
    assert joins["state"] == "passed", joins
    gate.reset()
    plan = _json("plan", "eurusd")
    assert plan["read_usd"] == pytest.approx(plan["read_bytes"] / 2**40 * 6.25)
    assert _json("extract", "eurusd")["tables"] == TABLES
    assert gate.tables == ["targets_eurusd"]
    assert not [name for name in cloud.buckets[BUCKET].live if name.startswith(JOINS)]
    monkeypatch.setenv("BQX_WAY", "read")
    assert _json("extract", "eurusd")["resumed_tables"] == TABLES


def test_store_init_sets_the_buckets_rules_once_and_reads_them_back(cloud: GcsServer) -> None:
    first = _json("store", "init")
    assert (first["changed"], first["versioning"], first["staging_days"]) == (True, True, 7)
    rules = cloud.buckets[BUCKET].settings["lifecycle"]["rule"]
    aged = [rule["condition"]["matchesPrefix"] for rule in rules if rule["condition"].get("age") == 7]
    assert aged
    # Of what lies under staging/ only what this package puts there, never the whole of it.
    assert all(prefix.startswith(STAGING) and prefix != STAGING for prefixes in aged for prefix in prefixes)
    assert not _json("store", "init")["changed"]
    assert "published files are kept" in _bqx("store", "init")


def test_store_init_needs_nothing_of_a_folder(cloud: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cloud.buckets
    monkeypatch.delenv("BQX_OUTPUT")
    assert not _json("store", "init")["changed"]


def test_the_slow_engine_is_refused_where_slabs_are_objects(cloud: GcsServer) -> None:
    assert cloud.buckets
    assert _json("merge", "eurusd", "--engine", "join", code=2)["error"] == "BadSetting"


def test_folders_that_are_named_stay_folders(cloud: GcsServer, tmp_path: Path) -> None:
    assert _json("extract", "eurusd", "--output-dir", "slabs")["folder"] == "slabs/eurusd"
    assert _json("merge", "eurusd", "--checkpoint-dir", "slabs", "--output", "made.parquet")["engine"] == "splice"
    assert _json("publish", "eurusd", "--file", "made.parquet")["uri"] == PUBLISHED
    assert (tmp_path / "made.parquet").stat().st_size == len(cloud.buckets[BUCKET].live["training_eurusd.parquet"].data)
