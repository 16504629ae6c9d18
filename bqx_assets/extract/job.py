"""What one pair's extraction works on.

Belongs here: the bundle handed through this package. Does not: any step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import PairCatalogue, discover
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.slabs import SlabFolder, SlabStore
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
    kept_in: SlabStore | None = None
    """Where its slabs are kept, if not in ``folder``."""

    def slabs(self) -> SlabStore:
        """Return where the pair's slabs are kept."""
        return self.kept_in or SlabFolder(self.folder)

    def catalogue(self) -> PairCatalogue:
        """Return the pair's catalogue as the warehouse has it now: one batched description, no row read."""
        return discover(
            self.pair,
            self.warehouse.describe(),
            self.expectations,
            include_forward_looking=self.settings.include_forward_looking,
        )
