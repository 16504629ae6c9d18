"""What goes wrong on purpose, and a count of all that went through.

Belongs here: faults by operation, and the log. Does not: how a fault looks on the wire (``server``).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "reset", "truncate", "half", "wrong_crc", "corrupt", "hook", "stall"]
"""``status``: that answer. ``stall``: silence for ``seconds``, then the connection closes.
``reset``: the connection closes without one. ``truncate``: half of a body, then closed.
``half``: half of an upload's chunk is kept, then closed. ``wrong_crc``: the answer's CRC32C is another.
``corrupt``: one flipped bit in a body. ``hook``: somebody else acts just before."""


@dataclass
class Fault:
    """One planned fault."""

    operation: str
    """Empty: any."""
    kind: Kind
    times: int = 1
    skip: int = 0
    """Calls that go well before."""
    status: int = 503
    reason: str = ""
    """``errors[].reason``; else the one that Cloud Storage sends with this status."""
    seconds: float = 2.0
    after: bool = False
    """The call takes effect, and its answer is lost."""
    name: str = ""
    """Only for objects whose name holds this."""
    message: str = "planned fault"
    hook: Callable[[], object] = lambda: None


@dataclass
class Log:
    """Every request, and the bytes of objects in and out."""

    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0
    ranges: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    """Object, first byte, bytes: of each read."""
    heard: list[str] = field(default_factory=list[str])
    """Authorization headers, to see that none is sent where none should be."""

    def count(self) -> Counter[str]:
        """Requests by operation."""
        return Counter(operation for operation, _ in self.calls)

    def clear(self) -> None:
        """Forget all."""
        self.calls.clear()
        self.ranges.clear()
        self.uploaded_bytes = self.downloaded_bytes = 0


class Faults:
    """The planned faults, taken in order; thread-safe."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def plan(self, fault: Fault) -> None:
        """Add one."""
        with self._lock:
            self._planned.append(fault)

    def take(self, operation: str, name: str) -> Fault | None:
        """The fault of this call, if any."""
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
