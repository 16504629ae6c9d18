"""The whole of production on one machine: what ``deploy/`` says, with local servers under it.

Belongs here: the wiring. Does not: assertions. Differences from what is deployed: the emulator's address of Cloud Run
and a queue that is looked at each second in ``dagster.yaml``, addresses of servers and planted credentials in the
environment. Every variable else is of ``deploy/bqx.env``, the jobs' files and the Dockerfile.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import DATASETS, table_paths
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.cloud.dagster_servers import GraphQL, Machine, dagster_servers
from bqx_assets_tests.cloud.planted import Planted
from bqx_assets_tests.deploy.recipe import DEPLOY, rendered, variables
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT as BIGQUERY_PROJECT
from bqx_assets_tests.servers.cloud_run.manifest import job_from_yaml
from bqx_assets_tests.servers.cloud_run.server import PROJECT, REGION, CloudRunServer
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.postgres.server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
LOG_BUCKET = "bqx-logs"
EXPECTATIONS = "expectations/expectations.toml"
"""Where the approved ones lie, in the output bucket."""
_VARIABLES = variables(
    BQX_PROJECT=PROJECT,
    BQX_REGION=REGION,
    BQX_BIGQUERY_PROJECT=BIGQUERY_PROJECT,
    BQX_OUTPUT=f"gs://{BUCKET}",
    BQX_LOG_BUCKET=LOG_BUCKET,
    BQX_EXPECTATIONS=f"gs://{BUCKET}/{EXPECTATIONS}",
)
"""What is shipped, filled in as an operator does: a project, a region, two buckets, the expectations approved."""
_MACHINE = ("PATH", "HOME", "LANG", "TMPDIR")
"""Of this process's environment, what finds programs: systemd and compose pass no more of a machine's either."""


def tables_of(warehouse: Path) -> dict[tuple[str, str], pl.DataFrame]:
    """Return an embedded warehouse's tables as frames, whole."""
    return {
        (dataset, path.stem): pl.read_parquet(path) for dataset in DATASETS for path in table_paths(warehouse, dataset)
    }


def oracle(warehouse: Path, folder: Path, pair: str = "eurusd") -> pl.DataFrame:
    """Return the pair's training file made locally by chained joins: no store, no splice, no BigQuery."""
    settings = Settings(home=folder, warehouse=warehouse)
    chosen = parse_pair(pair)
    own, expectations = LocalWarehouse(warehouse), Pipeline(settings).expectations(chosen)
    extract_pair(Extraction(chosen, own, Slabs.in_folder(folder / "slabs"), settings, expectations, Silent()))
    merge(
        plan_merge(chosen, working_folder(folder / "slabs"), settings),
        *StoredFile.at(folder / "oracle.parquet"),
        engine="join",
        progress=Silent(),
    )
    return pl.read_parquet(folder / "oracle.parquet")


@dataclass(frozen=True)
class Production:
    """What is running."""

    cloud_run: CloudRunServer
    graphql: GraphQL
    machine: Machine
    home: Path
    """Dagster's."""
    planted: Planted

    @contextmanager
    def instance(self) -> Generator[dg.DagsterInstance]:
        """Open the instance as its servers do."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (_VARIABLES | self.planted.environment()).items():
                patch.setenv(name, value)
            with dg.DagsterInstance.from_config(str(self.home)) as instance:
                yield instance


@contextmanager
def production(
    folder: Path, cloud_run: CloudRunServer, postgres: PostgresServer, endpoints: dict[str, str]
) -> Generator[Production]:
    """Deploy the jobs, and run Dagster's servers on the instance as it is deployed.

    The URL of Postgres is of the documented form: no driver is named, and a Unix socket stands where Cloud SQL's would.
    """
    home = folder / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(_instance(cloud_run)))
    url = postgres.socket_url(postgres.create("dagster"))
    planted = Planted.into(folder, "http://127.0.0.1:1/token", (url, postgres.password))
    cloud_run.secrets[_VARIABLES["BQX_SECRET"]] = url
    environment = {"DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT), **endpoints, **planted.environment()}
    # A container has the URL of Postgres from the secret alone, by its job's own line.
    cloud_run.image_env |= {name: value for name, value in environment.items() if name != "DAGSTER_POSTGRES_URL"}
    for file in sorted(DEPLOY.glob("job*.yaml")):
        name, job = job_from_yaml(rendered(file.name, _VARIABLES | {"BQX_IMAGE": "bqx"}))
        cloud_run.deploy(job, name)
    found = {name: value for name, value in os.environ.items() if name in _MACHINE}
    with dagster_servers(home, found | _VARIABLES | environment) as (graphql, machine):
        yield Production(cloud_run, graphql, machine, home, planted)


def _instance(cloud_run: CloudRunServer) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    document["run_launcher"]["config"]["emulator_host"] = cloud_run.endpoint
    document["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1  # of Dagster's own 5, in which a test waits
    return document
