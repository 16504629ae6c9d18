"""The ledger keeps one entry a stage, whoever writes, joins or reads it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import BudgetExceeded, CheckpointCorrupt
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectInfo
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import PREFIX, Ledger, refuse_spent, unended_usd
from bqx_assets_tests.servers.memory_store import MemoryObjectStore

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=3)
"""A moment at which all that was written in a test is older than two days."""


def entry(number: int = 0, *, at: datetime = NOW, usd: float = 0.0) -> Entry:
    return Entry(
        run=f"run-{number}", pair="eurusd", stage="merge", began_at=at, outcome="began", bigquery_usd=usd, vcpus=2
    )


def ended(begun: Entry) -> Entry:
    return begun.model_copy(update={"outcome": "done", "seconds": 1.5, "class_a": 3})


def keep(ledger: Ledger, each: Entry) -> Entry:
    done = ended(each)
    ledger.end(done, ledger.begin(each))
    return done


def test_an_entry_comes_back_as_it_was_written(tmp_path: Path) -> None:
    ledger = Ledger(LocalObjectStore(tmp_path))
    done = keep(ledger, entry())
    assert ledger.read().entries == [done]


def test_a_stage_that_was_killed_stays_as_one_that_began() -> None:
    ledger = Ledger(MemoryObjectStore())
    ledger.begin(entry())
    assert [each.outcome for each in ledger.read().entries] == ["began"]


def test_anybody_can_read_the_objects_as_parquet(tmp_path: Path) -> None:
    keep(Ledger(LocalObjectStore(tmp_path)), entry())
    (path,) = (tmp_path / PREFIX).rglob("*.parquet")
    assert pq.read_table(path).to_pylist()[0]["pair"] == "eurusd"


def test_a_month_has_cost_what_the_stages_did_that_began_in_it() -> None:
    ledger = Ledger(MemoryObjectStore())
    before = keep(ledger, entry(1, usd=3.0, at=NOW.replace(day=1, hour=0) - timedelta(microseconds=1)))
    first = keep(ledger, entry(2, usd=2.0, at=NOW.replace(day=1, hour=0)))
    assert ledger.month(NOW).usd == 2.0
    ledger.join(LATER)
    assert ledger.month(NOW).usd == 2.0
    assert ledger.read().entries == [before, first]


def test_joined_months_are_one_object_each_and_a_stage_that_ends_later_replaces_its_begin() -> None:
    store = MemoryObjectStore()
    ledger = Ledger(store)
    late, begun = entry(1), ledger.begin(entry(1))
    done = keep(ledger, entry(2, at=NOW - timedelta(days=40)))
    ledger.join(LATER)
    assert [info.name for info in store.list_objects(PREFIX)] == ["ledger/2026-10.parquet", "ledger/2026-11.parquet"]
    ledger.end(ended(late), begun)
    assert ledger.read().entries == [done, ended(late)]
    ledger.join(LATER)
    assert ledger.read().entries == [done, ended(late)]
    assert len(list(store.list_objects(PREFIX))) == 2


def test_what_cannot_be_read_is_named_and_neither_joined_nor_deleted() -> None:
    store = MemoryObjectStore()
    ledger = Ledger(store)
    keep(ledger, entry())
    store.put_bytes("ledger/2026-11/other.parquet", b"no parquet")
    store.put_bytes("ledger/2026-10.parquet", b"no parquet")
    keep(ledger, entry(3, at=NOW - timedelta(days=40)))
    ledger.join(LATER)
    page = ledger.read()
    assert page.unread == ["ledger/2026-11/other.parquet", "ledger/2026-10.parquet"]
    assert [each.run for each in page.entries] == ["run-3", "run-0"]


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_damaged_entry_is_named_or_read_as_it_was_written(place: int, bit: int, *, cut: bool) -> None:
    store = MemoryObjectStore()
    begun, data = Ledger(store).begin(ended(entry(usd=2.0))), bytearray()
    data += store.read(begun.name)
    place %= len(data)
    data[place] ^= 1 << bit
    store.put_bytes(begun.name, bytes(data[:place] if cut else data))
    page = Ledger(store).read()
    assert (page.entries, page.unread) in (([ended(entry(usd=2.0))], []), ([], [begun.name]))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1e9])
def test_an_amount_that_no_sum_could_hold_is_unread(wrong: float) -> None:
    ledger = Ledger(MemoryObjectStore())
    ledger.begin(entry().model_copy(update={"bigquery_usd": wrong}))
    assert (ledger.read().entries, len(ledger.read().unread)) == ([], 1)


@dataclass
class Interrupted(MemoryObjectStore):
    """A store at whose next calls something else happens first."""

    happen: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    def __post_init__(self) -> None:
        super().__init__()

    def read(self, name: str, start: int = 0, length: int | None = None, only_if: str | None = None) -> bytes:
        if self.happen:
            self.happen.pop(0)()
        return super().read(name, start, length, only_if)


def test_a_reader_that_meets_a_join_misses_nothing() -> None:
    store = Interrupted()
    ledger = Ledger(store)
    done = [keep(ledger, entry(number, at=NOW + timedelta(seconds=number))) for number in range(3)]
    store.happen = [lambda: Ledger(store).join(LATER)]
    assert ledger.read().entries == done


Action = st.sampled_from(["begin", "end", "join", "join twice", "read"])


@given(actions=st.lists(Action, max_size=14), choices=st.lists(st.integers(0, 5), min_size=14, max_size=14))
@settings(max_examples=60, deadline=None)
def test_no_order_of_writing_joining_and_reading_loses_or_doubles_an_entry(
    actions: list[str], choices: list[int]
) -> None:
    ledger = Ledger(MemoryObjectStore())
    open_, known = dict[str, tuple[Entry, ObjectInfo]](), dict[str, Entry]()
    for number, (action, choice) in enumerate(zip(actions, choices, strict=False)):
        if action == "begin":
            made = entry(number, at=NOW - timedelta(days=15 * choice, seconds=number))
            open_[made.run], known[made.run] = (made, ledger.begin(made)), made
        elif action == "end" and open_:
            run = sorted(open_)[choice % len(open_)]
            made, begun = open_.pop(run)
            known[run] = ended(made)
            ledger.end(known[run], begun)
        elif action.startswith("join"):
            ledger.join(LATER)
        assert {each.run: each for each in ledger.read().entries} == known
        assert len(ledger.read().entries) == len(known)


@pytest.mark.parametrize(("budget", "refused"), [(5.01, False), (5.0, True), (1.0, True)])
def test_a_month_whose_budget_is_spent_begins_no_further_run(budget: float, *, refused: bool) -> None:
    ledger = Ledger(MemoryObjectStore())
    keep(ledger, entry(1, usd=2.0))
    keep(ledger, entry(2, usd=3.0))
    keep(ledger, entry(3, usd=100.0, at=NOW - timedelta(days=30)))
    if not refused:
        refuse_spent(ledger, budget, NOW)
        return
    with pytest.raises(BudgetExceeded, match=r"5\.00 USD by the ledger.*until 1 December"):
        refuse_spent(ledger, budget, NOW)


def _stage(run: str, pair: str, stage: str, hours: float, usd: float | None = None) -> Entry:
    """A stage that began so many hours ago; without USD it has not ended."""
    known = {"outcome": "began"} if usd is None else {"outcome": "done", "bigquery_usd": usd}
    return Entry.model_validate(
        {"run": run, "pair": pair, "stage": stage, "began_at": NOW - timedelta(hours=hours), **known}
    )


WHOLE = [_stage("old", "eurusd", stage, 90, usd) for stage, usd in (("spine", 0.5), ("slabs", 3.0), ("publish", 0.5))]


@pytest.mark.parametrize(
    ("more", "usd"),
    [
        ([], 0.0),
        ([_stage("r", "eurusd", "spine", 0.1)], 4.0),  # a run at work comes to what its pair's stages came to
        ([_stage("r", "eurusd", "spine", 0.2, 0.25), _stage("r", "eurusd", "slabs", 0.1)], 4.0 - 0.25 - 0.25),
        ([_stage("r", "gbpusd", "spine", 0.1)], 4.0),  # of a pair without a run, the mean of the others
        ([_stage("r", "eurusd", "slabs", 6.0)], 3.0),  # killed: that stage alone
        ([_stage("cli-1", "eurusd", "slabs", 0.1)], 3.0),  # a command is one stage
        ([_stage("r", "eurusd", "publish", 0.1, 9.0)], 0.0),
        ([_stage("r", "eurusd", "slabs", 28 * 24)], 0.0),  # of an earlier month
    ],
)
def test_a_stage_without_an_end_counts_as_the_last_one_that_ended(more: list[Entry], usd: float) -> None:
    assert unended_usd([*WHOLE, *more], NOW) == usd


def test_the_runs_of_the_last_month_tell_what_the_first_runs_of_a_month_come_to() -> None:
    first = NOW.replace(day=1, hour=1)
    ledger = Ledger(MemoryObjectStore())
    for each in WHOLE:
        ledger.begin(each.model_copy(update={"began_at": first - timedelta(days=6)}))
    for pair in ("eurusd", "gbpusd"):
        ledger.begin(_stage("fleet", pair, "spine", 0.1).model_copy(update={"began_at": first}))
    month = ledger.month(first + timedelta(minutes=1))
    assert (month.usd, month.unended_usd, month.forecast_usd) == (0.0, 8.0, 8.0)
    with pytest.raises(BudgetExceeded, match=r"0\.00 USD by the ledger, and about 8\.00 of stages without an end"):
        refuse_spent(ledger, 8.0, first + timedelta(minutes=1))


def test_a_month_is_compared_with_itself_and_the_month_before_however_far_the_page_goes_back() -> None:
    ledger = Ledger(MemoryObjectStore())
    for each in WHOLE:
        ledger.begin(each.model_copy(update={"began_at": NOW - timedelta(days=60)}))
    ledger.begin(_stage("r", "eurusd", "spine", 0.1))
    assert ledger.read().month(NOW) == ledger.month(NOW) == (0.0, 0.0, [])


def test_a_stage_that_was_killed_last_month_is_not_counted_in_this_one() -> None:
    first = NOW.replace(day=1, hour=0)
    killed, later = _stage("r", "eurusd", "slabs", 0), _stage("r", "eurusd", "publish", 0, 1.0)
    killed = killed.model_copy(update={"began_at": first - timedelta(hours=1)})
    later = later.model_copy(update={"began_at": first + timedelta(hours=1)})
    assert unended_usd([*WHOLE, killed, later], NOW) == 0.0


def test_a_run_does_not_begin_while_those_at_work_will_spend_the_budget() -> None:
    ledger = Ledger(MemoryObjectStore())
    for each in [*WHOLE, _stage("r", "eurusd", "spine", 0.1)]:
        ledger.begin(each)
    refuse_spent(ledger, 8.01, NOW)
    with pytest.raises(BudgetExceeded, match=r"4\.00 USD by the ledger, and about 4\.00 of stages without an end"):
        refuse_spent(ledger, 8.0, NOW)
    refuse_spent(ledger, 8.0, NOW, "r")


def test_a_budget_of_a_month_whose_costs_are_not_known_begins_no_run() -> None:
    store = MemoryObjectStore()
    ledger = Ledger(store)
    keep(ledger, entry(1))
    store.put_bytes("ledger/2026-10.parquet", b"cannot be read, and only tells what runs of November come to")
    refuse_spent(ledger, 5.0, NOW)
    store.put_bytes("ledger/2026-11.parquet", b"no parquet")
    with pytest.raises(CheckpointCorrupt, match=r"ledger/2026-11\.parquet.*BQX_MONTHLY_BUDGET_USD"):
        refuse_spent(ledger, 5.0, NOW)
    refuse_spent(ledger, 5.0, NOW, "run-1")  # it has begun


@pytest.mark.parametrize("now", [NOW, NOW.replace(day=1, hour=1)], ids=["in a month", "over its end"])
def test_a_run_that_has_begun_is_not_stopped_by_the_budget(now: datetime) -> None:
    ledger = Ledger(MemoryObjectStore())
    ledger.begin(entry(1, at=now - timedelta(hours=2)))
    keep(ledger, entry(2, usd=5.0, at=now))
    refuse_spent(ledger, 5.0, now, "run-1")
    with pytest.raises(BudgetExceeded):
        refuse_spent(ledger, 5.0, now, "run-3")
