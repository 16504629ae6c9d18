"""Errors as Dagster shows them: four parts, cut to size, tried again only where that may help."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from bqx_assets.base.errors import BqxError, DuplicateKeys, TransientReadError, UnknownPair
from bqx_assets.base.progress import Silent
from bqx_assets.base.usage import Usage, count
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.runtime.step import MOST_BYTES, StepProgress, failure, failure_error, listener, listening, step
from bqx_assets.runtime.workspace import Workspace


@dataclass
class Context:
    """What a step needs of Dagster's context."""

    partition_key: str
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("test"))
    run_id: str = "a-run"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_HOME", str(tmp_path))


class Heard(Silent):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.warnings: list[str] = []

    def advance(self, stage: str, item: str, note: str = "") -> None:
        self.items.append(f"{stage} {item} {note}")

    def warn(self, stage: str, message: str) -> None:
        self.warnings.append(f"{stage} {message}")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    caplog.set_level(logging.INFO)
    return logging.getLogger("step")


@pytest.mark.parametrize("total", [1, 7, 667])
def test_a_stage_of_any_size_is_a_dozen_log_lines(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, total: int
) -> None:
    progress = StepProgress(log, Silent())
    progress.start("extract", total)
    for number in range(total):
        progress.advance("extract", f"table_{number}")
    lines = [record.message for record in caplog.records]
    assert len(lines) <= 13
    assert lines[-1] == f"extract: {total} of {total}, table_{total - 1}"


def test_a_listener_hears_every_step_and_warning(log: logging.Logger) -> None:
    heard = Heard()
    progress = StepProgress(log, heard)
    progress.start("extract", 3)
    for table in ("a", "b", "c"):
        progress.advance("extract", table, "resumed")
    progress.warn("extract", "quarantined")
    assert heard.items == ["extract a resumed", "extract b resumed", "extract c resumed"]
    assert heard.warnings == ["extract quarantined"]


def test_a_channel_leads_to_its_listener_while_it_listens_and_to_silence_after() -> None:
    heard = Heard()
    with listening(heard) as channel:
        assert listener(channel) is heard
    assert isinstance(listener(channel), Silent)
    assert not isinstance(listener(channel), Heard)


def test_nobody_listens_to_a_run_of_the_web_server() -> None:
    assert type(listener(None)) is Silent


def test_what_is_waited_for_is_logged_while_nothing_else_is(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("bqx_assets.runtime.step.time.monotonic", lambda: now)
    progress = StepProgress(log, Silent())
    progress.wait("catalogue", "too soon")
    now += 8
    progress.wait("catalogue", "bqx-ml is asked for its tables")
    progress.wait("catalogue", "too soon")
    assert [record.message for record in caplog.records] == ["catalogue: bqx-ml is asked for its tables"]


PARTS = {"got": "3 rows", "expected": "2", "cure": "Mend it."}


def test_an_error_becomes_a_failure_with_its_four_parts() -> None:
    with (
        pytest.raises(dg.Failure, match="eurusd/agg: 3 rows, expected 2") as caught,
        step(Context("eurusd"), Workspace(), "merge"),
    ):
        raise DuplicateKeys("eurusd/agg", **PARTS)
    facts = {name: value.value for name, value in caught.value.metadata.items()}
    assert facts == {"error": "DuplicateKeys", "subject": "eurusd/agg", **PARTS}


def test_a_failure_gives_its_error_back() -> None:
    error = failure_error(failure(DuplicateKeys("eurusd/agg", **PARTS)).metadata)
    assert isinstance(error, DuplicateKeys)
    assert str(error) == str(DuplicateKeys("eurusd/agg", **PARTS))


@pytest.mark.parametrize("name", ["", "NoSuchError", "annotations"])
def test_a_failure_of_somebody_else_gives_no_error(name: str) -> None:
    assert failure_error({"error": dg.MetadataValue.text(name)}) is None


def test_an_error_that_names_thousands_of_tables_stays_a_small_event() -> None:
    error = BqxError("eurusd", got="t" * 1_000_000, expected="none", cure="Mend them.")
    made = failure(error)
    assert made.description is not None
    assert len(made.description) == MOST_BYTES
    assert sum(len(str(value.value)) for value in made.metadata.values()) < 2 * MOST_BYTES


def test_what_may_pass_by_itself_is_tried_again_and_tells_its_error_when_it_does_not() -> None:
    with pytest.raises(dg.RetryRequested) as caught, step(Context("eurusd"), Workspace(), "merge"):
        raise TransientReadError("eurusd/agg", **PARTS)
    cause = caught.value.__cause__
    assert isinstance(cause, dg.Failure)
    assert isinstance(failure_error(cause.metadata), TransientReadError)


def test_an_error_that_hides_a_passing_one_is_tried_again_too() -> None:
    def fail() -> None:
        with step(Context("eurusd"), Workspace(), "merge") as run:
            run.transient = True
            raise BqxError("eurusd", **PARTS)

    with pytest.raises(dg.RetryRequested):
        fail()


def test_a_fault_of_the_code_comes_through_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), step(Context("eurusd"), Workspace(), "merge"):
        assert 1 / 0


def test_a_text_that_is_no_pair_is_a_failure_too() -> None:
    with pytest.raises(dg.Failure, match="eurusx") as caught, step(Context("eurusx"), Workspace(), "merge"):
        pass
    assert isinstance(caught.value.__cause__, UnknownPair)


def test_a_step_knows_what_it_has_cost_so_far() -> None:
    with step(Context("eurusd"), Workspace(), "merge") as run:
        time.sleep(0.05)
        cost = {name: value.value for name, value in run.cost().items()}
    assert 0.05 <= float(str(cost["seconds"])) < 5
    assert int(str(cost["peak_memory_bytes"])) > 10_000_000


def test_a_step_leaves_what_it_took_and_how_it_ended_in_the_ledger() -> None:
    with step(Context("eurusd"), Workspace(), "merge"):
        pass
    with pytest.raises(dg.Failure), step(Context("gbpusd"), Workspace(), "slabs"):
        raise DuplicateKeys("gbpusd/agg", **PARTS)
    done, failed = Ledger(Workspace().pipeline().store).read().entries
    assert (done.run, done.pair, done.stage, done.outcome) == ("a-run", "eurusd", "merge", "done")
    assert (failed.pair, failed.stage, failed.outcome, failed.error) == ("gbpusd", "slabs", "failed", "DuplicateKeys")
    assert done.peak_bytes > 10_000_000


def test_a_spent_budget_stops_the_next_run_at_its_first_step_and_no_run_that_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with step(Context("eurusd"), Workspace(), "slabs"):
        count(Usage(queried_bytes=1 << 40))
    monkeypatch.setenv("BQX_MONTHLY_BUDGET_USD", "5")
    with step(Context("eurusd"), Workspace(), "merge"):
        pass
    for stage in ("spine", "slabs", "publish"):
        with (
            pytest.raises(dg.Failure, match="BQX_MONTHLY_BUDGET_USD"),
            step(Context("eurusd", run_id="next"), Workspace(), stage),
        ):
            pytest.fail("it began")
    with step(Context("eurusd", run_id="next"), Workspace(), "verify"):
        pass
    assert [each.stage for each in Ledger(Workspace().pipeline().store).read().entries] == ["slabs", "merge", "verify"]


def test_a_step_whose_ledger_cannot_be_written_is_done_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bqx-ml-output").write_text("a file where the folder of the output should be")
    with step(Context("eurusd"), Workspace(), "merge") as run:
        assert run.pair.name == "eurusd"
    assert "not in the ledger" in caplog.text
