"""Examines the place where training files are published: a folder, or a bucket with its settings and permissions.

In a bucket two objects of a few bytes are written below ``staging/``, by an upload and by a composition, and deleted.
"""

from __future__ import annotations

import secrets
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from bqx_assets.base.printable import first_line, some_of
from bqx_assets.base.refusals.read import read_refusal
from bqx_assets.base.store.gcs_facts import policy_of
from bqx_assets.base.store.naming import bucket_and_prefix
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.doctor.case import Case, Finding, Probe, missing, noted, passed, skipped
from bqx_assets.doctor.examine import concerns_the_api
from bqx_assets.doctor.network import TOKEN, reached
from bqx_assets.release.bucket_policy import About, BucketFinding, of_rules, of_settings, refuse_unfit
from bqx_assets.release.lifecycle import has_rules, others_of, refuse_deletion, rules

THEME = "output"
FOLDER = "folder"
API, LIST, SETTINGS, WRITE = "Cloud Storage API", "bucket", "bucket settings", "write, compose, delete"
_CALL: dict[str, Any] = {"timeout": (5, 10), "retry": None}
_NO_PERMISSION = ("permission", "permission_unnamed")
"""Rows of the table of refusals."""
_SHOWN = 3
_SEE_SETTINGS = "To see them: roles/storage.legacyBucketReader for {} on the bucket"


def output_probes(case: Case) -> Iterator[Probe]:
    """Yield the probes of the place where training files are published."""
    if not case.in_bucket:
        yield Probe(THEME, FOLDER, _folder)
        return
    storage_probe = partial(Probe, THEME, service="cloud_storage")
    yield storage_probe(API, _first_call, needs=(reached("Cloud Storage"), TOKEN))
    yield storage_probe(LIST, _list, needs=(API,))
    yield storage_probe(SETTINGS, _settings, needs=(LIST,))
    for name, look in _SETTING_PROBES.items():
        yield storage_probe(name, look, needs=(SETTINGS,))
    yield storage_probe(WRITE, _write, needs=(LIST, "retention", "holds"))


def _folder(case: Case) -> Finding:
    """Look whether the output folder takes files, or its nearest parent that exists."""
    folder = case.settings.output_dir
    _ = case.pipeline.store  # raises if a file is in the folder's place
    nearest = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    try:
        # A file without a name leaves nothing behind. Permissions alone do not tell: a disk may be read-only.
        with tempfile.TemporaryFile(dir=nearest):
            return passed(f"{folder} can be written to" if folder.is_dir() else f"{folder} will be made")
    except OSError as error:
        return missing(
            f"{folder} cannot be written to: {nearest} takes no files ({error.strerror or first_line(error)})",
            f"Make it writable: chmod u+w {shlex.quote(str(nearest))}, or name another folder in BQX_OUTPUT.",
        )


def _bucket_name(case: Case) -> str:
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
    return passed(f"{case.settings.output} is there and may be listed")


def _settings(case: Case) -> Finding:
    bucket = case.store.bucket
    try:
        bucket.reload(**_CALL)
    except Exception as error:
        # A run does not need storage.buckets.get, which roles/storage.objectUser lacks. Any other refusal is a lack.
        if read_refusal(error, "cloud_storage").reason not in _NO_PERMISSION:
            raise
        see = _SEE_SETTINGS.format(case.account or "ACCOUNT")
        return skipped(f"the account may not see them: no storage.buckets.get. {see}")
    found = case.bucket = policy_of(bucket)
    kind = f"{found.location}, {found.storage_class}{f', key {found.kms_key}' if found.kms_key else ''}"
    return next((noted(f"{kind}; {each.what}", each.cure) for each in _facts(case, "place")), passed(kind))


def _versioning(case: Case) -> Finding:
    if case.bucket.versioning:
        return passed("on: earlier files stay")
    return noted("off: a training file is lost when it is replaced", "bqx store init")


def _lifecycle(case: Case) -> Finding:
    store, settings = case.store, case.settings
    kept = refuse_deletion(store, case.bucket, staging_days=settings.staging_days, keep_versions=settings.keep_versions)
    felt = tuple(of_rules(others_of(case.bucket.rules, store.prefix), kept))
    if any(each.level == "stops" for each in felt):
        return _found(case, felt)
    wanted = rules(store.prefix, staging_days=settings.staging_days, keep_versions=settings.keep_versions)
    if has_rules(case.bucket.rules, wanted):
        if felt:
            return _found(case, felt)
        return passed(f"as bqx store init sets it: staged objects are deleted after {settings.staging_days} days")
    return noted("the bucket does not remove unfinished objects", "bqx store init")


def _setting(case: Case, about: About, *, good: str) -> Finding:
    """Return the finding of ``bqx store init`` about a setting, or ``good`` if it has none."""
    facts = _facts(case, about)
    return _found(case, facts) if facts else passed(good)


def _facts(case: Case, about: About) -> list[BucketFinding]:
    found = of_settings(case.settings.output or "", case.bucket, data_location=case.location)
    return [each for each in found if each.about == about]


def _found(case: Case, facts: Sequence[BucketFinding]) -> Finding:
    """Return a lack that names the facts that stop runs, or else a note that names all facts."""
    stops = [each for each in facts if each.level == "stops"]
    what = some_of([each.what for each in stops or facts], _SHOWN, "; ")
    cure = " ".join(dict.fromkeys(each.cure for each in stops or facts))
    if stops:
        return missing(what, cure, resource=f"gs://{_bucket_name(case)}", reason=stops[0].about)
    return noted(what, cure)


def _namespace(case: Case) -> Finding:
    refuse_unfit(f"gs://{_bucket_name(case)}", case.bucket)
    return passed("flat")


_SETTING_PROBES: dict[str, Callable[[Case], Finding]] = {
    "versioning": _versioning,
    "lifecycle": _lifecycle,
    "retention": partial(_setting, about="retention", good="no policy"),
    "holds": partial(_setting, about="holds", good="none by default"),
    "soft delete": partial(_setting, about="soft delete", good="off"),
    "requester pays": partial(_setting, about="requester pays", good="off"),
    "namespace": _namespace,
}


def _write(case: Case) -> Finding:
    """Write, compose, overwrite and delete as a publication does, under names that every sweep recognizes."""
    store = case.store
    token = secrets.token_hex(8)
    names = f"{STAGING}clock-{token}", f"{STAGING}compose/{token}/00000"
    part, whole = (store.bucket.blob(store.prefix + name) for name in names)
    made: list[Any] = []
    try:
        made.append(part)  # before the call: its answer may be lost although the object was written
        part.upload_from_string(b"doctor", if_generation_match=0, checksum="crc32c", **_CALL)
        made.append(whole)
        whole.compose([part, part], if_generation_match=0, **_CALL)
        whole.compose([part], if_generation_match=whole.generation, **_CALL)
        for blob in (whole, part):
            blob.delete(**_CALL)
            made.remove(blob)
    finally:
        for blob in made:
            with suppress(Exception):  # the first refusal is the finding; the bucket's lifecycle deletes what stays
                blob.delete(**_CALL)
    return passed(f"done below {STAGING}, and removed again")
