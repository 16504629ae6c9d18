"""The fleet's state follows from real homes: artefacts, reports, the ledger and, on demand, the warehouse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from typer.testing import CliRunner

from bqx_assets.base.artifacts import EXTRACTION_FILE
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.families import TARGETS_DATASET
from bqx_assets.cli.main import app
from bqx_assets.fleet.observe import fleet_state
from bqx_assets.fleet.recording import recorded_command
from bqx_assets.fleet.state import FleetState, PairState, Source
from bqx_assets.pipeline import Pipeline
from bqx_assets.sandbox.create import create_warehouse
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

GOOD, HALF, ODD, NEVER = (parse_pair(name) for name in ("eurusd", "gbpusd", "usdjpy", "usdchf"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a published pair, one of which only slabs exist, one of an unreadable record, and one never run."""
    root = tmp_path_factory.mktemp("fleet")
    create_warehouse(
        root / "warehouse", pairs=[GOOD, HALF, ODD], rows=3_600, tables=5, seed=1, rates=None, progress=Silent()
    )
    pipeline = Pipeline(Settings(home=root))
    for pair in (GOOD, HALF, ODD):
        with recorded_command(pipeline, pair, "extract"):
            pipeline.extract(pair)
    with recorded_command(pipeline, GOOD, "merge"):
        pipeline.merge(GOOD)
    with recorded_command(pipeline, GOOD, "publish"):
        pipeline.publish(GOOD)
    record = root / "checkpoints" / ODD.name / EXTRACTION_FILE
    record.write_text(json.dumps(json.loads(record.read_bytes()) | {"format_version": 99}))
    yield root
    shutil.rmtree(root)


def seen(home: Path, *, ask_sources: bool = False, later: timedelta = timedelta()) -> FleetState:
    settings = Settings(home=home, fleet="eurusd gbpusd usdjpy usdchf")
    return fleet_state(Pipeline(settings), datetime.now(UTC) + later, ask_sources=ask_sources)


def of(state: FleetState, pair: str) -> PairState:
    return next(each for each in state.pairs if each.status.pair == pair)


def test_a_published_pair_is_good_with_its_families_checks_and_costs(home: Path) -> None:
    found = of(seen(home), "eurusd")
    assert found.is_good
    assert (found.status.published, found.fresh, found.source) == ("done", True, "not asked")
    assert {family.family for family in found.families} >= {"base", "csi"}
    assert all(0 <= (family.null_share or 0) <= 1 for family in found.families)
    assert any(family.null_share for family in found.families)
    assert all(0 < (family.matched_share or 0) <= 1 for family in found.families)
    assert [stage.stage for stage in found.stages] == ["extract", "merge", "publish"]
    assert (found.usd, found.seconds) == (0, found.stages[-1].seconds)
    assert found.verdicts


def test_each_other_pair_is_told_apart(home: Path) -> None:
    state = seen(home)
    half, odd, never = (of(state, name) for name in ("gbpusd", "usdjpy", "usdchf"))
    assert (half.status.slabs, half.status.published, half.fresh) == ("done", "none", None)
    assert "format version 99" in odd.status.problem
    assert (never.status.spine, never.stages) == ("none", ())
    assert [pair.is_good for pair in state.pairs] == [True, False, False, False]


def test_the_fleet_is_the_pairs_with_tables_and_those_of_which_something_was_made(home: Path, tmp_path: Path) -> None:
    def names(place: Path) -> list[str]:
        state = fleet_state(Pipeline(Settings(home=place)), datetime.now(UTC))
        return [each.status.pair for each in state.pairs]

    assert names(home) == ["eurusd", "gbpusd", "usdjpy"]
    left = tmp_path / "home"
    shutil.copytree(home, left)
    for pair in ("gbpusd", "usdjpy"):
        (left / "warehouse" / TARGETS_DATASET / f"targets_{pair}.parquet").unlink()
    shutil.rmtree(left / "checkpoints" / "usdjpy")
    shutil.rmtree(left / "bqx-ml-output" / "ledger")
    assert names(left) == ["eurusd", "gbpusd"]


def test_data_grow_stale_with_time(home: Path) -> None:
    assert of(seen(home, later=timedelta(days=7.9)), "eurusd").fresh is True
    assert of(seen(home, later=timedelta(days=8.1)), "eurusd").fresh is False


def test_a_warehouse_is_asked_on_demand_and_tells_what_changed(home: Path, tmp_path: Path) -> None:
    changed = tmp_path / "home"
    shutil.copytree(home, changed)
    assert of(seen(changed, ask_sources=True), "eurusd").source == "unchanged"
    advanced = CliRunner().invoke(app, ["warehouse", "advance", str(changed / "warehouse"), "--bars", "30"])
    assert advanced.exit_code == 0, advanced.output
    assert of(seen(changed, ask_sources=True), "eurusd").source == "changed"
    shutil.rmtree(changed / "warehouse")
    gone = of(seen(changed, ask_sources=True), "eurusd")
    assert (gone.source, gone.source_error != "") == ("not asked", True)
    assert gone.status.published == "done"


def test_people_see_each_pair_and_what_needs_attention(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_FLEET", "eurusd,gbpusd,usdjpy,usdchf")
    told = CliRunner().invoke(app, ["--home", str(home), "status"]).output
    assert "usdjpy: " in told
    assert "format version 99" in told
    assert "gbpusd: begun, and not published" in told
    assert "1 pair never run: usdchf" in told
    assert "1 of 4 pairs published, verified and fresh" in told
    assert max(map(len, told.splitlines()[:3])) <= 80
    facts = json.loads(CliRunner().invoke(app, ["--home", str(home), "status", "--json"]).stdout)
    assert facts["published"] == 1
    assert [each["pair"] for each in facts["pairs"]] == ["eurusd", "gbpusd", "usdjpy", "usdchf"]
    assert [each["kind"] for each in facts["attention"]] == ["unreadable", "missing", "missing"]
    assert facts["pairs"][0]["spine"] == "done"


def test_pairs_are_asked_for_their_sources_at_once_and_keep_their_own_answers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Barrier(2, timeout=30)

    def told(pipeline: Pipeline, pair: Pair) -> tuple[Source, str]:
        assert pipeline.settings.home == home
        together.wait()
        return ("changed", "") if pair == GOOD else ("not asked", f"no answer about {pair}")

    monkeypatch.setattr("bqx_assets.fleet.observe.changed_source", told)
    state = seen(home, ask_sources=True)
    assert [(each.source, each.source_error) for each in state.pairs] == [
        ("changed", ""),
        ("not asked", "no answer about gbpusd"),
        ("not asked", ""),
        ("not asked", ""),
    ]


@pytest.mark.parametrize("tables", [3, 12])
def test_a_pair_in_a_bucket_takes_twenty_requests_whatever_its_number_of_tables(
    gcs: GcsServer, tmp_path: Path, tables: int
) -> None:
    create_warehouse(
        tmp_path / "warehouse", pairs=[GOOD], rows=3_600, tables=tables, seed=1, rates=None, progress=Silent()
    )
    settings = Settings(home=tmp_path, output=f"gs://{BUCKET}", fleet="eurusd")
    pipeline = Pipeline(settings)
    pipeline.extract(GOOD)
    pipeline.merge(GOOD)
    with recorded_command(pipeline, GOOD, "publish"):
        pipeline.publish(GOOD)
    gcs.log.clear()
    state = fleet_state(Pipeline(settings), datetime.now(UTC))
    assert of(state, "eurusd").is_good
    assert gcs.log.count().total() <= 20
