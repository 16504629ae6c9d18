"""Tests the examination: order, time limits, what errors become, and that one lack is named once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bqx_assets.base.errors import BadSetting, NotReady
from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import Case, Finding, Probe, Report, missing, noted, passed, skipped
from bqx_assets.doctor.examine import examine
from bqx_assets_tests.frames import EURUSD


def _look(finding: Finding) -> Callable[[Case], Finding]:
    return lambda _: finding


def _report(*probes: Probe, all_seconds: float = 20) -> Report:
    return examine(Case(Settings(), EURUSD), probes, all_seconds=all_seconds)


def _states(report: Report) -> dict[str, str]:
    return {line.name: line.state for line in report.lines}


GOOD, LACK, NOTHING = _look(passed("is there")), _look(missing("is not", "get it")), _look(skipped("none is meant"))


def test_what_follows_from_a_lack_is_not_a_second_one() -> None:
    report = _report(
        Probe("a", "first", LACK),
        Probe("a", "second", GOOD, needs=("first",)),
        Probe("a", "third", LACK, needs=("second",)),
        Probe("a", "other", GOOD),
    )
    assert [line.name for line in report.missing] == ["first"]
    assert _states(report) == {"first": "missing", "second": "skipped", "third": "skipped", "other": "passed"}
    assert {line.found for line in report.lines if line.state == "skipped"} == {"not looked at: fix 'first' first"}
    assert [line.follows for line in report.lines] == ["", "first", "first", ""]


def test_where_there_is_nothing_to_look_at_nothing_that_follows_is_either() -> None:
    report = _report(Probe("a", "first", NOTHING), Probe("a", "second", LACK, needs=("first",)))
    assert report.passed
    assert [line.found for line in report.lines] == ["not looked at: none is meant"] * 2


def test_a_note_stops_nothing() -> None:
    report = _report(Probe("a", "first", _look(noted("odd"))), Probe("a", "second", GOOD, needs=("first",)))
    assert _states(report) == {"first": "note", "second": "passed"}


def test_after_means_that_a_probe_waits_and_looks_whatever_was_found() -> None:
    seen: list[str] = []

    def slow(_: Case) -> Finding:
        time.sleep(0.1)
        seen.append("first")
        return missing("is not", "get it")

    def second(_: Case) -> Finding:
        return passed(", ".join(seen))

    report = _report(Probe("a", "second", second, after=("first",)), Probe("a", "first", slow))
    assert report.lines[0].found == "first"


def test_lines_stand_in_the_order_of_the_probes_whenever_they_end() -> None:
    def slow(_: Case) -> Finding:
        time.sleep(0.1)
        return passed("late")

    report = _report(Probe("a", "slow", slow), Probe("a", "quick", GOOD))
    assert [line.name for line in report.lines] == ["slow", "quick"]
    assert report.lines[0].seconds >= 0.1


@pytest.fixture
def hang() -> Iterator[Callable[[Case], Finding]]:
    """Return a probe's function whose server does not answer until the test is over."""
    over = threading.Event()

    def look(_: Case) -> Finding:
        over.wait(30)
        return passed("too late")

    yield look
    over.set()


def test_a_probe_that_hangs_is_given_up_and_named(hang: Callable[[Case], Finding]) -> None:
    began = time.monotonic()
    report = _report(Probe("a", "dead", hang, seconds=0.2), Probe("a", "next", GOOD, needs=("dead",)))
    assert time.monotonic() - began < 5
    assert _states(report) == {"dead": "missing", "next": "skipped"}
    assert "no answer" in report.lines[0].found
    assert report.lines[0].reason == "no_answer"


def test_where_nothing_answers_the_whole_ends_in_its_time(hang: Callable[[Case], Finding]) -> None:
    began = time.monotonic()
    report = _report(*(Probe("a", f"dead {number}", hang) for number in range(30)), all_seconds=0.5)
    assert time.monotonic() - began < 10
    assert {line.state for line in report.lines} == {"missing"}


def test_what_is_waited_for_is_said(hang: Callable[[Case], Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Listening:
        def start(self, stage: str, total: int) -> None: ...
        def advance(self, stage: str, item: str, note: str = "") -> None: ...
        def warn(self, stage: str, message: str) -> None: ...
        def wait(self, stage: str, message: str) -> None:
            said.append(f"{stage}: {message}")

    monkeypatch.setattr("bqx_assets.doctor.examine._SAY_SECONDS", 0.1)
    examine(Case(Settings(), EURUSD), [Probe("a", "dead", hang, seconds=0.6)], Listening())
    assert said
    assert set(said) == {"doctor: waiting for an answer: dead"}


def test_an_error_of_ours_is_a_lack_in_its_own_words() -> None:
    def look(_: Case) -> Finding:
        raise BadSetting("BQX_OUTPUT", got="a file", expected="a folder", cure="Name a folder.")

    (line,) = _report(Probe("a", "place", look)).missing
    assert (line.found, line.cure) == ("BQX_OUTPUT: a file", "Name a folder.")


def test_a_fault_of_the_program_is_a_lack_that_asks_for_a_report() -> None:
    def look(_: Case) -> Finding:
        raise KeyError("odd")

    (line,) = _report(Probe("a", "place", look)).missing
    assert "KeyError" in line.found
    assert "report" in line.cure


def test_a_report_with_lacks_is_refused_with_each_and_its_cure() -> None:
    report = _report(Probe("a", "first", LACK), Probe("b", "second", _look(missing("gone", "fetch it"))))
    with pytest.raises(NotReady) as refused:
        report.refuse_lacks()
    assert refused.value.got == "a, first: is not; b, second: gone"
    assert refused.value.cure == "get it fetch it"
    _report(Probe("a", "first", GOOD)).refuse_lacks()


def test_probes_that_would_be_waited_for_for_ever_are_refused() -> None:
    """A setting and a probe were once both named ``expectations``, and the examination never ended."""
    with pytest.raises(ValueError, match="two of one name"):
        _report(Probe("a", "first", GOOD), Probe("b", "first", GOOD))
    with pytest.raises(ValueError, match="unknown"):
        _report(Probe("a", "first", GOOD, needs=("zeroth",)))
