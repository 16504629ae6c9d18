"""Runs the probes: several at once, each within its time, and turns what they raise into findings.

Only the missing thing itself is a lack: a probe that needs a failed one is not run and does not count as a second lack.
An error of this package keeps its own words; an error of Google's services is read by the table of refusals.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from bqx_assets.base.errors import BqxError, SystemRefused
from bqx_assets.base.printable import first_line
from bqx_assets.base.progress import Progress, Silent
from bqx_assets.base.refusals.read import Refusal, read_refusal
from bqx_assets.base.refusals.table import Service
from bqx_assets.base.store.naming import bucket_and_prefix
from bqx_assets.doctor.case import Case, Finding, Line, Probe, Report, missing, skipped

_ALL_SECONDS = 55.0
"""Limit of the whole examination where nobody answers. Where servers answer, it takes seconds."""
_AT_ONCE = 8
_SAY_SECONDS = 1.0
"""Interval at which the progress is told which probes are still waited for."""
_NOT_OF_THE_API = {
    *("permission", "dataset_missing"),
    *("bucket_missing", "requester_pays", "retention_locked", "kms_permission", "hierarchical_namespace"),
}
"""Refusals that stop a whole run because of an account, a dataset or a bucket, and not because of the API."""
_Ended = tuple[Probe, Finding, float]


def examine(
    case: Case, probes: Sequence[Probe], progress: Progress | None = None, *, all_seconds: float = _ALL_SECONDS
) -> Report:
    """Return what every probe found.

    **Cost**: seconds where servers answer; at most ``all_seconds`` where nobody does. The thread of a probe that is
    given up goes on and ends with the process.

    Raises:
        ValueError: two probes have one name, or one needs a probe that is not among them and would wait for ever.
    """
    names = [probe.name for probe in probes]
    unknown = {need for probe in probes for need in (*probe.needs, *probe.after)} - {*names}
    if unknown or len({*names}) < len(names):
        msg = f"unknown {sorted(unknown)}, or two of one name in {sorted(names)}"
        raise ValueError(msg)
    began = time.perf_counter()
    found = _Examination(case, probes, progress or Silent(), all_seconds).run()
    lines = tuple(
        Line(theme=each.theme, name=each.name, seconds=round(seconds, 3), **finding.model_dump())
        for each, (finding, seconds) in ((each, found[each.name]) for each in probes)
    )
    return Report(pair=case.pair.name, lines=lines, seconds=round(time.perf_counter() - began, 3))


class _Examination:
    """The state of one examination: the probes that wait, run, and have ended."""

    def __init__(self, case: Case, probes: Sequence[Probe], progress: Progress, all_seconds: float) -> None:
        self._case, self._progress = case, progress
        self._waiting = list(probes)
        self._until = time.monotonic() + all_seconds
        self._running: dict[str, tuple[Probe, float]] = {}
        """Each running probe by its name, with the time at which it began."""
        self._found: dict[str, tuple[Finding, float]] = {}
        """Each finding by the probe's name, with the seconds that it took."""
        self._ended: queue.Queue[_Ended] = queue.Queue()

    def run(self) -> dict[str, tuple[Finding, float]]:
        """Return the findings by the names of the probes."""
        self._progress.start("doctor", len(self._waiting))
        said = time.monotonic()
        while self._waiting or self._running:
            self._start_what_can()
            try:
                self._end(*self._ended.get(timeout=0.05 if self._running else 0))
            except queue.Empty:
                self._give_up()
            if time.monotonic() - said > _SAY_SECONDS and self._running:
                said = time.monotonic()
                self._progress.wait("doctor", f"waiting for an answer: {', '.join(self._running)}")
        return self._found

    def _start_what_can(self) -> None:
        """Start the probes whose needs have passed, and end those whose needs have not."""
        for probe in list(self._waiting):
            stopped = self._stopped_by(probe)
            if stopped is not None:
                self._waiting.remove(probe)
                self._end(probe, stopped, 0.0)
            elif len(self._running) < _AT_ONCE and self._found.keys() >= {*probe.needs, *probe.after}:
                self._waiting.remove(probe)
                self._running[probe.name] = (probe, time.monotonic())
                threading.Thread(target=self._look, args=(probe,), name=f"doctor {probe.name}", daemon=True).start()

    def _stopped_by(self, probe: Probe) -> Finding | None:
        """Return why a probe is not run: a need is missing, or was not looked at; None if neither is so."""
        for need in probe.needs:
            finding = self._found[need][0] if need in self._found else None
            if finding is not None and finding.state == "missing":
                return skipped(f"fix {need!r} first", follows=need)
            if finding is not None and finding.state == "skipped":
                return finding
        return None

    def _look(self, probe: Probe) -> None:
        """Run a probe on its thread, and hand over what it found."""
        began = time.monotonic()
        try:
            finding = probe.look(self._case)
        except Exception as error:  # noqa: BLE001 -- any error of a probe is its finding
            finding = finding_of(error, probe, self._case)
        self._ended.put((probe, finding, time.monotonic() - began))

    def _end(self, probe: Probe, finding: Finding, seconds: float) -> None:
        """Note the finding of a probe, unless the probe was given up before."""
        if probe.name in self._found:
            return
        self._running.pop(probe.name, None)
        self._found[probe.name] = (finding, seconds)
        self._progress.advance("doctor", probe.name, "" if finding.state == "passed" else finding.state)

    def _give_up(self) -> None:
        """End the probes whose time is over, as lacks."""
        now = time.monotonic()
        for probe, began in list(self._running.values()):
            if now > min(began + probe.seconds, self._until):
                finding = missing(
                    f"no answer in {now - began:.0f} s",
                    "See whether this machine reaches the server (network, proxy, firewall), then try again.",
                    reason="no_answer",
                )
                self._end(probe, finding, now - began)


def finding_of(error: Exception, probe: Probe, case: Case) -> Finding:
    """Return the finding of a probe that raised: the refusal behind the error, where a service refused."""
    behind = error.__cause__ if isinstance(error, BqxError) else error
    if probe.service is not None and behind is not None and (probe.service == "iam" or _is_of_a_client(behind)):
        return _refused(_read(behind, probe.service, case))
    if isinstance(error, OSError):
        error = SystemRefused.of(error)
    if isinstance(error, BqxError):
        subject = _beyond(error.subject, probe)
        return missing(f"{subject}: {error.got}" if subject else error.got, error.cure)
    return missing(f"{type(error).__name__}: {first_line(error)}", "This error is not foreseen: report this line.")


def concerns_the_api(error: BaseException, service: Service) -> bool:
    """Return whether an API as a whole was refused: it is off, without billing, out of reach, without credentials."""
    refusal = read_refusal(error, service)
    return refusal.everywhere and refusal.reason not in _NOT_OF_THE_API


def _beyond(subject: str, probe: Probe) -> str:
    """Return a subject without its first word if that is the theme or the name, which are shown before it."""
    first, _, rest = subject.partition(" ")
    return rest if first in (probe.theme, probe.name) else subject


def _is_of_a_client(error: BaseException) -> bool:
    """Return whether an error comes from Google's clients or from a library below them."""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"google", "grpc", "requests", "urllib3"})


def _read(error: BaseException, service: Service, case: Case) -> Refusal:
    """Return the meaning of a refusal; names that the answer leaves out are taken from the settings."""
    known = {"member": case.member} if case.account else {}
    if service in ("bigquery", "storage_read") and case.settings.bigquery_project:
        known["project"] = case.settings.bigquery_project
    if service == "cloud_storage" and case.in_bucket:
        known["bucket"] = bucket_and_prefix(case.settings.output or "")[0]
    if service == "cloud_run":
        config = case.instance["run_launcher"]["config"]
        known |= {"project": str(config["project"]), "region": str(config["region"])}
    return read_refusal(error, service, **known)


def _refused(refusal: Refusal) -> Finding:
    return missing(
        refusal.sentence,
        refusal.cure,
        permission=refusal.permission or "",
        resource=refusal.resource or "",
        reason=refusal.reason,
    )
