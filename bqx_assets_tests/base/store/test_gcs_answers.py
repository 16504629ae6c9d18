"""Refusals of Cloud Storage are told apart by reason, retried only where they may pass, and named with a cure."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from bqx_assets.base.errors import ObjectMissing, PreconditionFailed, StoreError
from bqx_assets.base.progress import Setbacks
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.store import gcs_answers
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.protocol import ABSENT
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.refusals import ACCOUNT
from bqx_assets_tests.servers.gcs.server import GcsServer

DATA = b"bytes"
LARGE = bytes(9 << 20)
CALLS: dict[str, Callable[[GcsObjectStore], object]] = {
    "head": lambda store: store.head("x"),
    "read": lambda store: store.read("x"),
    "read a range": lambda store: store.read("x", 1, 2),
    "list": lambda store: list(store.list_objects()),
    "earlier": lambda store: store.earlier("x"),
    "put": lambda store: store.put_bytes("x", DATA, only_if=ABSENT),
    "put large": lambda store: store.put_bytes("x", LARGE, only_if=ABSENT),
    "compose": lambda store: store.compose("y", ["x"], only_if=ABSENT),
    "delete": lambda store: store.delete("x"),
    "policy": lambda store: store.policy(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_missing_bucket_is_never_taken_for_a_missing_object(
    store: GcsObjectStore, gcs: GcsServer, call: Callable[[GcsObjectStore], object]
) -> None:
    gcs.buckets.clear()
    with pytest.raises(StoreError, match=f"Bucket {BUCKET} does not exist.*buckets create gs://{BUCKET}") as raised:
        call(store)
    assert not isinstance(raised.value, ObjectMissing)


def test_a_missing_object_costs_one_more_question_once(store: GcsObjectStore, gcs: GcsServer) -> None:
    for _ in range(3):
        assert store.head("none") is None
    assert gcs.log.count() == {"object.get": 3, "object.list": 1}


def test_where_listing_is_not_allowed_a_missing_object_is_still_one(store: GcsObjectStore, gcs: GcsServer) -> None:
    gcs.service.denied = frozenset({"storage.objects.list"})
    assert store.head("none") is None
    with pytest.raises(ObjectMissing):
        store.read("none")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_missing_permission_is_named_with_account_bucket_and_role(
    store: GcsObjectStore, gcs: GcsServer, call: Callable[[GcsObjectStore], object]
) -> None:
    gcs.buckets[BUCKET].put("x", DATA, {})
    gcs.service.denied = frozenset(
        f"storage.{kind}.{verb}" for kind in ("objects", "buckets") for verb in ("get", "list", "create", "delete")
    )
    with pytest.raises(
        StoreError, match=rf"{ACCOUNT} lacks the permission storage\.\w+\.\w+ on gs://{BUCKET}"
    ) as raised:
        call(store)
    assert f"gs://{BUCKET} --member serviceAccount:{ACCOUNT} --role roles/storage." in raised.value.cure
    assert len(gcs.log.calls) == 1


def test_writing_over_an_object_without_the_right_to_delete_says_so(store: GcsObjectStore, gcs: GcsServer) -> None:
    made = store.put_bytes("x", DATA)
    gcs.service.denied = frozenset({"storage.objects.delete"})
    with pytest.raises(StoreError, match=r"storage\.objects\.delete.*to write over an object is to delete it"):
        store.put_bytes("x", b"other", only_if=made.version)


@pytest.mark.parametrize("write", ["put", "put large", "compose over", "delete"])
@pytest.mark.parametrize("state", ["retention", "Temporary", "Event-Based"])
def test_an_object_under_retention_or_hold_is_no_conflict_and_not_retried(
    store: GcsObjectStore, gcs: GcsServer, write: str, state: str
) -> None:
    made = store.put_bytes("x", DATA)
    bucket = gcs.buckets[BUCKET]
    if state == "retention":
        bucket.settings["retentionPolicy"] = {"retentionPeriod": "86400"}
    else:
        bucket.live["x"].held = state
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: store.put_bytes("x", DATA, only_if=made.version),
        "put large": lambda: store.put_bytes("x", LARGE, only_if=made.version),
        "compose over": lambda: store.compose("x", ["x"], only_if=made.version),
        "delete": lambda: store.delete("x", only_if=made.version),
    }
    gcs.log.clear()
    with pytest.raises(StoreError, match="retention" if state == "retention" else f"hold .{state}") as raised:
        calls[write]()
    assert not isinstance(raised.value, PreconditionFailed)
    assert len(gcs.log.calls) == 1


REFUSALS = [
    (403, "forbidden", "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has been authorized to use this key.", "service agent.*authorize-cmek"),
    (400, "cloudKmsDisabledKey", "Cloud KMS key is disabled, destroyed, or scheduled to be destroyed.", "disabled or destroyed.*kms keys versions enable"),
    (400, "required", "Bucket is a requester pays bucket but no user project provided.", "no-requester-pays"),
    (403, "accountDisabled", "The billing account for the owning project is disabled in state closed", "billing projects link"),
    (403, "accessNotConfigured", "Cloud Storage JSON API has not been used in project 1234 before or it is disabled.", r"services enable storage\.googleapis\.com --project 1234"),
    (412, "conditionNotMet", "Request violates constraint 'constraints/storage.uniformBucketLevelAccess'", "org-policies describe constraints/storage.uniformBucketLevelAccess"),
    (403, "forbidden", "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: aB-1", "aB-1"),
    (400, "invalid", "Object versioning cannot be enabled on a bucket with hierarchical namespace.", "without one"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "reason", "message", "expected"), REFUSALS)
@pytest.mark.parametrize("call", ["head", "list", "put", "put large", "compose", "read"])
def test_what_stays_is_said_at_once_by_its_reason(  # noqa: PLR0913, PLR0917 -- a table
    store: GcsObjectStore, gcs: GcsServer, call: str, status: int, reason: str, message: str, expected: str
) -> None:
    gcs.buckets[BUCKET].put("x", DATA, {})
    gcs.fail("", status=status, reason=reason, message=message, times=1_000)
    with pytest.raises(StoreError, match=expected) as raised:
        CALLS[call](store)
    assert type(raised.value) is StoreError
    assert len(gcs.log.calls) == 1


@pytest.mark.parametrize(("status", "reason"), [(403, "rateLimitExceeded"), (403, "userRateLimitExceeded"), (429, "")])
@pytest.mark.parametrize("call", ["head", "list", "put", "put large", "compose", "read"])
def test_a_rate_is_waited_for_under_any_code(
    store: GcsObjectStore, gcs: GcsServer, call: str, status: int, reason: str
) -> None:
    if not call.startswith("put"):
        gcs.buckets[BUCKET].put("x", DATA, {})
    gcs.fail("", status=status, reason=reason, message="slow down", times=2)
    CALLS[call](store)


@pytest.mark.parametrize(
    ("operation", "call"),
    [("object.get", "head"), ("object.list", "list"), ("object.media", "read"), ("object.insert", "put"),
     ("object.start", "put large"), ("object.chunk", "put large"), ("object.compose", "compose")],
)  # fmt: skip
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_one_request_that_stalls_is_given_up_and_retried(
    store: GcsObjectStore, gcs: GcsServer, operation: str, call: str, *, after: bool
) -> None:
    impatient = GcsObjectStore(
        BUCKET, client=store.client, policy=replace(RETRIES["cloud_storage"], call_seconds=0.3, first_wait_seconds=0.01)
    )
    if not call.startswith("put"):
        gcs.buckets[BUCKET].put("x", DATA, {})
    gcs.fail(operation, "stall", seconds=1, after=after)
    began = time.monotonic()
    CALLS[call](impatient)
    assert time.monotonic() - began < 5


def test_why_a_call_is_made_again_is_told_to_whoever_waits(
    store: GcsObjectStore, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    setbacks = Setbacks()
    monkeypatch.setattr(gcs_answers, "SETBACKS", setbacks)
    store.head("none")
    assert setbacks.words() == ""
    gcs.fail("object.get", status=503)
    store.head("none")
    assert "asked again" in setbacks.words()
    assert "Cloud Storage" in setbacks.words()


def test_the_deadline_of_a_call_leaves_room_for_four_in_the_patience(store: GcsObjectStore) -> None:
    own = GcsObjectStore(BUCKET, client=store.client)
    assert own._timeout[1] * 4 <= (own._retry.timeout or 0)


@pytest.mark.parametrize("make", ["missing", "folder", "list", "text"])
def test_a_bad_file_of_credentials_is_named_when_the_store_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    path = tmp_path / "key.json"
    if make == "folder":
        path.mkdir()
    elif make != "missing":
        path.write_text("[]" if make == "list" else "no json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(StoreError, match="correct it, or unset it") as raised:
        GcsObjectStore(BUCKET)
    assert str(path) in raised.value.got


def test_cancelling_a_compose_does_not_wait_for_the_calls_under_way() -> None:
    def cancel(*_: object) -> None:
        raise KeyboardInterrupt

    names = [f"p{number:02}" for number in range(70)]
    with GcsServer() as server:  # its own: calls that are left behind are none of the next test's
        for name in names:
            server.bucket(BUCKET).put(name, DATA, {})
        options = ClientOptions(api_endpoint=server.url)
        client = storage.Client(project=None, credentials=AnonymousCredentials(), client_options=options)
        store = GcsObjectStore(
            BUCKET, client=client, policy=replace(RETRIES["cloud_storage"], call_seconds=2, patience_seconds=2)
        )
        server.fail("object.compose", "stall", times=8, seconds=2)
        before = signal.signal(signal.SIGALRM, cancel)
        began = time.monotonic()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                store.compose("whole", names, only_if=ABSENT)
            assert time.monotonic() - began < 1.5
        finally:
            signal.signal(signal.SIGALRM, before)
        while any(thread.name.startswith("compose") for thread in threading.enumerate()):
            time.sleep(0.05)
        client.close()
