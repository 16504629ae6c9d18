"""A stage in the ledger has what it took: its own counts, its time, and in a container what that time costs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bqx_assets.base.costs import cloud_run_usd, storage_operations_usd, storage_read_usd
from bqx_assets.base.errors import BudgetExceeded, UnknownTable
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.base.usage import Usage, count
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import PREFIX, Ledger
from bqx_assets.fleet.recording import Recorded, recorded, recorded_command
from bqx_assets.pipeline import Pipeline

EURUSD = parse_pair("eurusd")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(Settings(home=tmp_path))


def entries(pipeline: Pipeline) -> list[Entry]:
    return Ledger(pipeline.store).read().entries


def test_each_stage_has_its_own_counts_in_one_process(pipeline: Pipeline) -> None:
    count(Usage(class_a=1_000))  # what came before belongs to nobody
    for pair, usage in (("eurusd", Usage(read_bytes=10, class_a=2)), ("gbpusd", Usage(queried_bytes=5, class_b=7))):
        with recorded(pipeline, Recorded("run", pair, "slabs"), lambda: 1 << 20):
            count(usage)
    first, second = entries(pipeline)
    assert (first.read_bytes, first.class_a, first.queried_bytes, first.class_b) == (10, 2, 0, 0)
    assert (second.read_bytes, second.class_a, second.queried_bytes, second.class_b) == (0, 0, 5, 7)
    assert first.bigquery_usd == storage_read_usd(10)
    assert first.storage_usd == storage_operations_usd(2)
    assert (first.peak_bytes, first.place, first.compute_usd) == (1 << 20, "machine", 0)


def test_a_container_is_paid_for_from_its_processs_begin(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_RUN_JOB", "bqx-pair")
    for stage in ("spine", "slabs"):
        with recorded(pipeline, Recorded("run", "eurusd", stage), lambda: 0):
            pass
    first, second = entries(pipeline)
    assert first.place == "Cloud Run"
    assert first.vcpus >= 1
    assert first.gib > 0
    price = cloud_run_usd(1, vcpus=first.vcpus, gib=first.gib)
    assert second.compute_usd < 5 * price  # from the end of the first stage, not from the begin of the process


def test_the_end_of_a_run_joins_what_is_older_than_two_days(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bqx_assets.fleet.ledger._JOINED_AFTER", timedelta(seconds=-1))
    for stage, objects in (("merge", 1), ("publish", 2), ("merge", 3)):
        with recorded(pipeline, Recorded("run", "eurusd", stage), lambda: 0):
            pass
        assert len(list(pipeline.store.list_objects(PREFIX))) == objects
    assert [each.stage for each in entries(pipeline)] == ["merge", "publish", "merge"]


def test_a_stage_that_fails_has_its_error(pipeline: Pipeline) -> None:
    with pytest.raises(KeyboardInterrupt), recorded_command(pipeline, EURUSD, "merge"):
        raise KeyboardInterrupt
    (entry,) = entries(pipeline)
    assert (entry.outcome, entry.error) == ("failed", "Interrupted")
    assert entry.message == "cancelled by a person, or by a signal"
    assert entry.run.startswith("cli-")


@pytest.mark.parametrize(("read", "kept"), [(0, 0), (1 << 20, 1)])
def test_a_wrong_word_is_no_failed_stage_unless_something_was_billed_before(
    pipeline: Pipeline, read: int, kept: int
) -> None:
    def refused() -> None:
        with recorded_command(pipeline, EURUSD, "extract"):
            count(Usage(read_bytes=read, class_b=3))
            raise UnknownTable("eurusd", got="no_such_table", expected="a table", cure="bqx plan eurusd")

    with pytest.raises(UnknownTable):
        refused()
    assert len(entries(pipeline)) == kept


def test_a_spent_budget_stops_a_command_before_it_begins_and_leaves_no_entry(tmp_path: Path) -> None:
    pipeline = Pipeline(Settings(home=tmp_path, monthly_budget_usd=1e-12))
    with recorded_command(pipeline, EURUSD, "extract"):
        count(Usage(read_bytes=1 << 30))
    with pytest.raises(BudgetExceeded), recorded_command(pipeline, EURUSD, "extract"):
        pytest.fail("it began")
    assert len(entries(pipeline)) == 1
