"""A lease has one holder, passes on when the holder is dead, and is given back."""

from __future__ import annotations

import itertools
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bqx_assets.base.errors import FolderBusy
from bqx_assets.base.process import ProcessIdentity
from bqx_assets.base.store import lease as lease_module
from bqx_assets.base.store.lease import lease
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectStore

NAME = "staging/slabs/eurusd/lease.json"
SECONDS = 0.6
"""Long enough for a holder to renew it in time on a busy machine."""
DEAD_SECONDS = 0.2
"""The length of a lease that nobody renews any more."""


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return request.getfixturevalue("store") if request.param == "bucket" else LocalObjectStore(tmp_path)


def test_a_living_holder_is_not_disturbed(place: ObjectStore) -> None:
    with lease(place, NAME, seconds=SECONDS):
        with pytest.raises(FolderBusy, match="in use by another extraction"), lease(place, NAME, seconds=SECONDS):
            pass
        time.sleep(SECONDS * 1.5)  # held longer than a lease is long
        with pytest.raises(FolderBusy), lease(place, NAME, seconds=SECONDS):
            pass
    assert place.head(NAME) is None


def test_it_is_given_back_after_an_error(place: ObjectStore) -> None:
    with pytest.raises(ValueError, match="ours"), lease(place, NAME, seconds=SECONDS):
        raise ValueError("ours")
    with lease(place, NAME, seconds=SECONDS):
        pass


def _wait_out(place: ObjectStore) -> None:
    """Take the lease from a dead holder, whose last word is written first: not before its time, and soon after.

    How soon is counted in looks at the store, for a look takes long on a busy machine.
    """
    began, looks = time.monotonic(), itertools.count(1)
    place.put_bytes(NAME, b"of a killed container")

    def wait(seconds: float) -> None:
        assert next(looks) <= lease_module._LOOKS * 2
        time.sleep(seconds)

    with lease(place, NAME, seconds=DEAD_SECONDS, wait=wait):
        # The time of a file is that of the kernel's last tick, at most 10 ms ago.
        assert time.monotonic() - began > DEAD_SECONDS - 0.01


def test_a_dead_holder_is_waited_out(place: ObjectStore) -> None:
    _wait_out(place)


def test_a_holder_that_was_silent_too_long_is_told_so(place: ObjectStore) -> None:
    def silent() -> None:
        with lease(place, NAME, seconds=DEAD_SECONDS):
            place.put_bytes(NAME, b"another run's")
            time.sleep(DEAD_SECONDS)

    with pytest.raises(FolderBusy, match="taken over"):
        silent()
    assert place.read(NAME) == b"another run's"


class Clock:
    """A wrong clock of this machine, which runs ahead or stands still."""

    def __init__(self, speed: float) -> None:
        self.speed = speed

    def monotonic(self) -> float:
        return 1e6 + time.monotonic() * self.speed

    def time(self) -> float:
        return time.time() * self.speed


@pytest.mark.parametrize("speed", [1_000.0, 0.0, -1_000.0], ids=["runs ahead", "stands still", "runs backwards"])
def test_a_wrong_clock_neither_ends_a_living_lease_nor_waits_for_ever(
    place: ObjectStore, monkeypatch: pytest.MonkeyPatch, speed: float
) -> None:
    monkeypatch.setattr(lease_module, "time", Clock(speed))
    _wait_out(place)


def test_a_lease_written_in_the_future_runs_out_all_the_same(tmp_path: Path) -> None:
    folder = LocalObjectStore(tmp_path)
    folder.put_bytes(NAME, b"of a container")
    os.utime(tmp_path / NAME, (time.time() + 9e6, time.time() + 9e6))
    began = time.monotonic()
    with lease(folder, NAME, seconds=DEAD_SECONDS):
        assert DEAD_SECONDS * 0.9 < time.monotonic() - began < 30


@pytest.mark.parametrize("what", ["taken over", "taken over and given back"])
def test_a_lease_lost_after_the_last_renewal_is_told_as_well(place: ObjectStore, what: str) -> None:
    def suspended() -> None:
        with lease(place, NAME, seconds=60):  # nothing is renewed within this test
            place.put_bytes(NAME, b"another run's")
            if what == "taken over and given back":
                place.delete(NAME)

    with pytest.raises(FolderBusy, match="taken over"):
        suspended()


def _left_by(place: ObjectStore, **facts: object) -> None:
    place.put_bytes(NAME, ProcessIdentity.this().model_copy(update=facts).model_dump_json().encode())


@pytest.mark.parametrize("facts", [{"process": 2**22 + 1}, {"started": 1.0}], ids=["is gone", "was another"])
def test_a_process_of_this_machine_that_is_dead_is_not_waited_for(place: ObjectStore, facts: dict[str, object]) -> None:
    _left_by(place, **facts)
    began = time.monotonic()
    with lease(place, NAME, seconds=30):
        assert time.monotonic() - began < 5


def test_the_next_container_of_a_task_does_not_wait_for_the_last(
    place: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "bqx-pair-x7k2p")
    _left_by(place)
    monkeypatch.setenv("CLOUD_RUN_TASK_ATTEMPT", "1")
    began = time.monotonic()
    with lease(place, NAME, seconds=30):
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "facts",
    [
        {"execution": "bqx-pair-other", "attempt": 0},
        {"task": "1", "attempt": 0},
        {"execution": None, "process": 2**22 + 1},
        {"attempt": 1},
    ],
    ids=["of another execution", "of another task", "not in Cloud Run", "itself"],
)
def test_of_any_other_container_nobody_can_know(monkeypatch: pytest.MonkeyPatch, facts: dict[str, object]) -> None:
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "bqx-pair-x7k2p")
    monkeypatch.setenv("CLOUD_RUN_TASK_ATTEMPT", "1")
    assert not ProcessIdentity.this().model_copy(update=facts).is_dead()
    assert not ProcessIdentity.this().is_dead()


def test_a_process_of_another_machine_may_live() -> None:
    assert not ProcessIdentity(machine="another", process=2**22 + 1).is_dead()
    assert not ProcessIdentity(machine=None, process=2**22 + 1).is_dead()


def test_a_stores_clock_that_is_put_back_does_not_keep_a_dead_holder_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told = LocalObjectStore(tmp_path), datetime.now(UTC)
    _left_by(store, host="elsewhere")
    moments = iter([told, *(told - timedelta(days=1) + timedelta(seconds=10 * look) for look in range(8))])

    def put_back(store: ObjectStore, prefix: str) -> datetime:
        del store, prefix
        return next(moments)

    monkeypatch.setattr(lease_module, "store_time", put_back)
    with lease(store, NAME, seconds=30, wait=lambda _: None):
        pass
