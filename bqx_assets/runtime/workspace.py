"""The one resource: where a run reads and writes, and by which settings.

Belongs here: settings as Dagster configuration, and what follows from them (warehouse, store, folders). Does not:
the settings' meaning (``base/settings.py``).
"""

from __future__ import annotations

import dagster as dg
from pydantic import Field, ValidationError

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.objects.local import LocalObjectStore
from bqx_assets.base.objects.protocol import ObjectStore
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.connect import connect
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.warehouse import Warehouse


class Workspace(dg.ConfigurableResource[object]):
    """Settings of a run. What is left out comes from ``BQX_*`` environment variables, then from the defaults."""

    home: str | None = Field(default=None, description="Folder for everything a run makes.")
    warehouse: str | None = Field(default=None, description="Embedded warehouse; default: {home}/warehouse.")
    expectations: str | None = Field(default=None, description="Expectations file; default: the warehouse's own.")
    workers: int | None = Field(default=None, description="Parallel table readers; 0: one a processor.")
    duplicates: str | None = Field(
        default=None, description="Several rows of one interval_time: refuse (default), first or last."
    )
    include_forward_looking: bool | None = Field(
        default=None, description="Keep columns that look forward. They leak the label."
    )
    start: str | None = Field(default=None, description="First minute of the spine, UTC, for example 2024-01-01.")
    end: str | None = Field(default=None, description="Last minute of the spine, UTC.")
    row_group_rows: int | None = Field(default=None, description="Rows of a row group; 0: one for all rows.")
    engine: str | None = Field(default=None, description="splice (default), or join, the slow oracle.")
    staging_days: int | None = Field(default=None, description="How long unpublished components stay in the store.")
    keep_versions: int | None = Field(default=None, description="Earlier versions of a published file that stay.")
    channel: str | None = Field(default=None, description="Where a command line listens. Leave empty.")

    @classmethod
    def of(cls, settings: Settings, channel: str | None = None) -> Workspace:
        """Return the resource that gives exactly these settings."""
        facts = settings.model_dump(mode="json", exclude_none=True)
        return cls(**facts, channel=channel)

    def settings(self) -> Settings:
        """Return the settings. Raises BadSetting for a value outside its allowed ones."""
        stated = {name: value for name in Settings.model_fields if (value := getattr(self, name)) is not None}
        try:
            return Settings(**stated)
        except ValidationError as error:
            first = error.errors()[0]
            raise BadSetting(
                f"setting {'.'.join(str(word) for word in first['loc'])}",
                got=repr(first["input"]),
                expected=first["msg"],
                cure="Correct it in the launchpad or in the BQX_* environment.",
            ) from error

    def connect(self) -> tuple[Warehouse, Expectations]:
        """Return the warehouse and its expectations. Raises TableMissing when there is none."""
        return connect(self.settings())

    def extraction(self, pair: Pair, progress: Progress) -> Extraction:
        """Return the pair's extraction, bound to its checkpoint folder."""
        settings = self.settings()
        warehouse, expectations = self.connect()
        return Extraction(
            pair=pair,
            warehouse=warehouse,
            folder=settings.checkpoint_dir / pair.name,
            settings=settings,
            expectations=expectations,
            progress=progress,
        )

    def store(self) -> ObjectStore:
        """Return the store that training files are published to."""
        settings = self.settings()
        return LocalObjectStore(settings.output_dir, keep_versions=settings.keep_versions)
