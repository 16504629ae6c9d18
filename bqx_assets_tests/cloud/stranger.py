"""Somebody who follows the recipe: its variables, its files, a key file, and the servers that stand for Google's.

Belongs here: the rig, whole as it is deployed, and how ``bqx doctor`` is called on it. Does not: what is taken away.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bqx_assets.cli.main import app
from bqx_assets_tests.cloud.planted import Planted
from bqx_assets_tests.deploy.recipe import DEPLOY, rendered, variables
from bqx_assets_tests.servers.bigquery.gate import ReadGate
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT as BIGQUERY_PROJECT
from bqx_assets_tests.servers.bigquery.rest_gate import RestGate
from bqx_assets_tests.servers.cloud_run.manifest import job_from_yaml
from bqx_assets_tests.servers.cloud_run.server import PROJECT, REGION, CloudRunServer
from bqx_assets_tests.servers.gcs.bucket import Refused
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.servers.oauth import TokenServer

VARIABLES = variables(
    BQX_PROJECT=PROJECT,
    BQX_REGION=REGION,
    BQX_BIGQUERY_PROJECT=BIGQUERY_PROJECT,
    BQX_OUTPUT=f"gs://{BUCKET}",
    BQX_LOG_BUCKET="bqx-logs",
)
"""What is shipped, with the stranger's own names."""
IMAGE = "us-docker.pkg.dev/p/bqx/bqx:abc"
ACCOUNT = "bqx-run@bqx-ml.iam.gserviceaccount.com"


@dataclass
class Stranger:
    """One stranger before the whole deployment. A test takes one thing away, then calls the doctor."""

    gcs: GcsServer
    rest: RestGate
    reads: ReadGate
    cloud_run: CloudRunServer
    tokens: TokenServer
    warehouse: Path
    """The same tables in a folder."""
    home: Path
    """The folder of ``dagster.yaml``; the key file is beside it."""
    environment: dict[str, str] = field(default_factory=dict)

    def doctor(self, *words: str) -> dict[str, Any]:
        """Call ``bqx doctor --json`` with the stranger's environment, and return its answer."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(app, ["--home", str(self.home / "bqx"), "doctor", *words, "--json"])
        answer = json.loads(result.stdout)
        assert result.exit_code == (0 if answer.get("passed") else answer.get("exit_code", 1)), result.output
        return answer

    def reads_a_folder(self) -> None:
        """Let the stranger read a folder: where BigQuery is not the matter, its seven seconds are spared."""
        self.environment |= {"BQX_BIGQUERY_PROJECT": "", "BQX_WAREHOUSE": str(self.warehouse)}
        self.redeploy(BQX_BIGQUERY_PROJECT="")

    def refuse_storage(self, operation: str, code: int, reason: str, message: str) -> None:
        """Let each call of an operation of Cloud Storage be refused, in the JSON API's form."""

        def refuse() -> None:
            raise Refused(code, reason, message)

        self.gcs.fail(operation, "hook", hook=refuse, times=100)

    def redeploy(self, **changes: str) -> None:
        """Put the jobs in place with other variables."""
        for file in sorted(DEPLOY.glob("job*.yaml")):
            values = (
                VARIABLES | {"BQX_IMAGE": IMAGE, "BQX_EXPECTATIONS": self.environment["BQX_EXPECTATIONS"]} | changes
            )
            name, job = job_from_yaml(rendered(file.name, values))
            self.cloud_run.deploy(job, name)


@contextmanager
def stranger(  # noqa: PLR0913, PLR0917 -- one parameter a server
    folder: Path,
    gcs: GcsServer,
    rest: tuple[RestGate, str],
    reads: tuple[ReadGate, str],
    cloud_run: CloudRunServer,
    postgres_url: str,
    warehouse: Path,
) -> Generator[Stranger]:
    """Follow the recipe: fill in its variables, put its files in place, deploy its jobs."""
    home = folder / "dagster_home"
    home.mkdir()
    document = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    document["run_launcher"]["config"]["emulator_host"] = cloud_run.endpoint
    (home / "dagster.yaml").write_text(yaml.safe_dump(document))
    with TokenServer() as tokens:
        planted = Planted.into(folder, tokens.url)
        made = Stranger(gcs, rest[0], reads[0], cloud_run, tokens, warehouse, home)
        made.environment = VARIABLES | {
            "DAGSTER_HOME": str(home),
            "DAGSTER_POSTGRES_URL": postgres_url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(planted.key_file),
            "STORAGE_EMULATOR_HOST": gcs.url,
            "BIGQUERY_EMULATOR_HOST": rest[1],
            "BQX_BIGQUERY_STORAGE_ENDPOINT": reads[1],
            "BQX_EXPECTATIONS": str(warehouse / "expectations.toml"),
        }
        made.redeploy()
        cloud_run.withheld.clear()
        yield made
