"""Which warehouse a run reads, from its settings.

Belongs here: the choice. Does not: any warehouse's own code.
"""

from __future__ import annotations

from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.extract.local.warehouse import LocalWarehouse
from bqx_assets.extract.warehouse import Warehouse


def connect(settings: Settings) -> tuple[Warehouse, Expectations]:
    """Return the embedded warehouse of the settings and its expectations.

    Raises:
        TableMissing: there is no warehouse at the configured place.
        BadSetting: the expectations file is not valid.
    """
    root = settings.warehouse_dir
    own = root / "expectations.toml"
    path = settings.expectations or (own if own.is_file() else None)
    return LocalWarehouse(root), load_expectations(path)
