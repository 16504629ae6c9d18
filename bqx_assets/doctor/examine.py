"""The examination: every probe in its turn, several at once, each within its time.

Belongs here: order, threads, deadlines, and what an error or a silence of a probe means. Does not: any probe.

The missing thing, and only it, is named: a probe that needs one that failed is not run, and not counted as a second
lack.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from bqx_assets.base.progress import Progress, Silent
from bqx_assets.doctor.case import Case, Probe
from bqx_assets.doctor.refused import finding_of
from bqx_assets.doctor.report import Finding, Line, Report, missing, skipped

_ALL_SECONDS = 55.0
"""Of the whole, where nobody answers. An answered examination takes seconds."""
_AT_ONCE = 8
_SAY_SECONDS = 1.0
"""Between two words to the progress of what is waited for; it shows them where nothing else was said."""
_Ended = tuple[Probe, Finding, float]


def examine(
    case: Case, probes: Sequence[Probe], progress: Progress | None = None, *, all_seconds: float = _ALL_SECONDS
) -> Report:
    """Return what every probe found.

    **Cost**: seconds where servers answer; at most ``all_seconds`` where nobody does. A probe that is given up goes on
    in a thread of its own, which ends with the process.

    Raises:
        ValueError: two probes of one name, or one that needs a probe which is none: it would be waited for for ever.
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
    def __init__(self, case: Case, probes: Sequence[Probe], progress: Progress, all_seconds: float) -> None:
        self._case, self._progress = case, progress
        self._waiting = list(probes)
        self._until = time.monotonic() + all_seconds
        self._running: dict[str, tuple[Probe, float]] = {}
        """Probe and the time it began at."""
        self._found: dict[str, tuple[Finding, float]] = {}
        self._ended: queue.Queue[_Ended] = queue.Queue()

    def run(self) -> dict[str, tuple[Finding, float]]:
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
        """Why a probe is not run: the first lack that it follows from, or that there is nothing to look at."""
        for need in probe.needs:
            finding = self._found[need][0] if need in self._found else None
            if finding is not None and finding.state == "missing":
                return skipped(f"fix {need!r} first")
            if finding is not None and finding.state == "skipped":
                return finding
        return None

    def _look(self, probe: Probe) -> None:
        began = time.monotonic()
        try:
            finding = probe.look(self._case)
        except Exception as error:  # noqa: BLE001 -- whatever a probe meets is what it found
            finding = finding_of(error, probe, self._case)
        self._ended.put((probe, finding, time.monotonic() - began))

    def _end(self, probe: Probe, finding: Finding, seconds: float) -> None:
        if probe.name in self._found:  # given up before, and come to an end since
            return
        self._running.pop(probe.name, None)
        self._found[probe.name] = (finding, seconds)
        self._progress.advance("doctor", probe.name, "" if finding.state == "passed" else finding.state)

    def _give_up(self) -> None:
        now = time.monotonic()
        for probe, began in list(self._running.values()):
            if now > min(began + probe.seconds, self._until):
                finding = missing(
                    f"no answer in {now - began:.0f} s",
                    "See whether this machine reaches the server: network, proxy, firewall; then look again.",
                    reason="no_answer",
                )
                self._end(probe, finding, now - began)
