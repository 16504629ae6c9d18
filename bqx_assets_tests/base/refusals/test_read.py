from __future__ import annotations

import pytest
from google.api_core.exceptions import GoogleAPICallError, PermissionDenied, RetryError, ServiceUnavailable
from google.auth.exceptions import RefreshError

from bqx_assets.base.errors import StoreError
from bqx_assets.base.refusals.read import Refusal, read_refusal
from bqx_assets.base.refusals.table import Service
from bqx_assets_tests.base.refusals.answers import detail, grpc, info, media, rest
from bqx_assets_tests.base.refusals.wordings import CREDENTIALS, WORDINGS

SA = "bqx@p.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("service", "error", "reason"), WORDINGS, ids=[f"{reason}-{at}" for at, (_, _, reason) in enumerate(WORDINGS)]
)
def test_each_wording_of_the_services_is_read_as_its_reason(service: Service, error: Exception, reason: str) -> None:
    refusal = read_refusal(error, service)
    assert refusal.reason == reason, refusal
    for text in (refusal.sentence, refusal.cure):
        assert text
        assert "{" not in text
    assert "ABCsecretXYZ" not in str(refusal)


@pytest.mark.parametrize(("service", "error", "reason"), CREDENTIALS)
def test_failed_credentials_stop_everything_and_only_a_server_or_network_may_come_back(
    service: Service, error: Exception, reason: str
) -> None:
    refusal = read_refusal(error, service)
    assert refusal.everywhere
    assert refusal.again == ("later" if reason in {"network", "metadata_server", "token_server"} else "never")


def read(words: str, service: Service = "bigquery") -> Refusal:
    return read_refusal(PermissionDenied(words), service)


@pytest.mark.parametrize(
    ("words", "permission", "resource"),
    [
        ("Permission 'run.jobs.run' denied on resource 'projects/p/x' (or it may not exist).", "run.jobs.run", "projects/p/x"),
        ('Permission "run.jobs.run" denied on resource "projects/p/x"', "run.jobs.run", "projects/p/x"),
        ("Permission `run.jobs.run` denied on resource `projects/p/x`.", "run.jobs.run", "projects/p/x"),
        ("Permission bigquery.tables.getData denied on table p-1:d.t (or it may not exist).", "bigquery.tables.getData", "p-1:d.t"),
        ("User does not have bigquery.jobs.create permission in project p-1.", "bigquery.jobs.create", "p-1"),
        (f"{SA} does not have storage.objects.get access to the Google Cloud Storage object.", "storage.objects.get", None),
        ("the user does not have 'bigquery.readsessions.create' permission for 'projects/p-1'", "bigquery.readsessions.create", "projects/p-1"),
        ("Denied.\nMissing permission: bigquery.tables.get on resource: p-1:d.t\nSee https://x", "bigquery.tables.get", "p-1:d.t"),
        ("Required permission storage.objects.list is missing for gs://b", "storage.objects.list", None),
        ("The caller lacks the 'run.executions.list' permission", "run.executions.list", None),
        ("Permission iam.serviceaccounts.actAs denied on service account x@p.iam.gserviceaccount.com", "iam.serviceAccounts.actAs", "x@p.iam.gserviceaccount.com"),
    ],
)  # fmt: skip
def test_a_missing_permission_is_found_in_any_shape_and_quotes(
    words: str, permission: str, resource: str | None
) -> None:
    refusal = read(words)
    assert (refusal.reason, refusal.permission, refusal.resource) == ("permission", permission, resource)
    assert permission in refusal.sentence


def test_a_permission_in_the_details_counts_before_the_words() -> None:
    found = info("IAM_PERMISSION_DENIED", "iam.googleapis.com", permission="run.jobs.get", resource="projects/p/jobs/j")
    refusal = read_refusal(rest(403, "Permission denied.", "forbidden", found), "cloud_run")
    assert (refusal.reason, refusal.permission, refusal.resource) == ("permission", "run.jobs.get", "projects/p/jobs/j")


@pytest.mark.parametrize(
    "words", [f"Access denied for {SA}", "See console.cloud.google.com for permission", "no access: a.b.com denied"]
)
def test_no_address_or_host_is_taken_for_a_permission(words: str) -> None:
    refusal = read(words)
    assert (refusal.reason, refusal.permission) == ("permission_unnamed", None)


def test_the_cure_is_the_command_with_account_role_and_resource() -> None:
    words = f"{SA} does not have storage.objects.create access to the Google Cloud Storage object."
    refusal = read_refusal(media(403, words, "forbidden"), "cloud_storage", bucket="bqx-ml-output", object="a/b")
    assert f"gs://bqx-ml-output --member serviceAccount:{SA} --role roles/storage.objectUser" in refusal.cure
    assert refusal.resource == "gs://bqx-ml-output/a/b"
    refusal = read("Permission bigquery.tables.getData denied on table bqx-ml:d.t (or it may not exist).")
    assert "--role=roles/bigquery.dataViewer bqx-ml:d.t" in refusal.cure
    assert "or it does not exist" in refusal.sentence
    words = (
        "User does not have permission to query table p-1:d.INFORMATION_SCHEMA.COLUMNS, or perhaps it does not exist"
    )
    refusal = read_refusal(rest(403, words, "accessDenied"), "bigquery")
    assert refusal.resource == "p-1:d"
    assert "GRANT `roles/bigquery.dataViewer` ON SCHEMA `p-1.d` TO" in refusal.cure


def test_what_the_answer_names_counts_before_what_the_caller_asked_for() -> None:
    words = "Access Denied: Project pays-1: User does not have bigquery.jobs.create permission in project pays-1."
    refusal = read_refusal(rest(403, words, "accessDenied"), "bigquery", table="data-1:d.t")
    assert "projects add-iam-policy-binding pays-1" in refusal.cure
    refusal = read_refusal(
        rest(403, "Permission bigquery.tables.getData denied", "accessDenied"), "bigquery", table="data-1.d.t"
    )
    assert (refusal.resource, "dataViewer data-1.d.t" in refusal.cure) == ("data-1.d.t", True)
    filtered = "Cannot query over table 'a-1.d.other' without a filter over column(s) 'c'"
    refusal = read_refusal(rest(400, filtered, "invalidQuery"), "bigquery", table="data-1.d.t")
    assert "ALTER TABLE `a-1.d.other`" in refusal.cure


def test_a_full_stop_of_the_services_is_no_part_of_a_name() -> None:
    words = "Caller does not have required permission to use project other-p. Grant the caller the role"
    refusal = read_refusal(rest(403, words, "forbidden", info("USER_PROJECT_DENIED")), "bigquery")
    assert "projects add-iam-policy-binding other-p --member" in refusal.cure


def test_a_permission_on_the_project_stops_everything_and_one_on_a_table_does_not() -> None:
    assert read("User does not have bigquery.jobs.create permission in project p-1.").everywhere
    assert not read("Permission bigquery.tables.getData denied on table p-1:d.t").everywhere


def test_what_matters_is_shown_however_far_behind_it_stands() -> None:
    long = "because of " + "very " * 400
    refusal = read(f"{long} the user does not have 'bigquery.readsessions.create' permission for 'projects/p-1' {long}")
    assert "bigquery.readsessions.create' permission for 'projects/p-1'" in refusal.said
    assert len(refusal.said) < len(long) * 1.2
    assert len(read_refusal(ServiceUnavailable(long * 3), "bigquery").said) < 600


@pytest.mark.parametrize(
    "secret",
    [
        "ya29.a0AfB_by-x", "Bearer abc.def", "eyJhbGciOi.eyJpc3Mi.c2ln", "https://x/upload/storage/v1/b/o?upload_id=Qq1",
        '{"refresh_token": "1//0gSecretSecret"}', "https://user:pw@proxy:3128", "client_secret=GOCSPX-abc", "upload_id=Zz9",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "https://x/o?X-Goog-Signature=00ff", "jane@example.com",
        "https://x/resumable%3Fupload_id%3DQq1", r"upload_id\u003dQq1", "upload_id&#61;Qq1", "Authorization: Basic Qq1",
        "Bearer tokenQq1", "password='abc Qq1'", '"password": "abc Qq1"', "key=AIzaSyQq1Qq1Qq1Qq1Qq1Qq1Qq1",
    ],
)  # fmt: skip
def test_no_secret_and_no_persons_address_is_shown(secret: str) -> None:
    refusal = read(f"refused: {secret} and more")
    for part in ("a0AfB", "abc.def", "eyJpc3Mi", "Qq1", "gSecret", "pw@", "GOCSPX", "Zz9", "MIIE", "00ff", "jane@"):
        assert part not in str(refusal)
    assert refusal.said.endswith("and more")


def test_the_account_that_was_refused_is_shown_for_it_is_what_gets_the_role() -> None:
    refusal = read("jane@example.com does not have storage.objects.get access to the object. Ask joe@example.com")
    assert "user:jane@example.com" in refusal.cure
    assert "joe" not in str(refusal)


def test_the_wait_that_the_service_asks_for_is_told() -> None:
    asked = detail("RetryInfo", retryDelay="3.5s")
    assert read_refusal(rest(429, "slow", "rateLimitExceeded", asked), "bigquery").wait_seconds == 3.5
    assert read_refusal(rest(429, "slow", "rateLimitExceeded"), "bigquery").wait_seconds == 0


def page(code: int, title: str) -> Exception:
    """Return the error of a call that a proxy answered with a page for people."""
    return media(
        code, f"<!DOCTYPE html><HTML><head><title>{title}</title></head><body>Your request was denied</body></HTML>"
    )


@pytest.mark.parametrize("service", ["bigquery", "cloud_storage", "cloud_run"])
def test_a_page_of_a_proxy_is_no_refusal_of_googles(service: Service) -> None:
    refusal = read_refusal(page(403, "Access Denied (policy_denied)"), service)
    assert (refusal.reason, refusal.everywhere, refusal.permission) == ("not_google", True, None)
    assert "HTTPS_PROXY" in refusal.cure
    assert "policy_denied" in refusal.said
    assert read_refusal(page(502, "Bad Gateway"), service).again == "later"
    assert (
        read_refusal(grpc("PERMISSION_DENIED", "Received http2 header with status: 403"), service).reason
        == "not_google"
    )


@pytest.mark.parametrize(
    "error",
    [
        RefreshError("internal_failure: Backend Error", {"error": "internal_failure"}),
        RefreshError("Unable to acquire impersonated credentials", '{"error": {"code": 503, "message": "busy"}}'),
        RefreshError("<html><title>502 Bad Gateway</title></html>"),
        grpc(
            "UNAVAILABLE",
            "Getting metadata from plugin failed with error: ('server_error: x', {'error': 'server_error'})",
        ),
    ],
)
def test_a_token_service_that_fails_for_the_moment_may_come_back(error: Exception) -> None:
    refusal = read_refusal(error, "bigquery")
    assert (refusal.reason, refusal.again) == ("token_server", "later")


@pytest.mark.parametrize(
    ("service", "words", "reason"),
    [
        ("bigquery", "Not found: Table bqx-ml:d.key_disabled was not found in location US", "table_missing"),
        ("cloud_storage", "No such object: b/keys/the key is disabled.json", "object_missing"),
        ("cloud_storage", "No such object: b/bucket of things not found", "object_missing"),
    ],
)
def test_the_name_of_what_is_missing_is_not_read_as_the_reason(service: Service, words: str, reason: str) -> None:
    assert read_refusal(rest(404, words, "notFound"), service).reason == reason


@pytest.mark.parametrize("table", ["example.com:p-1.d.t", "example.com:p-1:d.t"])
def test_a_project_with_a_domain_keeps_its_colon_in_sql(table: str) -> None:
    refusal = read_refusal(rest(400, f"Cannot query over table '{table}' without a filter", "invalidQuery"), "bigquery")
    assert "ALTER TABLE `example.com:p-1.d.t` SET" in refusal.cure


def test_details_of_another_domain_are_not_googles() -> None:
    refusal = read_refusal(rest(403, "no", "forbidden", info("SERVICE_DISABLED", "example.com")), "bigquery")
    assert refusal.reason == "permission_unnamed"


def test_an_unknown_refusal_is_called_unknown_with_its_code_and_words() -> None:
    refusal = read_refusal(rest(418, "the teapot says no", "teapot"), "bigquery")
    assert (refusal.reason, refusal.said, refusal.again) == ("unknown", "the teapot says no", "never")
    empty = read_refusal(GoogleAPICallError(""), "cloud_run")
    assert empty.reason == "unknown"
    assert empty.said == "GoogleAPICallError"
    assert read_refusal(media(503, ""), "cloud_storage").reason == "server"


def test_the_refusal_is_found_within_what_wraps_it() -> None:
    inner = grpc("PERMISSION_DENIED", "Permission 'run.jobs.run' denied on resource 'projects/p/x'")
    outer = StoreError("x", got="a", expected="b", cure="c")
    outer.__cause__ = RetryError("Timeout of 1s exceeded", cause=inner)
    assert read_refusal(outer, "cloud_run").permission == "run.jobs.run"


def test_a_text_alone_is_read_as_well() -> None:
    assert read_refusal(RuntimeError("Image 'x/y:1' not found."), "cloud_run").reason == "image_missing"
    denied = 'denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource "projects/p/r"'
    assert (
        read_refusal(RuntimeError(denied), "artifact_registry").permission
        == "artifactregistry.repositories.downloadArtifacts"
    )
