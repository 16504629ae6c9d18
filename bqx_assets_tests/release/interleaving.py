"""Runs two publications in two threads; a schedule decides which one makes its next call to the store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from bqx_assets.base.errors import StoreError
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.release.publish import Published, publish
from bqx_assets_tests.release.training import FaultyStore, stored

Outcome = Published | StoreError


class Publication:
    """A publication that stops before each of its calls until it may continue."""

    def __init__(self, folder: Path, data: bytes, store: ObjectStore) -> None:
        self.outcome: Outcome | None = None
        self._stopped, self._go = threading.Semaphore(0), threading.Semaphore(0)
        watched = FaultyStore(store)
        watched.listener = self._stop
        self._made = stored(folder, data)
        self._thread = threading.Thread(target=self._run, args=(watched,))
        self._thread.start()
        self._stopped.acquire()

    def step(self) -> None:
        """Let the publication make one call, if any is left."""
        if self.outcome is None:
            self._go.release()
            self._stopped.acquire()

    def finish(self) -> Outcome:
        """Let the publication run to its end."""
        while self.outcome is None:
            self.step()
        self._thread.join()
        return self.outcome

    def _stop(self, _call: str) -> None:
        self._stopped.release()
        self._go.acquire()

    def _run(self, store: FaultyStore) -> None:
        try:
            self.outcome = publish(*self._made, store, progress=Silent())
        except StoreError as error:
            self.outcome = error
        finally:
            self._stopped.release()


def interleave(folder: Path, store: ObjectStore, both: Sequence[bytes], schedule: Sequence[int]) -> list[Outcome]:
    """Publish both files in turns: ``schedule`` names whose call is next, and remaining calls are made in order."""
    running = [Publication(folder / str(number), data, store) for number, data in enumerate(both)]
    for number in schedule:
        running[number].step()
    return [each.finish() for each in running]
