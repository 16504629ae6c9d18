"""Examines whether the servers in use answer at all, and whether their clocks and this machine's agree.

Belongs here: addresses, one request without credentials to each, the time in its answer. Does not: any call of an
API.

The clock comes first: with one that is five minutes off, Google refuses a key file's tokens with words that speak of
a JWT.
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
from bqx_assets.doctor.case import Case, Probe
from bqx_assets.doctor.report import Finding, Line, missing, noted, passed

THEME = "network"
CLOCK, CREDENTIALS, TOKEN = "clock", "credentials", "token"
"""Names of probes that others need; two are in ``credentials``, which imports Google's libraries."""
_REACH, _SILENT = "reach: ", " does not answer: "
_SECONDS = 8.0
_REFUSED_SECONDS = 240.0
"""Google takes a token of a clock that is up to five minutes off."""
_NOTED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server in use."""

    name: str
    address: str
    """With its scheme; ``grpc://`` is plain gRPC, which speaks no HTTP/1."""

    @property
    def is_local(self) -> bool:
        """Return whether it is spoken to in plain text, without credentials."""
        return not self.address.startswith("https://")


def servers(case: Case) -> tuple[Server, ...]:
    """Return the servers that a run by these settings would speak to."""
    found: list[Server] = []
    if case.settings.bigquery_project is not None:
        rest = case.environment.get("BIGQUERY_EMULATOR_HOST")
        found.append(Server("BigQuery", _address(rest, "bigquery.googleapis.com", "http://")))
        reads = case.settings.bigquery_storage_endpoint
        plain = reads is not None and reads.startswith("http://")
        address = f"grpc://{urlsplit(reads).netloc}" if plain and reads else _address(reads, _READS, "https://")
        found.append(Server("BigQuery Storage", address))
    if case.in_bucket:
        found.append(Server("Cloud Storage", storage_endpoint() or "https://storage.googleapis.com"))
    return tuple(found)


_READS = "bigquerystorage.googleapis.com"


def _address(stated: str | None, default: str, scheme: str) -> str:
    if stated is None:
        return f"https://{default}"
    return stated if "://" in stated else f"{scheme}{stated}"


def network_probes(case: Case) -> Iterator[Probe]:
    """Yield a probe a server, and one of the clock."""
    found = servers(case)
    for server in found:
        yield Probe(THEME, reached(server.name), partial(_reach, server=server), seconds=10)
    yield Probe(THEME, CLOCK, _clock, after=tuple(reached(server.name) for server in found))


def reached(name: str) -> str:
    """Return the name of the probe that reaches a server."""
    return f"{_REACH}{name}"


def network_as_one(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines, with one lack in the place of several where none of several servers answers: the network's."""
    down = [line for line in lines if line.name.startswith(_REACH)]
    if len(down) < 2 or any(line.state != "missing" for line in down):  # noqa: PLR2004 -- one alone is named as it is
        return tuple(lines)
    whys = {line.name.removeprefix(_REACH): line.found.rpartition(_SILENT) for line in down}
    said = "; ".join(f"{address or name}: {why}" for name, (address, _, why) in whys.items())
    one = down[0].model_copy(
        update={
            "name": _REACH + ", ".join(whys),
            "found": f"none of the servers answers: {said}",
            "seconds": max(line.seconds for line in down),
        }
    )
    names = {f"not looked at: fix {line.name!r} first" for line in down}
    follows = {"found": "not looked at: fix the network first"}
    rest = [line.model_copy(update=follows) if line.found in names else line for line in lines if line not in down[1:]]
    return tuple(one if line is down[0] else line for line in rest)


def _reach(case: Case, server: Server) -> Finding:
    began = time.time()
    try:
        headers = _ask(server)
    except (OSError, ValueError) as error:
        return missing(
            f"{server.address}{_SILENT}{_why(error)}",
            "Look at the network, the proxy (HTTPS_PROXY) and the firewall of this machine.",
            reason="network",
        )
    case.reached.add(server.name)
    took = time.time() - began
    stated = headers.get("Date") if headers is not None else None
    if stated:
        # A Date has whole seconds and was written about half way: half a second of doubt.
        case.offsets_seconds[server.name] = parsedate_to_datetime(stated).timestamp() + 0.5 - (began + took / 2)
    where = f" at {server.address}" if server.is_local else ""
    return passed(f"{server.name} in {took * 1000:,.0f} ms{where}")


def _ask(server: Server) -> Message[str, str] | None:
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
            return answer.headers  # any status is an answer: no page lies at the root


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason)


def _clock(case: Case) -> Finding:
    if not case.offsets_seconds:
        return passed("no server is in use") if not servers(case) else noted("no server said what time it is")
    name, ahead = max(case.offsets_seconds.items(), key=lambda each: abs(each[1]))
    off = max(abs(ahead) - 0.5, 0.0)
    said = f"{off:,.0f} s {'behind' if ahead > 0 else 'ahead of'} {name}'s"
    if off > _REFUSED_SECONDS:
        return missing(said, "Set this machine's clock: timedatectl set-ntp true (see: date -u).", reason="clock")
    return (
        noted(said, "Set this machine's clock: timedatectl set-ntp true")
        if off > _NOTED_SECONDS
        else passed("as the servers' clocks, within a second" if off < 1 else said)
    )
