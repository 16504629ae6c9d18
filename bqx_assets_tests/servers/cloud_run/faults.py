"""The faults of a call, and the calls that came."""

from __future__ import annotations

from dataclasses import dataclass

import grpc


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that a call meets instead of its answer."""

    code: grpc.StatusCode
    message: str = "injected"
    after_effect: bool = False
    """The call takes effect, and only its answer is lost."""
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it arrived."""

    method: str
    deadline_seconds: float | None
