"""Examines where training files are published: the bucket, its settings, and the right to write and remove objects.

Belongs here: a bucket of Cloud Storage, and a folder in its place. Does not: setting rules (``bqx store init``).

A probe object of a few bytes is written below ``staging/``, composed and deleted; whatever happens, it is removed.
"""

from __future__ import annotations

import secrets
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

from bqx_assets.base.printable import first_line
from bqx_assets.base.refusals.read import read_refusal
from bqx_assets.base.store.gcs_facts import policy_of
from bqx_assets.base.store.naming import bucket_and_prefix
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.doctor.case import Case, Probe
from bqx_assets.doctor.network import TOKEN, reached
from bqx_assets.doctor.refused import concerns_the_api
from bqx_assets.doctor.report import Finding, missing, noted, passed, skipped
from bqx_assets.release.bucket_policy import About, BucketFinding, of_rules, of_settings, refuse_unfit, same_place
from bqx_assets.release.lifecycle import has_rules, others_of, refuse_deletion, rules

THEME = "output"
API, LIST, SETTINGS, WRITE = "Cloud Storage API", "bucket", "bucket settings", "write, compose, delete"
_CALL: dict[str, Any] = {"timeout": (5, 10), "retry": None}
_NO_PERMISSION = ("permission", "permission_unnamed")
"""Rows of the table of refusals."""


def bucket_probes(case: Case) -> Iterator[Probe]:
    """Yield the probes of the place where training files are published."""
    if not case.in_bucket:
        yield Probe(THEME, "folder", _folder)
        return
    storage_probe = partial(Probe, THEME, service="cloud_storage")
    yield storage_probe(API, _first_call, needs=(reached("Cloud Storage"), TOKEN))
    yield storage_probe(LIST, _list, needs=(API,))
    yield storage_probe(SETTINGS, _settings, needs=(LIST,))
    for name, look in _OF_SETTINGS.items():
        yield storage_probe(name, look, needs=(SETTINGS,))
    yield storage_probe(WRITE, _write, needs=(LIST, "retention", "holds"))


def _folder(case: Case) -> Finding:
    folder = case.settings.output_dir
    _ = case.pipeline.store  # refuses a file in its place
    nearest = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    try:
        # By a file without a name, so nothing can stay of it. Permissions alone do not tell: a disk may be read-only.
        with tempfile.TemporaryFile(dir=nearest):
            return passed(f"{folder} can be written to" if folder.is_dir() else f"{folder} will be made")
    except OSError as error:
        return missing(
            f"{folder} cannot be written to: {nearest} takes no files ({error.strerror or first_line(error)})",
            f"Make it writable: chmod u+w {shlex.quote(str(nearest))}, or name another folder in BQX_OUTPUT.",
        )


def _name(case: Case) -> str:
    return bucket_and_prefix(case.settings.output or "")[0]


def _first_call(case: Case) -> Finding:
    store = case.store = cast("Any", case.pipeline.store)
    try:
        list(store.client.list_blobs(store.bucket, prefix=store.prefix + STAGING, max_results=1, **_CALL))
    except Exception as error:
        if concerns_the_api(error, "cloud_storage"):
            raise
        case.first_listing = error
    return passed("is on")


def _list(case: Case) -> Finding:
    if case.first_listing is not None:
        raise case.first_listing
    return passed(f"{case.settings.output} is there, and may be listed")


def _settings(case: Case) -> Finding:
    bucket = case.store.bucket
    try:
        bucket.reload(**_CALL)
    except Exception as error:
        # A run needs no storage.buckets.get, and roles/storage.objectUser has none. Any other refusal is a lack.
        if read_refusal(error, "cloud_storage").reason not in _NO_PERMISSION:
            raise
        return skipped(
            f"the account may not see them: no storage.buckets.get. {_SEE.format(case.account or 'ACCOUNT')}"
        )
    found = case.bucket = policy_of(bucket)
    kind = f"{found.location}, {found.storage_class}{f', key {found.kms_key}' if found.kms_key else ''}"
    if case.location and found.location and not same_place(found.location, case.location):
        return noted(f"{kind}; the data lie in {case.location}: reading across places costs", "See docs/costs.md")
    return passed(kind)


_SEE = "To see them: roles/storage.legacyBucketReader for {} on the bucket"


def _versioning(case: Case) -> Finding:
    if case.bucket.versioning:
        return passed("on: earlier files stay")
    return noted("off: a replaced training file is gone", "bqx store init")


def _lifecycle(case: Case) -> Finding:
    store, settings = case.store, case.settings
    kept = refuse_deletion(store, case.bucket, staging_days=settings.staging_days, keep_versions=settings.keep_versions)
    felt = tuple(of_rules(others_of(case.bucket.rules, store.prefix), kept))
    if stops := [each for each in felt if each.level == "stops"]:
        return _found(case, stops[0])
    wanted = rules(store.prefix, staging_days=settings.staging_days, keep_versions=settings.keep_versions)
    if has_rules(case.bucket.rules, wanted):
        if felt:
            return _found(case, felt[0])
        return passed(f"as bqx store init sets it: staged objects go after {settings.staging_days} days")
    return noted("unfinished objects are not removed by the bucket", "bqx store init")


def _setting(case: Case, about: About, *, good: str) -> Finding:
    """What ``bqx store init`` says of a setting: a lack where it says that runs stop, else a note."""
    for each in of_settings(case.settings.output or "", case.bucket):
        if each.about == about:
            return _found(case, each)
    return passed(good)


def _found(case: Case, fact: BucketFinding) -> Finding:
    if fact.level == "stops":
        return missing(fact.what, fact.cure, resource=f"gs://{_name(case)}", reason=fact.about)
    return noted(fact.what, fact.cure)


def _namespace(case: Case) -> Finding:
    refuse_unfit(f"gs://{_name(case)}", case.bucket)
    return passed("flat")


_OF_SETTINGS: dict[str, Callable[[Case], Finding]] = {
    "versioning": _versioning,
    "lifecycle": _lifecycle,
    "retention": partial(_setting, about="retention", good="no policy"),
    "holds": partial(_setting, about="holds", good="none by default"),
    "soft delete": partial(_setting, about="soft delete", good="off"),
    "requester pays": partial(_setting, about="requester pays", good="off"),
    "namespace": _namespace,
}


def _write(case: Case) -> Finding:
    """Write, compose, overwrite and delete, as a publication does. Names are of a form that every sweep knows."""
    store = case.store
    token = secrets.token_hex(8)
    names = f"{STAGING}clock-{token}", f"{STAGING}compose/{token}/00000"
    part, whole = (store.bucket.blob(store.prefix + name) for name in names)
    made: list[Any] = []
    try:
        made.append(part)  # before the call: its answer may be lost, and the object be there
        part.upload_from_string(b"doctor", if_generation_match=0, checksum="crc32c", **_CALL)
        made.append(whole)
        whole.compose([part, part], if_generation_match=0, **_CALL)
        whole.compose([part], if_generation_match=whole.generation, **_CALL)
        for blob in (whole, part):
            blob.delete(**_CALL)
            made.remove(blob)
    finally:
        for blob in made:
            with suppress(Exception):  # the refusal above is what is shown; what stays goes with the bucket's lifecycle
                blob.delete(**_CALL)
    return passed(f"done below {STAGING}, and removed again")
