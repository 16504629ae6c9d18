"""Finds a pair's checkpoints in a folder or bucket that a user names: there, or in a folder of the pair's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bqx_assets.base.artifacts import EXTRACTION_FILE
from bqx_assets.base.errors import MergeRefused
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.store.open_store import bucket_at
from bqx_assets.base.store.protocol import ObjectStore

_NAMED = 5


def checkpoints_of(pair: Pair, root: Path) -> Path:
    """Return ``root/pair``, or ``root`` where it holds the checkpoints itself, as folders of another origin do.

    Raises:
        MergeRefused: there is neither.
    """
    own = root / pair.name
    if own.is_dir():
        return own
    if any((root / name).is_file() for name in _first_files(pair)):
        return root
    others = sorted(path.name for path in root.glob("targets_*.parquet")) if root.is_dir() else []
    raise _no_checkpoints(pair, str(root), others, f"bqx extract {pair}, or correct --checkpoint-dir")


def bucket_checkpoints_of(pair: Pair, root: str) -> ObjectStore:
    """Return a store of ``root/pair``, or of ``root`` where the bucket has the checkpoints there.

    Raises:
        MergeRefused: there is neither. StoreError: the bucket cannot be read.
    """
    root = root.rstrip("/")
    for place in (f"{root}/{pair}", root):
        store = bucket_at(place)
        if any(store.head(name) is not None for name in _first_files(pair)):
            return store
    others = [info.name for info in bucket_at(root).list_objects("targets_") if "/" not in info.name]
    raise _no_checkpoints(pair, root, others, f"Correct --checkpoint-dir; what is there: gcloud storage ls {root}")


def _first_files(pair: Pair) -> tuple[str, ...]:
    """One of these is in every folder of checkpoints."""
    return ("targets.parquet", f"targets_{pair}.parquet", EXTRACTION_FILE)


def _no_checkpoints(pair: Pair, root: str, others: Sequence[str], cure: str) -> MergeRefused:
    """``others``: targets that are there, of other pairs."""
    besides = f" of it, but {some_of(others, _NAMED)}" if others else ""
    expected = "the slabs of an extraction, or targets.parquet and *.parquet"
    return MergeRefused(root, got=f"neither a folder {pair} nor checkpoints{besides}", expected=expected, cure=cure)
