"""Examines whether the servers in use answer at all, and whether their clocks and this machine's agree.

Each server gets one request without credentials. The clock is judged before any token is asked for: if it is five
minutes off, Google refuses the tokens of a key file, and its message speaks of a JWT and not of the clock.
"""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import urlsplit

from bqx_assets.base.store.naming import storage_endpoint
from bqx_assets.doctor.case import Case, Finding, Line, Probe, missing, noted, passed, skipped

THEME = "network"
CLOCK, CREDENTIALS, TOKEN = "clock", "credentials", "token"
"""Names of probes that others need. The last two are probes of ``credentials``, which imports Google's libraries."""
_SECONDS = 8.0
_REFUSED_SECONDS = 240.0
"""A minute below the five minutes by which Google lets a token's clock be off."""
_NOTED_SECONDS = 5.0
_STORAGE_READ = "bigquerystorage.googleapis.com"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a run speaks to."""

    name: str
    address: str
    """The address with its scheme. ``grpc://`` is gRPC in plain text, which answers no HTTP/1 request."""

    @property
    def is_local(self) -> bool:
        """Return whether calls to it are in plain text and carry no credentials."""
        return not self.address.startswith("https://")


def servers(case: Case) -> tuple[Server, ...]:
    """Return the servers that a run with these settings speaks to."""
    found: list[Server] = []
    if case.settings.bigquery_project is not None:
        rest = case.environment.get("BIGQUERY_EMULATOR_HOST")
        found.append(Server("BigQuery", _address(rest, "bigquery.googleapis.com", "http://")))
        reads = case.settings.bigquery_storage_endpoint
        plain = reads is not None and reads.startswith("http://")
        address = f"grpc://{urlsplit(reads).netloc}" if plain and reads else _address(reads, _STORAGE_READ, "https://")
        found.append(Server("BigQuery Storage", address))
    if case.in_bucket:
        found.append(Server("Cloud Storage", storage_endpoint() or "https://storage.googleapis.com"))
    return tuple(found)


def _address(stated: str | None, default: str, scheme: str) -> str:
    """Return a stated address with its scheme, or else Google's own."""
    if stated is None:
        return f"https://{default}"
    return stated if "://" in stated else f"{scheme}{stated}"


def network_probes(case: Case) -> Iterator[Probe]:
    """Yield one probe for each server, and one for the clock."""
    found = servers(case)
    for server in found:
        yield Probe(THEME, reached(server.name), partial(_reach, server=server), seconds=10)
    yield Probe(THEME, CLOCK, _clock, after=tuple(reached(server.name) for server in found))


def reached(name: str) -> str:
    """Return the name of the probe that reaches a server."""
    return f"reach: {name}"


def with_one_network_lack(case: Case, lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines; if several servers were asked and none answered, one lack of the network replaces theirs."""
    asked = {reached(server.name): server for server in servers(case)}
    down = {line.name: line for line in lines if line.name in asked}
    if len(down) < 2 or any(line.state != "missing" for line in down.values()):  # noqa: PLR2004 -- one stands for itself
        return tuple(lines)
    whys = {asked[name]: case.unreached.get(asked[name].name, line.found) for name, line in down.items()}
    first, *others = down
    said = "; ".join(f"{server.address}: {why}" for server, why in whys.items())
    one = down[first].model_copy(
        update={
            "name": reached(", ".join(server.name for server in whys)),
            "found": f"none of the servers answers: {said}",
            "seconds": max(line.seconds for line in down.values()),
        }
    )
    follow = skipped("fix the network first", follows=one.name).model_dump()
    rest = [line.model_copy(update=follow) if line.follows in down else line for line in lines]
    return tuple(one if line.name == first else line for line in rest if line.name not in others)


def _reach(case: Case, server: Server) -> Finding:
    """Ask a server for its first page, and note the time in its answer."""
    began = time.time()
    try:
        headers = _ask(server)
    except (OSError, ValueError) as error:
        case.unreached[server.name] = _why(error)
        return missing(
            f"{server.address} does not answer: {_why(error)}",
            "Check the network, the proxy (HTTPS_PROXY) and the firewall of this machine.",
            reason="network",
        )
    case.reached.add(server.name)
    took = time.time() - began
    stated = headers.get("Date") if headers is not None else None
    if stated:
        # A Date is cut to whole seconds, so its mean is half a second later; it was written about half way.
        case.offsets_seconds[server.name] = parsedate_to_datetime(stated).timestamp() + 0.5 - (began + took / 2)
    where = f" at {server.address}" if server.is_local else ""
    return passed(f"{server.name} in {took * 1000:,.0f} ms{where}")


def _ask(server: Server) -> Message[str, str] | None:
    """Return the headers of a server's answer; None of gRPC in plain text, which is only connected to."""
    parts = urlsplit(server.address)
    if parts.scheme == "grpc":
        socket.create_connection((parts.hostname or "", parts.port or 443), _SECONDS).close()
        return None
    request = urllib.request.Request(server.address, method="HEAD")  # noqa: S310 -- http and https alone, see _address
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return answer.headers
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.headers  # any status is an answer: there is no page at the root


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason)


def _clock(case: Case) -> Finding:
    if not case.offsets_seconds:
        return passed("no server is in use") if not servers(case) else noted("no server's answer has a time")
    name, ahead = max(case.offsets_seconds.items(), key=lambda each: abs(each[1]))
    off = max(abs(ahead) - 0.5, 0.0)
    said = f"{off:,.0f} s {'behind' if ahead > 0 else 'ahead of'} {name}'s"
    if off > _REFUSED_SECONDS:
        return missing(said, "Set this machine's clock: timedatectl set-ntp true (date -u shows it).", reason="clock")
    return (
        noted(said, "Set this machine's clock: timedatectl set-ntp true")
        if off > _NOTED_SECONDS
        else passed("as the servers' clocks, within a second" if off < 1 else said)
    )
