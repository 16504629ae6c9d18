"""What fails in real runs reaches a real receiver, once, and what is good again does as well."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest

from bqx_assets.base.errors import AlertNotSent
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.open_store import open_store
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.release.publish import publish
from bqx_assets.runtime.alerts import AlertState, fleet_alerts, run_alerts
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.in_process import terminal_logging
from bqx_assets.runtime.keys import PUBLISHED
from bqx_assets.runtime.workspace import Workspace
from bqx_assets.sandbox.faults import inject_fault
from bqx_assets_tests.release.training import stored
from bqx_assets_tests.runtime.homes import copy_home, failed_checks, make_home
from bqx_assets_tests.servers.receivers import WebhookServer, mail_server

SECRET = "T0123-dZkq8vJx0LmNw2"  # noqa: S105 -- of no channel


@pytest.fixture(scope="module")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("alerts") / "home", pairs=("eurusd", "gbpusd"))


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    monkeypatch.setitem(RETRIES, "alert", replace(RETRIES["alert"], first_wait_seconds=0.0))
    with WebhookServer() as server:
        monkeypatch.setenv("BQX_ALERT_WEBHOOK", f"{server.url}/{SECRET}")
        yield server


class Daemon:
    """The sensor from one look to the next over one instance, with the cursor as Dagster keeps it."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance
        self.cursor: str | None = None
        self.definitions = build_definitions(Workspace.of(settings))

    def run(self, pair: str, job: str = "extract_job", **tags: str) -> dg.ExecuteInProcessResult:
        """A run of the pair; a failure is in the result."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=pair,
            raise_on_error=False,
            run_config=terminal_logging("CRITICAL"),
            tags=tags,
        )

    @contextmanager
    def without_targets(self, *pairs: str) -> Generator[None]:
        """The warehouse without the targets tables of some pairs, which are there again afterwards."""
        folder = self.settings.warehouse_dir
        files = [next(folder.glob(f"*/targets_{pair}.parquet")) for pair in pairs]
        for file in files:
            file.rename(file.with_suffix(".away"))
        yield
        for file in files:
            file.with_suffix(".away").rename(file)

    def publish(self, pair: str) -> None:
        """Note a publication, as a run does."""
        made = dg.AssetMaterialization(PUBLISHED, partition=pair, metadata={"dagster/row_count": 177_748})
        self.instance.report_runless_asset_event(made)

    def later(self) -> None:
        """Let the hour pass in which a cause is told once."""
        state = AlertState.of(self.cursor)
        assert state is not None
        boxes = {name: box.model_copy(update={"sent": (), "not_before": None}) for name, box in state.boxes.items()}
        self.cursor = state.model_copy(update={"boxes": boxes}).model_dump_json()

    def look(self, sensor: dg.SensorDefinition = run_alerts) -> str:
        """What the tick says; an error leaves the cursor as it was."""
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=self.definitions,
            resources={"workspace": Workspace.of(self.settings)},
        )
        found = sensor(context)
        if isinstance(found, dg.SensorResult):
            self.cursor = found.cursor
            found = found.skip_reason
        assert isinstance(found, dg.SkipReason)
        return str(found.skip_message)


@pytest.fixture
def daemon(two_pairs: Path, tmp_path: Path) -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(copy_home(two_pairs, tmp_path / "home"), instance)


def test_the_sensor_runs_from_the_start_and_says_what_it_lacks(daemon: Daemon) -> None:
    assert run_alerts.default_status is dg.DefaultSensorStatus.RUNNING
    assert "BQX_ALERT_WEBHOOK" in daemon.look()


def test_a_failed_run_is_told_once_with_cure_and_link_and_its_end_as_well(daemon: Daemon, hook: WebhookServer) -> None:
    assert "from now on" in daemon.look()
    daemon.publish("eurusd")
    assert daemon.run("eurusd").success
    assert "0 messages sent" in daemon.look()
    with daemon.without_targets("eurusd"):
        failed = [daemon.run("eurusd"), daemon.run("eurusd")]
        assert not any(run.success for run in failed)
        for _ in range(2):
            daemon.look()
            daemon.later()
    (told,) = hook.texts
    assert told.startswith("*eurusd: targets_spine failed: "), told
    assert "Cure: `" in told
    assert "UTC, 177,748 rows`" in told
    assert told.endswith(f"http://localhost:3000/runs/{failed[-1].run_id}")
    assert daemon.run("eurusd").success
    daemon.look()
    assert hook.texts[1:] == [hook.texts[1]]
    assert hook.texts[1].startswith("*eurusd: good again*")


def test_a_failed_check_is_told_by_its_evidence_and_not_as_a_failed_run_too(
    daemon: Daemon, hook: WebhookServer
) -> None:
    daemon.look()
    warehouse = daemon.settings.warehouse_dir
    whole = {file: file.read_bytes() for file in warehouse.rglob("*.parquet")}
    inject_fault(warehouse, "all-null", parse_pair("eurusd"))
    assert not daemon.run("eurusd", "pair_job").success
    daemon.look()
    (told,) = hook.texts
    assert told.startswith("*eurusd: failed check: "), told
    assert "Got: `" in told
    daemon.later()
    daemon.look()
    assert daemon.run("eurusd").success, "an extraction judges no check"
    daemon.look()
    assert hook.texts == [told]
    for file in (file for file, data in whole.items() if file.read_bytes() != data):
        file.write_bytes(whole[file])
    assert daemon.run("eurusd", "pair_job").success
    daemon.look()
    assert hook.texts[1].startswith("*eurusd: good again*")


def test_a_step_that_failed_for_its_own_reason_is_told_without_its_checks(daemon: Daemon, hook: WebhookServer) -> None:
    daemon.look()
    inject_fault(daemon.settings.warehouse_dir, "missing-table", parse_pair("eurusd"))
    assert failed_checks(daemon.run("eurusd")) == {"tables_complete"}
    daemon.look()
    (told,) = hook.texts
    assert told.startswith("*eurusd: feature_slabs failed: ExtractionIncomplete*"), told
    assert "bqx extract eurusd" in told


def test_pairs_that_fail_for_one_reason_are_one_message_and_a_retry_that_will_come_is_none(
    daemon: Daemon, hook: WebhookServer
) -> None:
    daemon.look()
    with daemon.without_targets("eurusd", "gbpusd"):
        daemon.run("eurusd", **{"dagster/will_retry": "true"})
        daemon.look()
        assert hook.texts == []
        daemon.run("eurusd")
        daemon.run("gbpusd")
        daemon.look()
    (told,) = hook.texts
    assert told.startswith("*2 pairs: targets_spine failed: "), told
    assert "Pairs: `eurusd, gbpusd`" in told
    page = urlsplit(told.splitlines()[-1])
    assert page.path == "/runs"
    assert parse_qs(page.query) == {
        "view": ["runs"],  # also those of a backfill
        "q[0]": ["status:FAILURE"],
        "q[1]": ["tag:bqx/outcome=TableMissing"],
    }


def test_a_warning_of_several_pairs_leads_to_all_runs_because_none_failed(
    daemon: Daemon, hook: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["eurusd", "gbpusd"]))
    def made() -> None:
        pass

    @dg.asset_check(asset=made)
    def thin() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    monkeypatch.setenv("BQX_ALERT_ON", "run,warning")
    daemon.look()
    for pair in ("eurusd", "gbpusd"):
        assert dg.materialize([made, thin], partition_key=pair, instance=daemon.instance).success
    daemon.look()
    (told,) = hook.texts
    assert told.startswith("*2 pairs: warning: thin*"), told
    assert told.endswith("http://localhost:3000/runs?view=runs")


def test_a_run_whose_container_never_began_is_told(daemon: Daemon, hook: WebhookServer) -> None:
    daemon.look()
    job = daemon.definitions.resolve_job_def("pair_job")
    run = daemon.instance.create_run_for_job(job, tags={"dagster/partition": "gbpusd"})
    daemon.instance.report_run_failed(run, "The image bqx:1 was not found.")
    daemon.look()
    (told,) = hook.texts
    assert "*gbpusd: run failed before a step*" in told
    assert "Got: `The image bqx:1 was not found.`" in told


def test_an_unreachable_receiver_loses_nothing_delays_nothing_and_becomes_a_red_tick(
    daemon: Daemon, hook: WebhookServer
) -> None:
    daemon.look()
    with daemon.without_targets("eurusd"):
        daemon.run("eurusd")
    hook.answers = [(503, "closed", {})] * 4 * RETRIES["alert"].attempts
    for _ in range(2):
        assert "0 messages sent, 1 faults to be told later. webhook of 127.0.0.1" in daemon.look()
    for _ in range(2):
        with pytest.raises(AlertNotSent, match="503 closed"):
            daemon.look()
    assert "1 messages sent, 0 faults" in daemon.look()
    assert len(hook.texts) == 1


def test_a_receiver_that_asks_to_wait_is_not_called_before(daemon: Daemon, hook: WebhookServer) -> None:
    daemon.look()
    with daemon.without_targets("eurusd"):
        daemon.run("eurusd")
    hook.answers = [(429, "slowly", {"Retry-After": "600"})]
    daemon.look()
    daemon.look()
    assert len(hook.paths) == 1
    daemon.later()
    daemon.look()
    assert len(hook.texts) == 1


def test_one_receiver_that_is_down_keeps_no_message_from_the_other_and_repeats_none(
    daemon: Daemon, hook: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.answers = [(404, "no_service", {})] * 5
    with mail_server() as mail:
        monkeypatch.setenv("BQX_ALERT_SMTP", f"127.0.0.1:{mail.port}")
        monkeypatch.setenv("BQX_ALERT_FROM", "bqx@example.com")
        monkeypatch.setenv("BQX_ALERT_TO", "data@example.com")
        daemon.look()
        with daemon.without_targets("eurusd"):
            daemon.run("eurusd")
        daemon.look()
        daemon.look()
        with pytest.raises(AlertNotSent, match="no_service"):
            daemon.look()
    assert [each["Subject"].partition(":")[0] for each in mail.letters] == ["[bqx] eurusd"]


def test_the_secret_is_in_no_tick_no_cursor_and_no_event(
    daemon: Daemon, hook: WebhookServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    said = [daemon.look()]
    with daemon.without_targets("eurusd"):
        run = daemon.run("eurusd")
    hook.answers = [(404, f"no page /{SECRET}", {})]
    said += [daemon.look(), daemon.look()]
    assert hook.paths == [f"/{SECRET}"] * 2
    captured, events = capfd.readouterr(), daemon.instance.all_logs(run.run_id)
    left = [*said, str(daemon.cursor), caplog.text, captured.out, captured.err, *map(repr, events)]
    assert [text for text in left if SECRET in text] == []


def test_runs_of_other_code_locations_and_a_cursor_of_another_version_are_left_alone(
    daemon: Daemon, hook: WebhookServer
) -> None:
    daemon.cursor = '{"of": "another version"}'
    assert "from now on" in daemon.look()
    assert hook.paths == []


def test_stale_pairs_and_a_spent_budget_are_told_once_and_their_end_as_well(
    hook: WebhookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BQX_ALERT_ON", "stale,budget")
    settings = Settings(home=tmp_path, monthly_budget_usd=5.0)
    with dg.DagsterInstance.ephemeral() as instance:
        daemon = Daemon(settings, instance)
        daemon.look(fleet_alerts)
        (told,) = hook.texts
        assert told.startswith("*28 pairs: not published*"), told
        daemon.later()
        daemon.look(fleet_alerts)
        assert hook.texts == [told]
        publish(*stored(tmp_path, b"PAR1 values PAR1"), open_store(settings), progress=Silent())
        began = datetime.now(UTC)
        spent = Entry(run="1", pair="eurusd", stage="slabs", began_at=began, outcome="done", bigquery_usd=6.5)
        Ledger(open_store(settings)).begin(spent)
        daemon.look(fleet_alerts)
    stale, budget = hook.texts[1:]
    assert stale.startswith("*eurusd: stale*")
    assert "BQX_FRESH_DAYS" in stale
    assert stale.endswith("/assets/published_training_file?view=partitions&partition=eurusd")
    assert budget.startswith(f"*fleet: the budget of {began:%B %Y} is spent")
    assert "6.50 USD by the ledger" in budget


def test_without_a_receiver_the_store_is_not_asked(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "BQX_ALERT_WEBHOOK" in Daemon(Settings(home=tmp_path), instance).look(fleet_alerts)
    assert [*tmp_path.iterdir()] == []
