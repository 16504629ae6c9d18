"""The faults of Cloud Storage that a test plans, and a log of all calls."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "reset", "truncate", "half", "wrong_crc", "corrupt", "hook", "stall"]
"""The kind of a fault. ``status``: that answer. ``stall``: silence for ``seconds``, then the connection closes.
``reset``: the connection closes without one. ``truncate``: half of a body, then closed.
``half``: half of an upload's chunk is kept, then closed. ``wrong_crc``: the answer's CRC32C is another.
``corrupt``: one flipped bit in a body. ``hook``: a function of the test runs just before."""


@dataclass
class Fault:
    """One planned fault."""

    operation: str
    """The operation that fails; empty for any."""
    kind: Kind
    times: int = 1
    skip: int = 0
    """Number of calls that succeed before."""
    status: int = 503
    reason: str = ""
    """The answer's ``errors[].reason``; without it, the one that Cloud Storage sends with this status."""
    seconds: float = 2.0
    after: bool = False
    """Whether the call takes effect and only its answer is lost."""
    name: str = ""
    """A part of the object's name, without which the call succeeds."""
    message: str = "planned fault"
    hook: Callable[[], object] = lambda: None


@dataclass
class Log:
    """A log of every request, and of the bytes of objects in and out."""

    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    answered: list[str] = field(default_factory=list[str])
    """The operations that were carried out, which alone are billed."""
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0
    ranges: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    """The object, first byte and number of bytes of each read."""
    heard: list[str] = field(default_factory=list[str])
    """The Authorization headers, to see that none is sent where none is allowed."""

    def count(self) -> Counter[str]:
        """Return the number of requests by operation."""
        return Counter(operation for operation, _ in self.calls)

    def billed(self) -> tuple[int, int]:
        """Return the number of operations of class A and of class B that were carried out."""
        calls = Counter(self.answered)
        writes = ("insert", "start", "compose", "list")
        return sum(calls[f"object.{kind}"] for kind in writes), sum(
            calls[f"object.{kind}"] for kind in ("get", "media")
        )

    def clear(self) -> None:
        """Forget all requests."""
        self.calls.clear()
        self.answered.clear()
        self.ranges.clear()
        self.uploaded_bytes = self.downloaded_bytes = 0


class Faults:
    """The planned faults, taken in order; thread-safe."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def plan(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._planned.append(fault)

    def take(self, operation: str, name: str) -> Fault | None:
        """Return the fault of this call, if there is one."""
        with self._lock:
            for fault in self._planned:
                if fault.operation not in {operation, ""} or fault.name not in name or fault.times <= 0:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                return fault
        return None
