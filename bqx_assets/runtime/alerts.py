"""Defines the sensors that tell people of faults, and of their end, by webhook and e-mail.

Plain sensors, and not Dagster's run-failure sensor: that one counts a failure as told when its function raises, and is
called once for each run, so that a message could be lost and 28 runs would make 28.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field, ValidationError

from bqx_assets.base.artifacts import Record
from bqx_assets.base.printable import some_of
from bqx_assets.fleet.alert_settings import AlertSettings, alert_settings
from bqx_assets.fleet.mailbox import Mailbox
from bqx_assets.fleet.messages import RUNS_PAGE, Fault, clipped, failed_runs_page
from bqx_assets.fleet.notify import deliver, receivers
from bqx_assets.fleet.standing_faults import standing_faults
from bqx_assets.runtime.keys import PUBLISHED
from bqx_assets.runtime.launcher.tags import OUTCOME_TAG, PAIR_TAG, PARTITION_TAG, will_repeat
from bqx_assets.runtime.step import failure_error
from bqx_assets.runtime.workspace import Workspace

_LOOK_SECONDS = 60
_RUNS_AT_ONCE = 200
_FAILURES_IN_A_ROW = 3
"""Number of looks in a row with an unreachable receiver that make a red tick."""
_CHECK_FAILED = "DagsterAssetCheckFailedError"
_SHOWN_CHECKS = 3
_OFF = "No receiver is set: BQX_ALERT_WEBHOOK, or BQX_ALERT_SMTP with BQX_ALERT_FROM and BQX_ALERT_TO."
_EVENTS = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


class AlertState(Record):
    """The cursor of a sensor of alerts: what is wrong, and what each receiver was told."""

    seen: int = -1
    """Id of the last event that was read."""
    faults: Mapping[str, Fault] = Field(default_factory=dict[str, Fault])
    boxes: Mapping[str, Mailbox] = Field(default_factory=dict[str, Mailbox])

    @classmethod
    def of(cls, cursor: str | None) -> AlertState | None:
        """Return the state in a cursor; None where there is none, or another version of this package wrote it."""
        try:
            return None if cursor is None else cls.model_validate_json(cursor)
        except ValidationError:
            return None


@dg.sensor(
    name="run_alerts",
    minimum_interval_seconds=_LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells webhook and e-mail of failed runs and checks, once each, and of what is good again.",
)
def run_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Tells webhook and e-mail of failed runs and checks, once each, and of what is good again.

    It runs from the start and does nothing until BQX_ALERT_WEBHOOK or BQX_ALERT_SMTP is set.
    """
    settings = alert_settings()
    if not receivers(settings):
        return dg.SkipReason(_OFF)
    state = AlertState.of(context.cursor)
    if state is None:
        newest = max((each.storage_id for each in _ended(context.instance, None, 1)), default=-1)
        skip = dg.SkipReason("First look: what fails from now on is told.")
        return dg.SensorResult(cursor=AlertState(seen=newest).model_dump_json(), skip_reason=skip)
    faults, seen = dict(state.faults), state.seen
    for event in _ended(context.instance, state.seen, _RUNS_AT_ONCE):
        seen = event.storage_id
        run = context.instance.get_run_by_id(event.run_id)
        if run is not None and _is_ours(run, context):
            _note(context.instance, run, faults, settings)
    return tell(state.model_copy(update={"seen": seen}), faults, settings)


@dg.sensor(
    name="fleet_alerts",
    minimum_interval_seconds=3_600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells webhook and e-mail of stale pairs and of a spent budget, once each, and of what is good again.",
)
def fleet_alerts(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult | dg.SkipReason:
    """Tells webhook and e-mail of stale pairs and of a spent budget, once each, and of what is good again.

    It runs from the start and does nothing until BQX_ALERT_WEBHOOK or BQX_ALERT_SMTP is set. It looks once an hour, and
    apart from the other sensor, because that one must tell of an outage during which the store does not answer.
    """
    settings = alert_settings()
    if not receivers(settings):
        return dg.SkipReason(_OFF)
    pipeline = workspace.pipeline()
    faults = standing_faults(pipeline.settings, pipeline.store, datetime.now(UTC))
    return tell(AlertState.of(context.cursor) or AlertState(), faults, settings)


def tell(state: AlertState, faults: Mapping[str, Fault], settings: AlertSettings) -> dg.SensorResult:
    """Send each receiver what is new in ``faults`` and return the tick, whose cursor holds what was told.

    Raises:
        AlertNotSent: nothing was delivered at this look, and a receiver failed at the two before it. The tick is red,
            its cursor stays as it was, and nothing is lost.
    """
    now, sent, boxes, said = datetime.now(UTC), 0, dict(state.boxes), list[str]()
    failed = None
    for receiver in receivers(settings):
        box, count, error = deliver(receiver, faults, boxes.get(receiver.name, Mailbox()), settings, now)
        boxes[receiver.name], sent = box, sent + count
        waiting = box.waiting({key: fault for key, fault in faults.items() if fault.kind in settings.kinds})
        told = f"{receiver.name}: {count} messages sent, {waiting} faults to be told later"
        said.append(told if error is None else f"{told}. {error}")
        failed = error if box.failures >= _FAILURES_IN_A_ROW else failed
    if failed is not None and not sent:
        raise failed
    after = state.model_copy(update={"faults": faults, "boxes": boxes})
    return dg.SensorResult(cursor=after.model_dump_json(), skip_reason=dg.SkipReason(f"{'; '.join(said)}."))


def _ended(instance: dg.DagsterInstance, after: int | None, most: int) -> list[dg.EventLogRecord]:
    """Return the ends of runs after an event in their order, at most so many; the last ones where ``after`` is None."""
    found: list[dg.EventLogRecord] = []
    until: list[int] = []
    for kind in (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS):
        wanted = dg.RunStatusChangeRecordsFilter(event_type=kind, after_storage_id=after)
        records = instance.fetch_run_status_changes(wanted, limit=most, ascending=after is not None).records
        found += records
        until += [records[-1].storage_id] if len(records) == most else []
    if after is None:
        return found
    # Both kinds are known only up to the last of the one that was cut.
    found = [each for each in found if not until or each.storage_id <= min(until)]
    return sorted(found, key=lambda each: each.storage_id)


def _is_ours(run: dg.DagsterRun, context: dg.SensorEvaluationContext) -> bool:
    """Return whether a run is of this code location, as far as run and sensor name theirs."""
    origin, own = run.remote_job_origin, context.code_location_origin
    return origin is None or own is None or origin.location_name == own.location_name


def _note(instance: dg.DagsterInstance, run: dg.DagsterRun, faults: dict[str, Fault], settings: AlertSettings) -> None:
    """Take what an ended run says into the faults: what it mended, and what failed in it."""
    pair = run.tags.get(PAIR_TAG) or run.tags.get(PARTITION_TAG) or ""
    subject = clipped(pair or (run.job_name if not run.job_name.startswith("__") else "fleet"))
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=_EVENTS) if entry.dagster_event]
    outcome = run.tags.get(OUTCOME_TAG)
    failed_alike = failed_runs_page(f"{OUTCOME_TAG}={outcome}" if outcome else "")
    shown = {
        "page": f"/runs/{run.run_id}",
        "page_of_all": failed_alike if run.is_failure else RUNS_PAGE,  # a warning fails no run
        "kept": _kept(instance, pair) if pair else "",
    }
    steps = {each.step_key for each in events if each.event_type == dg.DagsterEventType.STEP_SUCCESS}
    before = faults.get(f"run:{subject}")
    if before is not None and (before.step in steps or (run.is_success and not before.step)):
        del faults[before.key]
    again = will_repeat(run)
    checks = [each for each in _evaluations(events, settings) if each.passed or not again]
    for fault in _of_checks(subject, checks, faults):
        faults[fault.key] = fault.model_copy(update=shown)
    if run.is_failure and not again:
        fault = _of_run(subject, events, by_checks="check" not in settings.kinds)
        if fault is not None:
            faults[fault.key] = fault.model_copy(update=shown)


def _evaluations(events: list[dg.DagsterEvent], settings: AlertSettings) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the checks of a run; failed ones not of steps that failed for a reason of their own, which is told once."""
    failed = [each for each in events if each.event_type == dg.DagsterEventType.STEP_FAILURE]
    told = {each.step_key for each in failed if "run" in settings.kinds and not _is_of_check(each)}
    for each in events:
        if each.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = each.asset_check_evaluation_data
            if found.passed or each.step_key not in told:
                yield found


def _of_checks(subject: str, checks: list[dg.AssetCheckEvaluation], faults: dict[str, Fault]) -> Iterator[Fault]:
    """Yield the faults of checks that failed, with earlier ones that were not judged again; remove mended ones."""
    last = {each.check_name: each for each in checks}
    for kind, severity in (("check", dg.AssetCheckSeverity.ERROR), ("warning", dg.AssetCheckSeverity.WARN)):
        before = faults.pop(f"{kind}:{subject}", None)
        failed = {name: each for name, each in last.items() if not each.passed and each.severity == severity}
        open_before = [name for name in (before.parts if before else ()) if name not in last]
        names = tuple(sorted({*open_before, *failed}))
        if names and not failed and before is not None:
            faults[before.key] = before.model_copy(update={"parts": names})
        elif names:
            first = next(iter(failed.values()))
            texts = {name: str(value.value) for name, value in first.metadata.items()}
            parts = {name: clipped(texts.get(name, "")) for name in ("got", "expected", "cure")}
            parts["got"] = parts["got"] or clipped(first.description or "")
            what = f"{'failed check' if kind == 'check' else 'warning'}: {some_of(names, _SHOWN_CHECKS)}"
            yield Fault.model_validate({"kind": kind, "subject": subject, "what": what, "parts": names, **parts})


def _of_run(subject: str, events: list[dg.DagsterEvent], *, by_checks: bool) -> Fault | None:
    """Return the fault of a failed run; None if only blocking checks stopped it, which are told themselves."""
    failed = [each for each in events if each.event_type == dg.DagsterEventType.STEP_FAILURE]
    own = [each for each in failed if not _is_of_check(each)]
    if failed and not own and not by_checks:
        return None
    if not failed:
        ends = [each for each in events if each.event_type == dg.DagsterEventType.RUN_FAILURE]
        got = clipped((ends[-1].message if ends else None) or "no reason is known")
        cure = "The run's page shows its log."
        return _fault(subject, "run failed before a step", got=got, expected="a run that ends", cure=cure)
    first = (own or failed)[0]
    step = clipped(first.step_key or "")
    told = first.step_failure_data.user_failure_data
    error = failure_error(told.metadata) if told is not None else None
    if error is not None:
        what = f"{step} failed: {type(error).__name__}"
        got = error.got if error.subject == subject else f"{error.subject}: {error.got}"
        return _fault(subject, what, got=got, expected=error.expected, cure=error.cure, step=step)
    cause = first.step_failure_data.error
    while cause is not None and cause.cause is not None:  # Dagster's own error names only the step
        cause = cause.cause
    name = clipped((cause.cls_name if cause else None) or "unknown error")
    lines = (cause.message if cause else "").strip().splitlines()
    got, cure = lines[0] if lines else name, "The run's page shows the traceback."
    return _fault(subject, f"{step} failed: {name}", got=got, expected="the step to end", cure=cure, step=step)


def _fault(subject: str, what: str, *, got: str, expected: str, cure: str, step: str = "") -> Fault:
    """Return the fault of a run. Numbers do not make it another one: they differ in each attempt."""
    parts = (re.sub(r"\d+", "#", clipped(f"{what} {got}")),)
    shown = {"got": clipped(got), "expected": clipped(expected), "cure": clipped(cure)}
    return Fault(kind="run", subject=subject, what=what, parts=parts, step=step, **shown)


def _is_of_check(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and error.cls_name == _CHECK_FAILED


def _kept(instance: dg.DagsterInstance, pair: str) -> str:
    """Return in words what was published last of a pair; empty for nothing."""
    wanted = dg.AssetRecordsFilter(asset_key=PUBLISHED, asset_partitions=[pair])
    for record in instance.fetch_materializations(wanted, limit=1).records:
        made = record.asset_materialization
        rows = made.metadata.get("dagster/row_count") if made else None
        size = f", {rows.value:,} rows" if isinstance(rows, dg.IntMetadataValue) and rows.value is not None else ""
        when = datetime.fromtimestamp(record.timestamp, UTC)
        return f"still the file of {when:%Y-%m-%d %H:%M} UTC{size}"
    return ""
