"""What a container does before it becomes Dagster's command."""

from __future__ import annotations

import sys

import dagster as dg
import pytest
import sqlalchemy
from dagster._grpc.types import ExecuteRunArgs
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import OperationalError

from bqx_assets.base.errors import UnknownPair, UsageError
from bqx_assets.runtime.launcher.container import command_of, main
from bqx_assets_tests.runtime.launcher.deployment import Deployment


@pytest.fixture
def made(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The deployment, seen from inside a container of it."""
    monkeypatch.setenv("DAGSTER_HOME", str(deployment.home))
    return deployment


def words(run: dg.DagsterRun) -> list[str]:
    origin = run.job_code_origin
    assert origin is not None
    return ["dagster", *ExecuteRunArgs(origin, run.run_id, None, set_exit_code_on_failure=True).get_command_args()[-3:]]


def environment(run: dg.DagsterRun, pair: str = "eurusd", attempt: int = 0) -> dict[str, str]:
    return {"BQX_PAIR": pair, "BQX_RUN_ID": run.run_id, "CLOUD_RUN_TASK_ATTEMPT": str(attempt)}


def test_the_first_container_runs_what_the_launcher_said(made: Deployment) -> None:
    run = made.create()
    assert command_of(words(run), environment(run)) == words(run)


def test_a_later_container_goes_on_with_the_run(made: Deployment) -> None:
    run = made.create()
    made.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name=run.job_name), run_id=run.run_id
    )
    command = command_of(words(run), environment(run, attempt=1))
    assert command[:3] == ["dagster", "api", "resume_run"]
    assert run.run_id in command[3]


def test_there_is_no_default_pair(made: Deployment) -> None:
    run = made.create()
    with pytest.raises(UsageError, match="no BQX_PAIR"):
        command_of(words(run), {"BQX_RUN_ID": run.run_id})
    with pytest.raises(UnknownPair, match="Did you mean eurusd"):
        command_of(words(run), environment(run, "EURUSD"))


def test_a_container_of_another_pair_fails_the_run_before_any_work(made: Deployment) -> None:
    run = made.create()
    with pytest.raises(UsageError, match="pair gbpusd of run"):
        command_of(words(run), environment(run, "gbpusd"))
    assert made.run(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert any("pair gbpusd of run" in each for each in made.told(run))


def test_a_container_of_another_run_fails_the_run_before_any_work(made: Deployment) -> None:
    run = made.create()
    with pytest.raises(UsageError, match="of run somebody-else"):
        command_of(words(run), {**environment(run), "BQX_RUN_ID": "somebody-else"})
    assert made.run(run.run_id).status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_is_not_in_the_storage_is_an_error(made: Deployment) -> None:
    run = made.create()
    made.instance.delete_run(run.run_id)
    with pytest.raises(UsageError, match="no such run"):
        command_of(words(run), environment(run))


@pytest.mark.parametrize(("succeeded", "code"), [(True, 0), (False, 1)])
def test_a_container_that_comes_after_the_run_is_over_leaves_with_the_runs_result(
    made: Deployment, *, succeeded: bool, code: int
) -> None:
    run = made.create()
    kind = dg.DagsterEventType.RUN_SUCCESS if succeeded else dg.DagsterEventType.RUN_FAILURE
    made.instance.report_dagster_event(dg.DagsterEvent(kind.value, job_name=run.job_name), run_id=run.run_id)
    with pytest.raises(SystemExit) as left:
        command_of(words(run), environment(run, attempt=1))
    assert left.value.code == code


def test_a_container_that_follows_a_cancelled_one_closes_the_run(made: Deployment) -> None:
    run = made.create()
    made.instance.report_run_canceling(run)
    with pytest.raises(SystemExit):
        command_of(words(run), environment(run, attempt=1))
    assert made.run(run.run_id).status == dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg2://bqx:geheim@127.0.0.1:1/dagster", "Connection refused"),
        ("postgresql+psycopg2://bqx:geheim@/dagster?host=/no/socket", "No such file"),
    ],
)
def test_a_database_that_does_not_answer_is_told_by_the_exit_code_without_its_password(
    made: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
    says: str,
) -> None:
    """The error is the driver's own, wrapped as Dagster wraps it after its tries, which would take 6 s here."""

    def away() -> dg.DagsterInstance:
        try:
            sqlalchemy.create_engine(url).connect()
        except OperationalError as error:
            raise DagsterPostgresException("too many retries for DB connection") from error
        raise AssertionError(url)

    run = made.create()
    for name, value in environment(run).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["container", *words(run)])
    monkeypatch.setattr(dg.DagsterInstance, "get", away)
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert (left.value.code, says in said, "geheim" in said) == (75, True, False)


@pytest.mark.parametrize(
    "words_of_server", ['password authentication failed for user "x"', 'database "x" does not exist']
)
def test_a_database_that_refuses_for_good_is_no_passing_fault(
    made: Deployment, monkeypatch: pytest.MonkeyPatch, words_of_server: str
) -> None:
    def refused() -> dg.DagsterInstance:
        raise OperationalError("SELECT 1", None, Exception(f"FATAL:  {words_of_server}"))

    run = made.create()
    monkeypatch.setattr(sys, "argv", ["container", *words(run)])
    for name, value in environment(run).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dg.DagsterInstance, "get", refused)
    with pytest.raises(OperationalError):
        main()


def test_started_by_hand_it_says_what_it_expects_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["container", "bqx", "run"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "expected dagster api execute_run" in capsys.readouterr().err
