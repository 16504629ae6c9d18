"""A lease lets one process at a time hold a name in an object store, and passes on when its holder has died.

Whether a lease has run out is decided by the store's clock alone. The clocks of two machines differ, one that is
suspended stops its monotonic clock, and a wrong one would end the lease of a living holder. The clock of this machine
decides how often the store is asked, and nothing else; that a lease is still the holder's own says its version.
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
    """Hold object ``name`` for the block; a holder that does not renew it any more is waited out.

    ``wait`` is how it is waited between two looks; what it raises ends the wait.

    Raises:
        FolderBusy: a living holder has it; or, at the block's end, somebody took it meanwhile.
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

    By the store's own lock where it has one (a folder): that is refused at once, and a killed process gives it up at
    once. Else by a lease, an object beside the others, as :func:`lease` does with ``seconds`` and ``wait``.

    Raises:
        FolderBusy: somebody else holds it; by a lease also, at the block's end, that somebody took it meanwhile.
    """
    beside = f"{name}{'lease.json' if name[-1:] in ('', '/') else '.lease'}"
    with store.lock(name) or lease(store, beside, seconds=seconds, wait=wait):
        yield


class _Held:
    """A lease under renewal."""

    def __init__(self, store: ObjectStore, name: str, seconds: float, wait: Callable[[float], object]) -> None:
        self.lost = False
        self._store, self._name, self._seconds = store, name, seconds
        self._version = _take(store, name, seconds, wait)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back; one that cannot be given back runs out."""
        self._over.set()
        self._thread.join()
        try:
            self._store.delete(self._name, only_if=self._version)
        except (PreconditionFailed, ObjectMissing):
            self.lost = True  # after the last renewal, by somebody for whom it had run out
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
                continue  # the next renewal may come through
            self._version = info.version


def _take(store: ObjectStore, name: str, seconds: float, wait: Callable[[float], object]) -> Condition:
    """Return the version of the lease once it is this process's.

    **Cost**: while somebody else has it, three small requests every ``seconds / 20``.
    """
    seen: ObjectInfo | None = None
    first: datetime | None = None
    while True:
        found = store.head(name)
        if found is not None and seen is not None and found.version != seen.version:
            raise _busy(store, name, "in use by another extraction")
        if found is not None and not _is_dead(store, found):
            now = store_time(store, f"{name.rpartition('/')[0]}/")
            first = min(first or now, now)  # of a clock that was put back a day, the dead would live for a day
            # A file can say that it was written in the future: then it has been silent since the first look.
            if (now - min(found.updated, first)).total_seconds() <= seconds:
                seen = found
                wait(seconds / _LOOKS)
                continue
        try:
            return store.put_bytes(name, _holder(), only_if=version_of(found)).version
        except PreconditionFailed:
            raise _busy(store, name, "in use by another extraction, which was quicker") from None


def _is_dead(store: ObjectStore, found: ObjectInfo) -> bool:
    with suppress(ObjectMissing, ValueError):
        return ProcessIdentity.model_validate_json(store.read(found.name)).is_dead()
    return False


def _holder() -> bytes:
    return ProcessIdentity.this().model_dump_json().encode()


def _busy(store: ObjectStore, name: str, got: str) -> FolderBusy:
    return FolderBusy(store.uri(name), got=got, expected="one at a time", cure="Wait for it.")
