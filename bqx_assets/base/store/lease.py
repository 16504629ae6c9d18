"""A lease is a lock stored as an object: one process at a time holds a name, and another takes over if it dies.

The store's clock alone decides whether a lease has expired. The clocks of two machines differ, a suspended machine
stops its monotonic clock, and a wrong clock would end the lease of a living holder. This machine's clock decides only
how often the store is asked. A lease is still the holder's own as long as its version is the one that it wrote.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime

from bqx_assets.base.errors import FolderBusy, ObjectMissing, PreconditionFailed, StoreError
from bqx_assets.base.process import ProcessIdentity
from bqx_assets.base.store.protocol import Condition, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.store.staging_names import store_time

LEASE_SECONDS = 90.0
"""Time without a renewal after which the holder counts as dead. A retried container knows it at once."""
_RENEWALS = 4
"""Renewals within ``LEASE_SECONDS``, of which three may fail."""
_LOOKS = 20


@contextmanager
def lease(
    store: ObjectStore, name: str, *, seconds: float = LEASE_SECONDS, wait: Callable[[float], object] = time.sleep
) -> Generator[None]:
    """Hold object ``name`` for the block, after waiting until a holder that no longer renews it has expired.

    ``wait`` is called between two checks; an exception that it raises ends the wait.

    Raises:
        FolderBusy: a living process holds it; or, at the end of the block, somebody took it meanwhile.
    """
    held = _Held(store, name, seconds, wait)
    held.start()
    try:
        yield
    finally:
        held.stop()
    if held.lost:
        raise _busy(store, name, "taken over while this run was silent")


@contextmanager
def exclusive(
    store: ObjectStore, name: str, *, seconds: float = LEASE_SECONDS, wait: Callable[[float], object] = time.sleep
) -> Generator[None]:
    """Hold ``name``, or all names that begin with it if it ends in ``/`` or is empty, for the block.

    A store with locks (a folder) uses its own: it refuses at once, and it is free at once when its process is killed.
    Other stores use a lease, an object beside the others, with ``seconds`` and ``wait`` as in :func:`lease`.

    Raises:
        FolderBusy: somebody else holds it; with a lease also if, at the end of the block, somebody took it meanwhile.
    """
    beside = f"{name}{'lease.json' if name[-1:] in ('', '/') else '.lease'}"
    with store.lock(name) or lease(store, beside, seconds=seconds, wait=wait):
        yield


class _Held:
    """A lease that a thread renews."""

    def __init__(self, store: ObjectStore, name: str, seconds: float, wait: Callable[[float], object]) -> None:
        self.lost = False
        self._store, self._name, self._seconds = store, name, seconds
        self._version = _take(store, name, seconds, wait)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def start(self) -> None:
        """Start to renew the lease."""
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back. If that fails, it expires."""
        self._over.set()
        self._thread.join()
        try:
            self._store.delete(self._name, only_if=self._version)
        except (PreconditionFailed, ObjectMissing):
            self.lost = True  # it expired after the last renewal, and somebody took it
        except StoreError:
            pass

    def _renew(self) -> None:
        while not self._over.wait(self._seconds / _RENEWALS):
            try:
                info = self._store.put_bytes(self._name, _holder(), only_if=self._version)
            except (PreconditionFailed, ObjectMissing):
                self.lost = True
                return
            except StoreError:
                continue  # the next renewal may succeed
            self._version = info.version


def _take(store: ObjectStore, name: str, seconds: float, wait: Callable[[float], object]) -> Condition:
    """Take the lease and return its version.

    **Cost**: while somebody else holds it, three small requests every ``seconds / 20``.
    """
    seen: ObjectInfo | None = None
    first: datetime | None = None
    while True:
        found = store.head(name)
        if found is not None and seen is not None and found.version != seen.version:
            raise _busy(store, name, "in use by another extraction")
        if found is not None and not _is_dead(store, found):
            now = store_time(store, f"{name.rpartition('/')[0]}/")
            # Without the minimum a dead holder would live for a day after a clock was set back by a day.
            first = min(first or now, now)
            # A file can be dated in the future: its holder then counts as silent since the first check.
            if (now - min(found.updated, first)).total_seconds() <= seconds:
                seen = found
                wait(seconds / _LOOKS)
                continue
        try:
            return store.put_bytes(name, _holder(), only_if=version_of(found)).version
        except PreconditionFailed:
            raise _busy(store, name, "in use by another extraction, which was faster") from None


def _is_dead(store: ObjectStore, found: ObjectInfo) -> bool:
    with suppress(ObjectMissing, ValueError):
        return ProcessIdentity.model_validate_json(store.read(found.name)).is_dead()
    return False


def _holder() -> bytes:
    return ProcessIdentity.this().model_dump_json().encode()


def _busy(store: ObjectStore, name: str, got: str) -> FolderBusy:
    return FolderBusy.of(store.uri(name), got)
