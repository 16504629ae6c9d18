"""A request and its answer, as they pass between the wire and the operations."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Request:
    """A request; its header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    payload: bytes
    host: str


@dataclass
class Answer:
    """The answer to a request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
