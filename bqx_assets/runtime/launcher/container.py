"""Defines the entry point of a job's container, which gets ``dagster api ...`` as its arguments.

It compares the container's pair with the run's, and decides what a second container of the same task does. Then this
process becomes Dagster's command, which executes the run.
"""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs  # the arguments of `dagster api` have no public name
from dagster._serdes import deserialize_value
from sqlalchemy.exc import OperationalError

from bqx_assets.base.errors import BqxError, UsageError
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.process import memory_limit_bytes
from bqx_assets.runtime.launcher.tags import ATTEMPT_ENV, FLEET, PAIR_ENV, PASSING_EXIT, RUN_ENV, subject_of

_REFUSED_FOR_GOOD = re.compile(r"authentication failed|no password|does not exist|no pg_hba")
"""PostgreSQL's words for a wrong user, password or database, with which the next container would fail as well."""


def main() -> None:
    """Check the pair, then become Dagster's command.

    Exits with 2 if the pair is not the run's, and with 75 if Dagster's database does not answer. That may pass, and
    the launcher lets Dagster launch such a run once more.
    """
    try:
        command = command_of(sys.argv[1:], os.environ)
    except BqxError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except Exception as error:
        if not (said := _database_away(error)):
            raise
        sys.stderr.write(f"error: Dagster's database does not answer: {said}\n")
        sys.exit(PASSING_EXIT)
    sys.argv = command
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


def command_of(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the command for this container: the launcher's, or one that continues where the last container died.

    Raises:
        UsageError: the words are not a command of the launcher, or pair, run and environment do not agree.
        UnknownPair: the environment names no known pair.
        SystemExit: an earlier container has finished the run; 0 if it succeeded, 1 if not.
    """
    if len(words) != 4 or list(words[:2]) != ["dagster", "api"]:  # noqa: PLR2004 -- the four of `get_command_args`
        raise UsageError(
            "container",
            got=f"{len(words)} words, {' '.join(words[:3])!r}",
            expected="dagster api execute_run or resume_run, and its arguments",
            cure="Executions are started by the run launcher; see deploy/README.md.",
        )
    asked = deserialize_value(words[3], (ExecuteRunArgs, ResumeRunArgs))
    subject = _environments_subject(environment)
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(asked.run_id)
        if run is None:
            raise UsageError(
                f"run {asked.run_id}",
                got="no such run",
                expected="one in the instance's storage",
                cure="Compare the container's DAGSTER_HOME and Postgres with the daemon's.",
            )
        attempt = int(environment.get(ATTEMPT_ENV, "0"))
        _say(f"pair {subject}, run {run.run_id}, container {attempt + 1}, {memory_limit_bytes() / 2**30:.2f} GiB")
        if run.is_finished:
            _say(f"the run is over: {run.status.value}")
            sys.exit(0 if run.is_success else 1)
        _compare(instance, run, subject, environment)
        return list(words) if attempt == 0 else _go_on(instance, run, asked)


def _database_away(error: BaseException) -> str:
    """Return the first line of the driver's message if the database does not answer; empty for any other error.

    Errors that the next container would meet as well count as other errors.
    """
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, OperationalError):
        behind = behind.__cause__
    said = next(iter(str(behind.orig).splitlines()), "") if isinstance(behind, OperationalError) else ""
    return "" if _REFUSED_FOR_GOOD.search(said) else said


def _environments_subject(environment: Mapping[str, str]) -> str:
    if PAIR_ENV in environment:
        named = environment[PAIR_ENV]
        return named if named == FLEET else parse_pair(named).name
    raise UsageError(
        "container",
        got=f"no {PAIR_ENV}",
        expected="the run's pair",
        cure="There is no default pair: launch the run from Dagster.",
    )


def _compare(instance: dg.DagsterInstance, run: dg.DagsterRun, subject: str, environment: Mapping[str, str]) -> None:
    """Fail the run before any work if this container was started for another pair or run."""
    try:
        theirs, their_id = subject_of(run), environment.get(RUN_ENV)
        if (theirs, run.run_id) == (subject, their_id):
            return
        raise UsageError(
            "container",
            got=f"pair {subject} of run {their_id}",
            expected=f"pair {theirs} of run {run.run_id}",
            cure="Launch the run again; do not start executions by hand.",
        )
    except BqxError as error:
        instance.report_run_failed(run, str(error))
        raise


def _go_on(instance: dg.DagsterInstance, run: dg.DagsterRun, asked: ExecuteRunArgs | ResumeRunArgs) -> list[str]:
    """Return the command of a second container, which Cloud Run starts with the arguments of the first.

    With these arguments Dagster would ignore the run, because it has begun already, and exit with 0; the run would
    stay unfinished for ever.
    """
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The container that was to be cancelled is gone.")
        sys.exit(1)
    _say("an earlier container left the run unfinished: continuing it")
    resume = ResumeRunArgs(asked.job_origin, run.run_id, asked.instance_ref, set_exit_code_on_failure=True)
    return ["dagster", *resume.get_command_args()[-3:]]


def _say(text: str) -> None:
    sys.stdout.write(f"bqx: {text}\n")
    sys.stdout.flush()
