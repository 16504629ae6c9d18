"""A stranger follows the recipe and lacks one thing: ``bqx doctor`` names that thing, and only it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psycopg2
import pytest

from bqx_assets.base.store.protocol import STAGING
from bqx_assets_tests.cloud.stranger import ACCOUNT, VARIABLES, Stranger, stranger
from bqx_assets_tests.deploy.fake_programs import Player
from bqx_assets_tests.servers.bigquery.gate import ReadGate
from bqx_assets_tests.servers.bigquery.local_bigquery import LocalBigQuery
from bqx_assets_tests.servers.bigquery.rest import Refusal
from bqx_assets_tests.servers.bigquery.rest_gate import RestGate, rest_gated
from bqx_assets_tests.servers.cloud_run.faults import Fault
from bqx_assets_tests.servers.cloud_run.server import PARENT, CloudRunServer
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.servers.postgres.server import PostgresServer

Lack = Callable[[Stranger], object]
MEMBER = f"serviceAccount:{ACCOUNT}"
FEATURES = "bqx_ml_v3_features_v2"
DENIED = grpc.StatusCode.PERMISSION_DENIED
OBJECT_USER = f"buckets add-iam-policy-binding gs://{BUCKET} --member {MEMBER} --role roles/storage.objectUser"
FAR = "http://127.0.0.1:1"
"""Where nobody listens."""


@pytest.fixture(scope="module")
def rest(bigquery: LocalBigQuery) -> Iterator[tuple[RestGate, str]]:
    gate = RestGate()
    with rest_gated(gate, bigquery.rest_url) as url:
        yield gate, url


@pytest.fixture(scope="module")
def cloud_run() -> Iterator[CloudRunServer]:
    with CloudRunServer() as server:
        yield server


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> str:
    return postgres.socket_url(postgres.create("stranger"))


@pytest.fixture
def somebody(  # noqa: PLR0913, PLR0917 -- one parameter a server
    gcs: GcsServer,
    rest: tuple[RestGate, str],
    session_gate: tuple[ReadGate, str],
    cloud_run: CloudRunServer,
    database: str,
    warehouse: Path,
    tmp_path: Path,
) -> Iterator[Stranger]:
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS alembic_version")
    rest[0].reset()
    session_gate[0].reset()
    with stranger(tmp_path, gcs, rest, session_gate, cloud_run, database, warehouse) as made:
        yield made


def _sets(**variables: str) -> Lack:
    return lambda one: one.environment.update(variables)


def _rest(words: str, code: int, reason: str, message: str, service: str = "") -> Lack:
    """BigQuery refuses each call that holds ``words``; ``service``: its API is off."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
    }
    metadata = {"service": service, "consumer": "projects/123"}
    details = [info | {"metadata": metadata}] if service else []
    status = "PERMISSION_DENIED" if code == 403 else ""
    return lambda one: one.rest.refused.append((words, Refusal(code, reason, message, status, details)))


def _reads(call: str, words: str, message: str) -> Lack:
    return lambda one: one.reads.refused.update({(call, words): (DENIED, message)})


def _storage(operation: str, code: int, reason: str, message: str) -> Lack:
    return lambda one: one.refuse_storage(operation, code, reason, message)


def _bucket(**settings: object) -> Lack:
    return lambda one: one.gcs.buckets[BUCKET].settings.update(settings)


def _file(name: str, text: str) -> Lack:
    return lambda one: (one.home.parent / name).write_text(text)


def _job(name: str = "bqx-pair", **limits: str) -> Lack:
    def resize(one: Stranger) -> None:
        one.cloud_run.jobs[f"{PARENT}/jobs/{name}"].template.template.containers[0].resources.limits.update(limits)

    return resize


def _redeployed(**variables: str) -> Lack:
    return lambda one: one.redeploy(BQX_BIGQUERY_PROJECT="", **variables)


def _of_another_schema(one: Stranger) -> None:
    url = one.environment["DAGSTER_POSTGRES_URL"]
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32)); DELETE FROM alembic_version"
        )
        cursor.execute("INSERT INTO alembic_version VALUES ('567bc23fd1ac')")


def _postgres(old: str, new: str) -> Lack:
    def change(one: Stranger) -> None:
        one.environment["DAGSTER_POSTGRES_URL"] = one.environment["DAGSTER_POSTGRES_URL"].replace(old, new)

    return change


def _expects_one_table_more(one: Stranger) -> None:
    """Approved expectations that still count on a table which is gone."""
    text = (one.warehouse / "expectations.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("csi_reg_aud ", "csi_reg_aud="))]
    assert len(lines) == len(text.splitlines()) - 1
    file = one.home / "approved.toml"
    file.write_text("\n".join(lines))
    one.environment["BQX_EXPECTATIONS"] = str(file)


NOT_USED = (
    "API has not been used in project 123 before or it is disabled. Enable it by visiting https://console.google.com"
)
BIGQUERY_LACKS: dict[str, tuple[Lack, str, str]] = {
    "the API of BigQuery": (
        _rest("/jobs", 403, "accessNotConfigured", f"BigQuery {NOT_USED}", "bigquery.googleapis.com"),
        "bigquery, BigQuery API",
        "gcloud services enable bigquery.googleapis.com --project",
    ),
    "billing": (
        _rest("/jobs", 403, "billingNotEnabled", "Billing has not been enabled for this project."),
        "bigquery, BigQuery API",
        "gcloud billing projects link bqx-ml",
    ),
    "the right to run queries": (
        _rest(
            "/jobs",
            403,
            "accessDenied",
            "Access Denied: Project bqx-ml: User does not have bigquery.jobs.create permission in project bqx-ml.",
        ),
        "bigquery, queries: bigquery.jobs.create",
        f"gcloud projects add-iam-policy-binding bqx-ml --member {MEMBER} --role roles/bigquery.jobUser",
    ),
    "the dataset": (
        _rest(f"/datasets/{FEATURES}", 404, "notFound", f"Not found: Dataset bqx-ml:{FEATURES}"),
        "bigquery, place of the data",
        "bq",
    ),
    "the right to the list of tables": (
        _rest(
            f"{FEATURES}.__TABLES__",
            403,
            "accessDenied",
            f"Access Denied: Table bqx-ml:{FEATURES}.__TABLES__: Permission bigquery.tables.getData denied on table "
            f"bqx-ml:{FEATURES}.__TABLES__ (or it may not exist).",
        ),
        f"bigquery, dry query: {FEATURES}: bigquery.tables.getData",
        "roles/bigquery.dataViewer",
    ),
    "the API of reading": (
        _reads("CreateReadSession", "", f"BigQuery Storage {NOT_USED}"),
        "bigquery, BigQuery Storage API",
        "gcloud services enable bigquerystorage.googleapis.com",
    ),
    "the right to read sessions": (
        _reads(
            "CreateReadSession",
            "",
            "request failed: the user does not have 'bigquery.readsessions.create' permission for 'projects/bqx-ml'",
        ),
        "bigquery, read sessions: bigquery.readsessions.create",
        f"gcloud projects add-iam-policy-binding bqx-ml --member {MEMBER} --role roles/bigquery.readSessionUser",
    ),
    "the right to a session's rows": (
        _reads(
            "ReadRows",
            "",
            "there was an error operating on 'projects/bqx-ml/locations/us/sessions/S/streams/T': the user does not"
            " have 'bigquery.readsessions.getData' permission",
        ),
        "bigquery, row: targets: bigquery.readsessions.getData",
        "roles/bigquery.readSessionUser",
    ),
    "the right to one table": (
        _reads(
            "CreateReadSession",
            "/mkt_",
            f"request failed: Access Denied: Table bqx-ml:{FEATURES}.mkt_corr: Permission bigquery.tables.getData"
            f" denied on table bqx-ml:{FEATURES}.mkt_corr (or it may not exist).",
        ),
        "bigquery, row: market_wide: bigquery.tables.getData",
        f"bqx-ml:{FEATURES}.mkt_corr",
    ),
    "the right to a column with a policy tag": (
        _reads(
            "CreateReadSession",
            "/var_",
            "request failed: Access Denied: BigQuery BigQuery: User does not have permission to access policy tag"
            f" projects/bqx-ml/locations/us/taxonomies/1/policyTags/2 on column"
            f" bqx-ml.{FEATURES}.var_agg_bqx_aud.agg_cv",
        ),
        "bigquery, row: variance: datacatalog.categories.fineGrainedGet",
        "roles/datacatalog.categoryFineGrainedReader",
    ),
    "the right to the past of a table with row policies": (
        _reads(
            "CreateReadSession",
            "/tri_",
            "request failed: Access Denied: BigQuery BigQuery: Time travel on table"
            f" bqx-ml:{FEATURES}.tri_agg_bqx_aud_usd_cad is forbidden as it has (or has had) row access policies.",
        ),
        "bigquery, row: triangulation: bigquery.rowAccessPolicies.overrideTimeTravelRestrictions",
        "overrideTimeTravelRestrictions",
    ),
    "a table": (_expects_one_table_more, "tables, tables of the pair", "known_absent"),
    "bytes in the budget": (_sets(BQX_MAX_BYTES="1000"), "pair, reads", "BQX_MAX_BYTES"),
    "a way to BigQuery Storage": (
        _sets(BQX_BIGQUERY_STORAGE_ENDPOINT=FAR),
        "network, reach: BigQuery Storage",
        "firewall",
    ),
}
"""What is missing; the line that must say so, with the permission; words of its cure."""


OTHER_LACKS: dict[str, tuple[Lack, str, str]] = {
    "a letter of a variable": (_sets(BQX_KEEP_VERSION="5"), "settings, misspelt settings", "BQX_KEEP_VERSIONS"),
    "the expectations": (_sets(BQX_EXPECTATIONS="approved.toml"), "tables, expectations", "file"),
    "the right time": (lambda one: setattr(one.gcs, "clock_ahead_seconds", 600), "network, clock", "timedatectl"),
    "a way to Cloud Storage": (_sets(STORAGE_EMULATOR_HOST=FAR), "network, reach: Cloud Storage", "firewall"),
    "the key file": (
        _sets(GOOGLE_APPLICATION_CREDENTIALS="no/key.json"),
        "credentials, credentials",
        "GOOGLE_APPLICATION_CREDENTIALS names no/key.json",
    ),
    "a whole key file": (_file("key.json", "[]"), "credentials, credentials", "key.json"),
    "a key that is still good": (
        lambda one: setattr(one.tokens, "refused", ("invalid_grant", "Invalid JWT Signature.")),
        "credentials, token",
        "account",
    ),
    "the API of Cloud Storage": (
        _storage("object.list", 403, "accessNotConfigured", f"Cloud Storage {NOT_USED}"),
        "output, Cloud Storage API",
        "gcloud services enable storage.googleapis.com",
    ),
    "the bucket": (
        lambda one: one.gcs.buckets.clear(),
        "output, bucket",
        f"gcloud storage buckets create gs://{BUCKET}",
    ),
    "the right to list objects": (
        _storage(
            "object.list",
            403,
            "forbidden",
            f"{ACCOUNT} does not have storage.objects.list access to the Google Cloud Storage bucket. Permission"
            " 'storage.objects.list' denied on resource (or it may not exist).",
        ),
        "output, bucket: storage.objects.list",
        OBJECT_USER,
    ),
    "the right to write objects": (
        _storage(
            "object.insert",
            403,
            "forbidden",
            f"{ACCOUNT} does not have storage.objects.create access to the Google Cloud Storage object. Permission"
            " 'storage.objects.create' denied on resource (or it may not exist).",
        ),
        "output, write, compose, delete: storage.objects.create",
        OBJECT_USER,
    ),
    "the right to delete objects": (
        _storage(
            "object.delete",
            403,
            "forbidden",
            f"{ACCOUNT} does not have storage.objects.delete access to the Google Cloud Storage object. Permission"
            " 'storage.objects.delete' denied on resource (or it may not exist).",
        ),
        "output, write, compose, delete: storage.objects.delete",
        "roles/storage.objectUser",
    ),
    "a bucket that lets go": (
        _bucket(retentionPolicy={"retentionPeriod": "2592000"}),
        "output, retention",
        f"gcloud storage buckets update gs://{BUCKET} --clear-retention-period",
    ),
    "a bucket without holds": (
        _bucket(defaultEventBasedHold=True),
        "output, holds",
        "--no-default-event-based-hold",
    ),
    "somebody who pays": (
        _storage("object.list", 400, "required", "Bucket is a requester pays bucket but no user project provided."),
        "output, bucket",
        "--no-requester-pays",
    ),
    "a lifecycle that spares what is published": (
        _bucket(lifecycle={"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]}),
        "output, lifecycle",
        "matchesPrefix",
    ),
    "dagster.yaml": (
        lambda one: (one.home / "dagster.yaml").unlink(),
        "dagster, dagster.yaml",
        "deploy/dagster.yaml",
    ),
    "a variable of dagster.yaml": (
        lambda one: one.environment.pop("BQX_LOG_BUCKET"),
        "dagster, dagster.yaml",
        "Set BQX_LOG_BUCKET",
    ),
    "the driver of Postgres": (_postgres("postgresql://", "postgresql+psycopg://"), "dagster, driver", "psycopg2"),
    "the server of Postgres": (_postgres("port=", "port=1"), "dagster, postgres", "Start the server"),
    "the password of Postgres": (_postgres("postgresql://bqx:", "postgresql://bqx:x"), "dagster, postgres", "password"),
    "the database of Postgres": (_postgres("/stranger?", "/nobody?"), "dagster, postgres", "databases create nobody"),
    "a job": (
        lambda one: one.cloud_run.jobs.pop(f"{PARENT}/jobs/bqx-pair-large"),
        "cloud run, jobs",
        "gcloud run jobs list --project test-project",
    ),
    "the right to see jobs": (
        lambda one: one.cloud_run.inject(
            "GetJob",
            *[
                Fault(
                    DENIED,
                    f"Permission 'run.jobs.get' denied on resource '{PARENT}/jobs/bqx-pair' (or it may not exist).",
                )
            ]
            * 2,
        ),
        "cloud run, jobs: run.jobs.get",
        "roles/run.viewer",
    ),
    "the right to launch with overrides": (
        lambda one: one.cloud_run.withheld.add("run.jobs.runWithOverrides"),
        "cloud run, may launch: run.jobs.runWithOverrides",
        f"gcloud run jobs add-iam-policy-binding bqx-pair --region us-central1 --member {MEMBER}"
        " --role roles/run.jobsExecutorWithOverrides",
    ),
    "a size of Cloud Run's": (_job(memory="12Gi"), "cloud run, size", "--memory"),
    "a range": (_redeployed(BQX_LAST="", BQX_PERIOD="none"), "cloud run, range", "BQX_PERIOD=quarter"),
    "a budget": (_redeployed(BQX_MAX_BYTES="0"), "cloud run, budget", "BQX_MAX_BYTES"),
    "the schema of this Dagster": (_of_another_schema, "dagster, schema", "dagster instance migrate"),
}


def _named(answer: dict[str, Any]) -> list[str]:
    """What is said to be missing: theme and name, with the permission where there is one."""
    lines = [line for line in answer["lines"] if line["state"] == "missing"]
    return [f"{line['theme']}, {line['name']}" + f": {line['permission']}" * bool(line["permission"]) for line in lines]


def _only(answer: dict[str, Any], expected: str, cure: str) -> None:
    """The one thing is named, its cure is right, no secret is said, and the rest passed or waits for it."""
    assert _named(answer) == [expected], [line for line in answer["lines"] if line["state"] == "missing"]
    (line,) = (each for each in answer["lines"] if each["state"] == "missing")
    assert cure in line["cure"], line
    waiting = [each["found"] for each in answer["lines"] if each["state"] == "skipped" and "fix" in each["found"]]
    assert all(each == f"not looked at: fix {line['name']!r} first" for each in waiting), waiting


def test_whoever_follows_the_recipe_lacks_nothing_and_leaves_nothing(somebody: Stranger) -> None:
    answer = somebody.doctor()
    assert answer["passed"], _named(answer)
    assert [line["name"] for line in answer["lines"] if line["state"] == "skipped"] == []
    assert not somebody.gcs.buckets[BUCKET].live
    written = [name for operation, name in somebody.gcs.log.calls if operation in {"object.insert", "object.compose"}]
    assert written
    assert all(name.startswith(STAGING) for name in written)


ON_THE_MACHINE = ("--only", "dagster", "--only", "cloud run")
"""As ``deploy/up.sh doctor`` calls it in the container of the code server."""


def test_on_the_machine_postgres_the_jobs_and_the_right_to_start_them_are_looked_at(
    somebody: Stranger, tmp_path: Path
) -> None:
    """By the variables that the recipe gives to the machine; what the image and the secret add is the stranger's."""
    given = Player(tmp_path).up("machine", changed=VARIABLES | {"BQX_IMAGE_TAG": "abc"}).machine
    of_recipe = dict(line.split("=", 1) for line in given.splitlines())
    own = {name: value for name, value in somebody.environment.items() if name not in VARIABLES}
    # The expectations of the test's tables lie in a folder, which no variable of a deployment names.
    somebody.environment = of_recipe | own | {"BQX_EXPECTATIONS": somebody.environment["BQX_EXPECTATIONS"]}
    answer = somebody.doctor(*ON_THE_MACHINE)
    assert answer["passed"], _named(answer)
    states = {(line["theme"], line["name"]): line["state"] for line in answer["lines"]}
    assert {theme for theme, _ in states} == {"dagster", "cloud run"}
    assert not [name for name, state in states.items() if state == "skipped"]
    assert states["cloud run", "image"] == states["cloud run", "environment"] == "passed"


@pytest.mark.parametrize(
    ("lack", "expected"),
    [
        ("a job", "cloud run, jobs"),
        ("the right to launch with overrides", "cloud run, may launch: run.jobs.runWithOverrides"),
        ("the server of Postgres", "dagster, postgres"),
        ("a key that is still good", "credentials, token"),
    ],
)
def test_a_lack_of_the_machines_or_one_that_hides_it_fails_the_look_on_the_machine(
    somebody: Stranger, lack: str, expected: str
) -> None:
    somebody.reads_a_folder()
    OTHER_LACKS[lack][0](somebody)
    assert _named(somebody.doctor(*ON_THE_MACHINE)) == [expected]


@pytest.mark.parametrize("lack", BIGQUERY_LACKS)
def test_a_lack_of_bigquerys_is_named_and_only_it(somebody: Stranger, lack: str) -> None:
    take_away, expected, cure = BIGQUERY_LACKS[lack]
    take_away(somebody)
    _only(somebody.doctor(), expected, cure)


@pytest.mark.parametrize("lack", OTHER_LACKS)
def test_a_lack_of_any_other_service_or_of_the_machine_is_named_and_only_it(somebody: Stranger, lack: str) -> None:
    take_away, expected, cure = OTHER_LACKS[lack]
    somebody.reads_a_folder()
    take_away(somebody)
    _only(somebody.doctor(), expected, cure)
