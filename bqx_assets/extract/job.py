"""What one pair's extraction works on.

Belongs here: the bundle handed through this package. Does not: any step.
"""

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
    """The pair's own: ``{checkpoint_dir}/{pair}``."""
    settings: Settings
    expectations: Expectations
    progress: Progress
    kept_in: Slabs | None = None
    """Where its slabs are kept, if not in ``folder``."""
    origin: str = ""
    """What the warehouse's numbers are made of, as manifests state it."""

    def slabs(self) -> Slabs:
        """Return where the pair's slabs are kept."""
        return self.kept_in or Slabs.in_folder(self.folder)

    def catalogue(self) -> PairCatalogue:
        """Return the pair's catalogue as the warehouse has it now: one batched description, no row read."""
        with waiting(self.progress, "catalogue", lambda: self._waits_for("its tables and columns")):
            described = self.warehouse.describe()
        return discover(
            self.pair,
            described,
            self.expectations,
            include_forward_looking=self.settings.include_forward_looking,
        )

    def snapshot(self) -> datetime:
        """Return the moment that a run sees the tables at, told while it is waited for. Raises as the warehouse."""
        with waiting(self.progress, "catalogue", lambda: self._waits_for("its clock")):
            return self.warehouse.snapshot()

    def _waits_for(self, what: str) -> str:
        return ": ".join(filter(None, (f"{self.warehouse.name} is asked for {what}", self.warehouse.outage.words())))
