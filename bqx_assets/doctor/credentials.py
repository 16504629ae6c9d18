"""Examines the credentials that Google's clients find: their kind, account and file, and whether a token is granted.

No part of a key or token is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import google.auth
import google.auth.environment_vars as names
from google.auth import compute_engine, external_account, impersonated_credentials
from google.auth.transport.requests import Request
from google.oauth2 import credentials as user
from google.oauth2 import service_account

from bqx_assets.doctor.case import Case, Finding, Probe, passed, skipped
from bqx_assets.doctor.network import CLOCK, CREDENTIALS, TOKEN, servers

THEME = "credentials"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_CALL_SECONDS = 8
_KINDS: tuple[tuple[type[Any], str], ...] = (
    (service_account.Credentials, "a service account's key"),
    (compute_engine.Credentials, "the account attached to this machine"),
    (user.Credentials, "a user's login"),
    (impersonated_credentials.Credentials, "a service account, impersonated"),
    (external_account.Credentials, "workload identity federation"),
)


def credentials_probes(_: Case) -> Iterator[Probe]:
    """Yield the probe that finds credentials and the one that asks for a token."""
    yield Probe(THEME, CREDENTIALS, _find, after=(CLOCK,), service="iam")
    yield Probe(THEME, TOKEN, _ask, needs=(CREDENTIALS, CLOCK), service="iam", seconds=25)


def are_needed(case: Case) -> bool:
    """Return whether one of Google's own servers is in use, or a key file is named, which other commands would read."""
    named = case.environment.get(names.CREDENTIALS)
    return bool(named) or not all(server.is_local for server in servers(case))


def _find(case: Case) -> Finding:
    if not are_needed(case):
        return passed("none needed: no server of Google's is in use")
    found: Any = cast("Any", google.auth.default)(scopes=[_SCOPE])[0]
    case.credentials = found
    case.account = _account(found)
    whose = f", {case.account}" if case.account else ""
    return passed(f"{_kind(found)}{whose}{_place(case)}")


def _kind(found: object) -> str:
    return next((text for kind, text in _KINDS if isinstance(found, kind)), type(found).__name__)


def _account(found: object) -> str:
    """Return the account's address: a key file has it, an account attached to the machine after the first token."""
    for name in ("service_account_email", "signer_email", "account"):
        address = getattr(found, name, None)
        if isinstance(address, str) and "@" in address:
            return address
    return ""


def _place(case: Case) -> str:
    """Return the file in which they were found; empty for an account attached to the machine, which has no file."""
    named = case.environment.get(names.CREDENTIALS)
    if named:
        return f", {named} ({names.CREDENTIALS})"
    login = Path(case.environment.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    file = login / "application_default_credentials.json"
    return f", {file}" if file.is_file() else ""


def _ask(case: Case) -> Finding:
    if case.credentials is None:
        return passed("none needed")
    if not case.reached and servers(case):
        return skipped("no server was reached")
    request: Any = partial(Request(), timeout=_CALL_SECONDS)
    case.credentials.refresh(request)
    case.account = _account(case.credentials) or case.account
    expiry = case.credentials.expiry
    until = f", valid until {expiry:%H:%M:%S} UTC" if expiry else ""
    return passed(f"granted{until}")
