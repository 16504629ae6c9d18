"""The context of one pair's extraction, which every step of this package receives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress, waiting
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import PairCatalogue, discover
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Extraction:
    """One pair, one warehouse, one checkpoint folder."""

    pair: Pair
    warehouse: Warehouse
    folder: Path
    """The pair's own folder: ``{checkpoint_dir}/{pair}``."""
    settings: Settings
    expectations: Expectations
    progress: Progress
    kept_in: Slabs | None = None
    """The store of its slabs, if it is not ``folder``."""
    origin: str = ""
    """The origin of the warehouse's numbers, as manifests state it."""

    def slabs(self) -> Slabs:
        """Return the store of the pair's slabs."""
        return self.kept_in or Slabs.in_folder(self.folder)

    def catalogue(self) -> PairCatalogue:
        """Return the pair's catalogue in the warehouse's present state. **Cost**: one batched description, no rows."""
        with waiting(self.progress, "catalogue", lambda: self._waits_for("its tables and columns")):
            described = self.warehouse.describe()
        return discover(
            self.pair,
            described,
            self.expectations,
            include_forward_looking=self.settings.include_forward_looking,
        )

    def snapshot(self) -> datetime:
        """Return the time at which a run sees the tables; progress says what is waited for. Raises WarehouseError."""
        with waiting(self.progress, "catalogue", lambda: self._waits_for("its clock")):
            return self.warehouse.snapshot()

    def _waits_for(self, what: str) -> str:
        return ": ".join(filter(None, (f"{self.warehouse.name} is asked for {what}", self.warehouse.outage.words())))
