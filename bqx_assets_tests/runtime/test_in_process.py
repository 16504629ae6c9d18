"""One run in this process: told as records, heard while it works, kept for the web server."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from bqx_assets.base.errors import ExtractionIncomplete, SystemRefused, TableMissing, TransientReadError
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.settings import Settings
from bqx_assets.quality.rules import RULES
from bqx_assets.runtime.in_process import PairRun, run_pair
from bqx_assets.runtime.instance import PROCESS_TAG, process_tag
from bqx_assets.runtime.launcher.tags import OUTCOME_TAG
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.runtime.homes import copy_home

EURUSD = parse_pair("eurusd")


@pytest.fixture(autouse=True)
def _own_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


class Stages(Silent):
    """Keeps the names of the stages it hears begin."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def start(self, stage: str, total: int) -> None:  # noqa: ARG002 -- the protocol's
        self.names.append(stage)


@pytest.fixture(scope="module")
def kept(small_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, PairRun, Stages]:
    """A run in a home with a Dagster instance."""
    settings, heard = copy_home(small_home, tmp_path_factory.mktemp("kept") / "home"), Stages()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        return settings, run_pair(EURUSD, settings, heard), heard


@pytest.fixture
def opened(kept: tuple[Settings, PairRun, Stages], settings: Settings) -> Settings:
    """A home without slabs, whose Dagster instance is made already."""
    shutil.copytree(kept[0].home / "dagster", settings.home / "dagster")
    return settings


def _outcome(settings: Settings) -> str:
    """The outcome of the latest run."""
    with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as instance:
        return instance.get_runs(limit=1)[0].tags[OUTCOME_TAG]


def test_a_run_tells_its_stages_checks_and_publication(kept: tuple[Settings, PairRun, Stages]) -> None:
    settings, run, heard = kept
    assert run.passed
    assert [stage.name for stage in run.stages] == ["spine", "slabs", "merge", "validate", "publish"]
    assert all(stage.seconds > 0 and stage.peak_bytes > 50_000_000 for stage in run.stages)
    assert len(run.verdicts) == len(RULES) + 3
    assert run.published is not None
    assert Path(run.published.uri).read_bytes() == settings.training_file(EURUSD).read_bytes()
    assert list(dict.fromkeys(heard.names)) == ["extract", "merge", "validate", "publish"]


def test_a_run_is_found_in_the_home_by_whoever_opens_it_later(kept: tuple[Settings, PairRun, Stages]) -> None:
    settings, run, _ = kept
    assert run.dagster_home == str(settings.home / "dagster")
    with dg.DagsterInstance.from_config(run.dagster_home) as instance:
        record = instance.get_run_by_id(run.run_id)
        assert record is not None
        assert (record.status, record.job_name) == (dg.DagsterRunStatus.SUCCESS, "pair_job")
        assert record.tags["dagster/partition"] == record.tags["bqx/pair"] == "eurusd"
        assert record.tags[OUTCOME_TAG] == "published"
        assert record.tags[PROCESS_TAG] == process_tag()
        assert record.tags["dagster/max_retries"] == "0"
        # The first page of the web server groups runs by their code location, and leaves out those without one.
        assert record.remote_job_origin is not None
        assert record.remote_job_origin.repository_origin.get_label() == "__repository__@bqx_assets"
        assert instance.get_materialized_partitions(dg.AssetKey("published_training_file")) == {"eurusd"}


def test_a_failed_blocking_check_is_a_verdict_and_nothing_is_published(opened: Settings) -> None:
    inject_fault(opened.warehouse_dir, "all-null", EURUSD)
    run = run_pair(EURUSD, opened, Silent())
    assert not run.passed
    assert run.published is None
    assert _outcome(opened) == "checks_failed"
    assert "no_unexpected_all_null" in {each.rule for each in run.verdicts if not each.passed}
    assert [stage.name for stage in run.stages] == ["spine", "slabs", "merge", "validate"]


def test_a_stages_error_comes_out_as_the_stage_raised_it(opened: Settings) -> None:
    inject_fault(opened.warehouse_dir, "missing-table", EURUSD)
    with pytest.raises(ExtractionIncomplete, match="TableMissing") as caught:
        run_pair(EURUSD, opened, Silent())
    assert caught.value.cure.endswith("bqx extract eurusd")
    assert _outcome(opened) == "tables_failed"


def test_a_pair_without_targets_is_an_error_that_names_them(opened: Settings) -> None:
    with pytest.raises(TableMissing, match="targets_gbpusd"):
        run_pair(parse_pair("gbpusd"), opened, Silent())


def test_a_fault_nobody_foresaw_names_the_step_and_says_where_to_look(
    opened: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("bqx_assets.pipeline.extract_spine", broken)
    with pytest.raises(Exception, match=r"eurusd/targets_spine: .*a fault.*--debug"):
        run_pair(EURUSD, opened, Silent())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EMFILE])
def test_what_the_system_refuses_in_a_step_comes_out_as_any_other_command_would_say_it(
    opened: Settings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(_: object) -> None:
        raise OSError(number, os.strerror(number), "/somewhere/slab.parquet")

    monkeypatch.setattr("bqx_assets.pipeline.extract_spine", refused)
    with pytest.raises(SystemRefused, match=os.strerror(number)) as caught:
        run_pair(EURUSD, opened, Silent())
    assert caught.value.subject == "/somewhere/slab.parquet"


def test_a_cause_that_outlasts_the_retries_is_told_and_not_their_number(
    opened: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_: object) -> None:
        raise TransientReadError("targets_eurusd", got="503", expected="rows", cure="Try again later.")

    monkeypatch.setattr("bqx_assets.pipeline.extract_spine", unavailable)
    monkeypatch.setitem(RETRIES, "step", replace(RETRIES["step"], first_wait_seconds=0.01))
    with pytest.raises(TransientReadError, match="targets_eurusd: 503"):
        run_pair(EURUSD, opened, Silent())


def test_a_home_that_dagster_cannot_keep_a_run_in_is_named_in_one_error(settings: Settings) -> None:
    history = settings.home / "dagster" / "history"
    history.mkdir(parents=True)
    (history / "runs.db").write_bytes(b"no database " * 1_000)
    with pytest.raises(SystemRefused, match="not a database") as caught:
        run_pair(EURUSD, settings, Silent())
    assert caught.value.subject == str(settings.home / "dagster")
