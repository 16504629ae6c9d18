"""What an engine reports of the file it wrote, and what it writes into its metadata.

Belongs here: the engine's protocol and result. Does not: an engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bqx_assets.base.artifacts import SlabRecord
from bqx_assets.base.progress import Progress
from bqx_assets.merge.plan import MergePlan

PAIR_KEY = "bqx.pair"
SPINE_KEY = "bqx.spine"
ENGINE_KEY = "bqx.engine"
"""Keys of the training file's own parquet metadata: pair, spine fingerprint, engine."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file: its bytes, and the slabs it is made of, in column order."""

    size_bytes: int
    crc32c: int
    columns: int
    slabs: tuple[SlabRecord, ...]


class Engine(Protocol):
    """A way from a plan to one wide parquet."""

    @property
    def name(self) -> str:
        """As ``--engine`` takes it."""
        ...

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return the memory that the merge needs."""
        ...

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> Written:
        """Write the file; tell one step of stage "merge" a part."""
        ...


def own_metadata(plan: MergePlan, engine: str) -> dict[str, str]:
    """Return the training file's key-value metadata: small, for the manifest holds the rest."""
    return {PAIR_KEY: plan.pair.name, SPINE_KEY: plan.extraction.spine.fingerprint, ENGINE_KEY: engine}
