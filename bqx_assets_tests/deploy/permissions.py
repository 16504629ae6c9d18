"""Makes ``docs/permissions.md``: calls, the permissions that they need, and the roles that the recipe grants.

python -m bqx_assets_tests.deploy.permissions       # writes the page
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bqx_assets_tests.deploy.fake_programs import FILLED
from bqx_assets_tests.deploy.recipe import DEPLOY

PAGE = DEPLOY.parent / "docs" / "permissions.md"
_ACCOUNTS = {
    "run": ("A run's container", "BQX_RUN_ACCOUNT"),
    "dagster": ("Web server, daemon and code server", "BQX_DAGSTER_ACCOUNT"),
    "build": ("Cloud Build", "BQX_BUILD_ACCOUNT"),
}
_SERVICES = {
    "artifactregistry": "Artifact Registry",
    "bigquery": "BigQuery",
    "logging": "Cloud Logging",
    "run": "Cloud Run",
    "secretmanager": "Secret Manager",
    "sql": "Cloud SQL",
    "storage": "Cloud Storage",
    "storage_read": "Storage Read",
}
_HEAD = """\
# What each account may do, and which calls need it

Made by `python -m bqx_assets_tests.deploy.permissions` from `deploy/permissions.toml` and the grants in
`deploy/commands.txt`; a test keeps it up to date. The list of calls is measured: a test runs a pair, the doctor, the
sensor, the launcher, the weekly verification and `bqx store init` against local servers, and compares the servers' logs
with this table. A call marked *rare* may be absent from those logs: it occurs with large files or recoveries, or
another program makes it.

No Google account was available. That a call needs a permission, and that a role has it, is known from Google's
documentation (*documented*) or from public reports of real answers (*seen*); *believed* means that neither was found.

| on | resource |
|---|---|
| payer | the project that pays: `BQX_BILLING_PROJECT`, else `BQX_BIGQUERY_PROJECT` |
| data | both datasets |
| output, logs | the buckets `BQX_OUTPUT` and `BQX_LOG_BUCKET` |
| project | `BQX_PROJECT` |
| jobs | the Cloud Run jobs of the runs |
| run-account | `BQX_RUN_ACCOUNT` |
| secret, registry | the secret of the database's address; the repository of the image |

"""
_TABLE = "| call | what it does | permission | on | by the role | how sure |\n|---|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Need:
    """One permission of one call."""

    permission: str
    on: str
    sure: str


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of call, by one account."""

    by: str
    service: str
    name: str
    what: str
    rare: bool
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """One role of one account on one kind of resource."""

    to: str
    role: str
    on: str


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads((DEPLOY / "permissions.toml").read_text())


def calls() -> list[Call]:
    """Return every kind of call."""
    return [
        Call(
            each["by"],
            each["service"],
            each["name"],
            each["what"],
            each.get("rare", False),
            tuple(Need(*need) for need in each["needs"]),
        )
        for each in _document()["call"]
    ]


def permissions_of(role: str) -> set[str]:
    """Return the permissions that ``permissions.toml`` notes of a role."""
    return set(_document()["role"][role])


def grants() -> Iterator[Grant]:
    """Yield every role that the listed commands grant, with the resource on which it is granted."""
    emails = {
        f"{FILLED[name]}@{FILLED['BQX_PROJECT']}.iam.gserviceaccount.com": who for who, (_, name) in _ACCOUNTS.items()
    }
    for line in (DEPLOY / "commands.txt").read_text().splitlines():
        if granted := re.search(
            r"GRANT `(\S+)` ON SCHEMA `\S+`\.\S+ TO '\S*?serviceAccount:([^\s']+)'", line.replace("'\\''", "'")
        ):
            yield Grant(emails[granted[2]], granted[1], "data")
        elif "add-iam-policy-binding" in line:
            words = shlex.split(line)
            flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
            at = words.index("add-iam-policy-binding")
            member = flags["member"].removeprefix("serviceAccount:")
            yield Grant(emails[member], flags["role"], _resource(words[1:at], words[at + 1]))


def _resource(group: list[str], name: str) -> str:
    """Return the resource of a binding's command, as ``permissions.toml`` names it."""
    match group:
        case ["projects"]:
            return {FILLED["BQX_PROJECT"]: "project", FILLED["BQX_BIGQUERY_PROJECT"]: "payer"}[name]
        case ["storage", "buckets"]:
            return {FILLED["BQX_OUTPUT"]: "output", f"gs://{FILLED['BQX_LOG_BUCKET']}": "logs"}[name]
        case ["run", "jobs"]:
            return "jobs"
        case ["secrets"]:
            return "secret"
        case ["artifacts", "repositories"]:
            return "registry"
        case ["iam", "service-accounts"]:
            return "run-account"
        case _:
            raise AssertionError(group)


def covering(call: Call, need: Need, given: list[Grant]) -> list[str]:
    """Return the roles of the call's account on that resource that have the permission."""
    mine = [grant for grant in given if grant.to == call.by and grant.on == need.on]
    return sorted({grant.role for grant in mine if need.permission in permissions_of(grant.role)})


def page() -> str:
    """Return the page."""
    given = list(grants())
    parts = [_HEAD]
    for who, (title, variable) in [*_ACCOUNTS.items(), ("operator", ("A person who sets it up", ""))]:
        account = f", `{variable}`" if variable else ""
        parts.append(f"## {title}{account}\n\n{_TABLE}")
        for call in calls():
            if call.by == who:
                parts += [_row(call, need, given, first=need is call.needs[0]) for need in call.needs]
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def _row(call: Call, need: Need, given: list[Grant], *, first: bool) -> str:
    rare = " *(rare)*" if call.rare else ""
    what = f"{_SERVICES[call.service]} `{call.name}`{rare} | {call.what}" if first else " | "
    roles = ", ".join(f"`{role}`" for role in covering(call, need, given)) or "a role of that person's own"
    return f"| {what} | `{need.permission}` | {need.on} | {roles} | {need.sure} |\n"


def main() -> None:
    """Write the page."""
    Path(PAGE).write_text(page())


if __name__ == "__main__":
    main()
