"""What it means that a probe raised: our own errors in their own words, Google's by the table of refusals.

Belongs here: an error turned into a finding, with the account filled into its command. Does not: the table
(``base/refusals``).
"""

from __future__ import annotations

from bqx_assets.base.errors import BqxError, SystemRefused
from bqx_assets.base.printable import first_line
from bqx_assets.base.refusals.read import Refusal, read_refusal
from bqx_assets.base.refusals.table import Service
from bqx_assets.base.store.naming import bucket_and_prefix
from bqx_assets.doctor.case import Case, Probe
from bqx_assets.doctor.report import Finding, missing

_OF_ONE_THING = {
    *("permission", "dataset_missing"),
    *("bucket_missing", "requester_pays", "retention_locked", "kms_permission", "hierarchical_namespace"),
}
"""Refusals that stop a whole run, and are of an account, a dataset or a bucket: not of the API."""


def finding_of(error: Exception, probe: Probe, case: Case) -> Finding:
    """Return what a probe found that ended with ``error``: the refusal behind it, where a service refused."""
    behind = error.__cause__ if isinstance(error, BqxError) else error
    if probe.service is not None and behind is not None and (probe.service == "iam" or _is_of_a_client(behind)):
        return _refused(_read(behind, probe.service, case))
    if isinstance(error, OSError):
        error = SystemRefused.of(error)
    if isinstance(error, BqxError):
        subject = _beyond(error.subject, probe)
        return missing(f"{subject}: {error.got}" if subject else error.got, error.cure)
    return missing(f"{type(error).__name__}: {first_line(error)}", "This is not foreseen: report this line.")


def _beyond(subject: str, probe: Probe) -> str:
    """What a subject says beyond its first word, where that is the theme's or the probe's: both are shown before it."""
    first, _, rest = subject.partition(" ")
    return rest if first in (probe.theme, probe.name) else subject


def concerns_the_api(error: BaseException, service: Service) -> bool:
    """Return whether an API as a whole was refused: it is off, without billing, out of reach, without credentials."""
    refusal = read_refusal(error, service)
    return refusal.everywhere and refusal.reason not in _OF_ONE_THING


def _is_of_a_client(error: BaseException) -> bool:
    """Whether an error is Google's, or of what its clients stand on."""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"google", "grpc", "requests", "urllib3"})


def _read(error: BaseException, service: Service, case: Case) -> Refusal:
    known = {"member": case.member} if case.account else {}
    if service in ("bigquery", "storage_read") and case.settings.bigquery_project:
        known["project"] = case.settings.bigquery_project
    if service == "cloud_storage" and case.in_bucket:
        known["bucket"] = bucket_and_prefix(case.settings.output or "")[0]
    if service == "cloud_run":
        config = case.instance["run_launcher"]["config"]
        known |= {"project": str(config["project"]), "region": str(config["region"])}
    return read_refusal(error, service, **known)


def _refused(refusal: Refusal) -> Finding:
    return missing(
        refusal.sentence,
        refusal.cure,
        permission=refusal.permission or "",
        resource=refusal.resource or "",
        reason=refusal.reason,
    )
