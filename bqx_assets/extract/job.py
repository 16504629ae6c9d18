"""The context of one pair's extraction, which every step of this package receives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress, waiting
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import PairCatalogue, discover
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Extraction:
    """One pair, the warehouse that it is read from, and the slabs that it is written to."""

    pair: Pair
    warehouse: Warehouse
    slabs: Slabs
    settings: Settings
    expectations: Expectations
    progress: Progress
    origin: str = ""
    """The origin of the warehouse's numbers, as manifests state it."""

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
