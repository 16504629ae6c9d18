"""A lease is held by one, waited out when its holder is dead, and given back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bqx_assets.base.errors import FolderBusy
from bqx_assets.base.objects.lease import lease
from bqx_assets.base.objects.local import LocalObjectStore
from bqx_assets.base.objects.protocol import ObjectStore

NAME = "staging/slabs/eurusd/lease.json"
SECONDS = 0.6


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


def test_a_dead_holder_is_waited_out(place: ObjectStore) -> None:
    place.put_bytes(NAME, b"of a killed container")
    began = time.monotonic()
    with lease(place, NAME, seconds=SECONDS):
        assert SECONDS * 0.5 < time.monotonic() - began < SECONDS * 3


def test_a_holder_that_was_silent_too_long_is_told_so(place: ObjectStore) -> None:
    def silent() -> None:
        with lease(place, NAME, seconds=SECONDS):
            place.put_bytes(NAME, b"another run's")
            time.sleep(SECONDS)

    with pytest.raises(FolderBusy, match="taken over"):
        silent()
    assert place.read(NAME) == b"another run's"
