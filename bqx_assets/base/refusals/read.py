"""Returns the meaning of a refusal of any of Google's services: the table's sentences, filled with what it names.

The caller raises its own errors and decides by ``again`` and ``everywhere`` whether it repeats the call.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bqx_assets.base.refusals.facts import Facts, read_facts
from bqx_assets.base.refusals.table import Again, Row, Service, grant_of, row_of
from bqx_assets.base.refusals.words import cut, permission_in, principal_in, project_in, resource_in

_SERVICES: dict[Service, tuple[str, str]] = {
    "bigquery": ("BigQuery", "bigquery.googleapis.com"),
    "storage_read": ("BigQuery's Storage Read API", "bigquerystorage.googleapis.com"),
    "cloud_storage": ("Cloud Storage", "storage.googleapis.com"),
    "cloud_run": ("Cloud Run", "run.googleapis.com"),
    "secret_manager": ("Secret Manager", "secretmanager.googleapis.com"),
    "cloud_sql": ("Cloud SQL", "sqladmin.googleapis.com"),
    "artifact_registry": ("Artifact Registry", "artifactregistry.googleapis.com"),
    "iam": ("IAM", "iam.googleapis.com"),
}
CREDENTIALS_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_TABLES = (
    re.compile(r"([\w.:-]+):(\w+)(?:\.([\w$*-]+))?$"),
    re.compile(r"((?:[\w.-]+:)?[\w-]+)\.(\w+)\.([\w$*-]+)$"),
)
"""``project:dataset.table`` and ``project.dataset.table``; an old project's name begins with its domain and a colon."""
_KINDS = ("project", "bucket", "table", "dataset", "job", "secret", "column", "execution")
"""A sentence says ``bucket b`` where the answer names the bucket, else ``the bucket``."""
_PROSE = {
    "principal": "the account of this process",
    "permission": "that is needed",
    "resource": "what was asked for",
    "when": "its time",
    "uid": "not given",
    "quota": "it does not say which",
    "hold": "temporary or event-based",
    "constraint": "it does not say which",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The meaning of a service's refusal, and what helps."""

    reason: str
    """The id of the table's row: ``permission``, ``api_off``, ``custom_quota``, ``unknown``, ..."""
    sentence: str
    """The meaning, with permission, resource and project filled in, and without a full stop."""
    cure: str
    """The action that helps, with its command."""
    permission: str | None
    """The missing permission, such as ``bigquery.readsessions.create``."""
    resource: str | None
    """The resource on which the permission is missing."""
    said: str
    """The service's own words, without secrets, and not cut before the parts that matter."""
    again: Again
    everywhere: bool
    """Every other call of the run would be refused as well, so that the run has to end."""
    wait_seconds: float
    """The wait that the service asked for, else 0."""


def read_refusal(error: BaseException, service: Service, **known: str) -> Refusal:
    """Return the meaning of an error of Google's clients or of google-auth.

    ``known`` are names that the caller knows and the answer may lack: ``project``, ``bucket``, ``object``, ``table``,
    ``job``, ``region``, ``member``.
    """
    facts = read_facts(error)
    row, named = row_of(facts, service)
    permission = _permission(facts, row)
    resource = facts.metadata.get("resource") or named.get("resource") or resource_in(facts.words) or _asked(known)
    # Names in the answer take precedence over the caller's: a read of one table can be refused because of another.
    values: dict[str, str] = {}
    for text in known.values():
        values |= _parts(text)
    values |= {**known, **_values(facts, service, named, resource)}
    for name in ("table", "dataset"):
        values[f"sql_{name}"] = _in_sql(values.get(name, name.upper()))
    if permission:
        values["permission"] = permission
    grant = grant_of(permission) if permission else None
    if grant is not None:
        values["role"] = grant.role
        values["grant"] = "Grant it: " + grant.command.format_map(_Named(values, prose=False))
    elif permission:
        values["grant"] = (
            f"Grant a role that has {permission} (https://cloud.google.com/iam/docs/roles-permissions) to "
            f"{values.get('member', 'the account')}"
        )
    # The row states whether the refusal concerns everything; for a plain lack of permission the permission decides too.
    everywhere = row.everywhere or (row.reason == "permission" and grant is not None and grant.everywhere)
    words = facts.words or (f"HTTP {facts.code}" if facts.code else type(error).__name__)
    return Refusal(
        reason=row.reason,
        sentence=_capital(row.sentence.format_map(_Named(values, prose=True))),
        cure=" ".join(row.cure.format_map(_Named(values, prose=False)).split()),
        permission=permission,
        resource=resource,
        said=cut(words, permission, resource, *named.values()),
        again=row.again,
        everywhere=everywhere,
        wait_seconds=facts.wait_seconds,
    )


def _permission(facts: Facts, row: Row) -> str | None:
    """Return the missing permission: from the details, else from the words, else from the row."""
    named = facts.metadata.get("permission") or permission_in(facts.words)
    if row.permission is None and row.reason != "permission":
        return None
    if named is None:
        return row.permission
    grant = grant_of(named)
    whole = grant is not None and grant.permission.lower() == named.lower()
    return grant.permission if grant is not None and whole else named


def _values(facts: Facts, service: Service, named: Mapping[str, str], resource: str | None) -> dict[str, str]:
    """Return the values that a sentence or cure can contain, by name."""
    title, api = _SERVICES[service]
    url = facts.metadata.get("activationUrl", "")
    off = re.search(r"[a-z]+\.googleapis\.com", facts.metadata.get("service", "") or url or facts.words)
    values = {"service": title, "host": api, "api": off.group() if off else api}
    values["url"] = url or f"https://console.cloud.google.com/apis/library/{values['api']}"
    if project := project_in(facts.words):
        values["project"] = project
    if resource:
        values |= {"resource": resource, **_parts(resource)}
    for name in ("uid", "quota_limit"):
        if text := facts.metadata.get(name):
            values[name.removesuffix("_limit")] = text
    consumer = facts.metadata.get("consumer", "").removeprefix("projects/").removeprefix("project_number:")
    values |= {"project": consumer} if consumer else {}
    values |= named
    for name in ("table", "dataset", "secret"):  # a project that the answer itself names takes precedence
        values = _parts(values.get(name, "")) | values
    if principal := principal_in(facts.words):
        kind = "serviceAccount" if principal.endswith(".gserviceaccount.com") else "user"
        values |= {"principal": principal, "member": f"{kind}:{principal}"}
    if re.search(r"may not exist|perhaps it does not exist", facts.words):
        values["or_missing"] = ", or it does not exist"
    return values | _files(values.get("file"), facts.words)


def _asked(known: Mapping[str, str]) -> str | None:
    """Return the resource that the caller asked for, for answers that do not name it."""
    if "bucket" in known:
        return f"gs://{known['bucket']}/{known.get('object', '')}".rstrip("/")
    return next((known[name] for name in ("resource", "table", "job", "dataset", "project") if name in known), None)


def _parts(resource: str) -> dict[str, str]:
    """Return the parts of a resource's name: ``projects/p/locations/l/jobs/j``, ``p:d.t`` or ``gs://b/o``."""
    words = resource.removeprefix("//").split("/")
    kinds = {
        "projects": "project", "locations": "region", "jobs": "job", "buckets": "bucket", "objects": "object",
        "datasets": "dataset", "tables": "table", "secrets": "secret", "taxonomies": "taxonomy",
        "policyTags": "policy_tag",
    }  # fmt: skip
    found = {kinds[name]: value for name, value in pairwise(words) if name in kinds}
    if found.get("project") == "_":  # Cloud Storage's own names: projects/_/buckets/b/objects/o
        del found["project"]
    named = next((match for form in _TABLES if (match := form.match(resource))), None)
    if named and "/" not in resource:
        project, dataset, name = named.groups()
        found |= {"project": project, "dataset": f"{project}:{dataset}"}
        found |= {"table": resource} if name else {}
    return found


def _in_sql(name: str) -> str:
    """Return a name in the form of SQL, ``project.dataset.table``. The colon behind an old project's domain stays."""
    return name if _TABLES[1].match(name) else ".".join(name.rsplit(":", 1))


def _files(file: str | None, words: str) -> dict[str, str]:
    """Return the file of credentials and its correction: logging in does not help while the variable is set."""
    variable = os.environ.get(CREDENTIALS_VARIABLE)
    standard = Path.home() / ".config/gcloud/application_default_credentials.json"
    if variable and (file is None or variable in words):  # the end of a name with a blank cannot be found in the words
        file = variable
    values = {"file": (file or str(standard)).rstrip(".,:")}
    values["correct_file"] = "Make it again: gcloud auth application-default login"
    if variable:
        values["check_variable"] = (
            f"{CREDENTIALS_VARIABLE} names {variable}: correct it, or unset it; while it is set, logging in does not "
            "help."
        )
        values["correct_file"] = values["check_variable"]
    return values


def _capital(text: str) -> str:
    return text if "@" in text.partition(" ")[0] else text[:1].upper() + text[1:]  # an address stays as it is


class _Named(dict[str, str]):
    """Values for a template. Unknown ones become words in a sentence, and a name in upper case in a command."""

    def __init__(self, values: Mapping[str, str], *, prose: bool) -> None:
        super().__init__(values)
        self._prose = prose

    def __getitem__(self, name: str) -> str:
        value = self.get(name, "")
        if name in {"or_missing", "correct_file", "check_variable"}:
            return value
        if self._prose:
            if name in _KINDS:
                return f"{name} {value}" if value else f"the {name}"
            return value or _PROSE.get(name, f"the {name}")
        if name == "member":
            return value or "serviceAccount:ACCOUNT"
        return value or name.upper()
