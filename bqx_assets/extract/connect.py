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
    return LocalWarehouse(settings.warehouse_dir), load_own_expectations(settings)


def load_own_expectations(settings: Settings) -> Expectations:
    """Return the expectations of the settings: the file they name, else the warehouse's own, else the packaged one.

    Needs no warehouse. Raises BadSetting as ``load_expectations`` does.
    """
    own = settings.warehouse_dir / "expectations.toml"
    return load_expectations(settings.expectations or (own if own.is_file() else None))
