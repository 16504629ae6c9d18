"""A request and its answer, between the wire and the operations.

Belongs here: the two shapes. Does not: what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Request:
    """One request; header names in small letters."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    payload: bytes
    host: str


@dataclass
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
