"""Which warehouse a run reads, from its settings.

Belongs here: the choice. Does not: any warehouse's own code.
"""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.artifacts import SIMULATED
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.choose import in_cloud, open_store
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.staged import SHARED
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.expectations_file import EXPECTATIONS_FILE
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import load_folder
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import Warehouse


def connect(settings: Settings) -> tuple[Warehouse, Expectations]:
    """Return the settings' warehouse and its expectations: BigQuery where a project is named, else the embedded one.

    Raises:
        TableMissing: there is no warehouse at the configured place.
        BadSetting: the expectations file, the project or an endpoint is not valid.
        WarehouseError: there are no Google credentials.
    """
    expectations = load_own_expectations(settings)
    if settings.bigquery_project is None:
        return LocalWarehouse(settings.warehouse_dir), expectations
    # Google's clients take two seconds to import, pandas with them: not for every command on an embedded warehouse.
    from bqx_assets.extract.bigquery.bigquery_warehouse import open_bigquery  # noqa: PLC0415

    warehouse = open_bigquery(settings.bigquery_project, settings)
    return _staged(warehouse, settings) if settings.stage_shared else warehouse, expectations


def data_location(settings: Settings) -> str | None:
    """Return where BigQuery keeps the feature tables, such as EU; None for an embedded warehouse.

    **Cost**: one ``datasets.get``; nothing is billed.

    Raises:
        WarehouseError: BigQuery does not tell.
    """
    if settings.bigquery_project is None:
        return None
    from bqx_assets.extract.bigquery.bigquery_warehouse import open_bigquery  # noqa: PLC0415 -- as in connect

    return open_bigquery(settings.bigquery_project, settings).location()


def _staged(warehouse: Warehouse, settings: Settings) -> StagedWarehouse:
    """In the bucket where files are published to one, unless a folder is named: a container's own is memory."""
    if in_cloud(settings) and settings.staging is None:
        return StagedWarehouse(warehouse, open_store(settings), SHARED)
    return StagedWarehouse(warehouse, LocalObjectStore(settings.staging_dir))


def origin_of(settings: Settings) -> str:
    """Return what the settings' warehouse is made of, as manifests state it. Raises CheckpointCorrupt as it is read."""
    if settings.bigquery_project is not None:
        return f"BigQuery project {settings.bigquery_project}"
    folder = load_folder(settings.warehouse_dir)
    if folder is None:
        return "a folder of tables"
    return SIMULATED if folder.made.rates is None else "a rates file"


def load_own_expectations(settings: Settings) -> Expectations:
    """Return the expectations of the settings: the file they name, else the warehouse's own, else the packaged one.

    Needs no warehouse. Raises BadSetting as ``load_expectations`` does.
    """
    return load_expectations(own_expectations_place(settings))


def own_expectations_place(settings: Settings) -> str | Path | None:
    """Return where the settings' expectations are; None: they are the packaged ones."""
    own = settings.warehouse_dir / EXPECTATIONS_FILE
    return settings.expectations or (own if own.is_file() else None)
