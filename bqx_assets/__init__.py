"""The public surface of bqx_assets: for each forex pair, feature tables become one verified training parquet.

These names are all that a program needs for the stages and for training; modules below may move. Each is imported when
it is first asked for, so that ``bqx --help`` and Ctrl-C at the start wait for none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bqx_assets.base import errors
    from bqx_assets.base.artifacts import Manifest
    from bqx_assets.base.errors import BqxError
    from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
    from bqx_assets.base.progress import Progress
    from bqx_assets.base.settings import Settings
    from bqx_assets.dictionary.describe import describe_column
    from bqx_assets.dictionary.files import Dictionary
    from bqx_assets.pipeline import Pipeline
    from bqx_assets.quality.report import Report
    from bqx_assets.training.embargo import embargo_rows
    from bqx_assets.training.load import load_training, training_columns, training_manifest
    from bqx_assets.training.split_guard import check_split
    from bqx_assets.training.splits import purged, walk_forward
    from bqx_assets.training.stacked_pairs import load_panel

__all__ = [
    "ALL_PAIRS",
    "BqxError",
    "Dictionary",
    "Manifest",
    "Pair",
    "Pipeline",
    "Progress",
    "Report",
    "Settings",
    "describe_column",
    "check_split",
    "embargo_rows",
    "errors",
    "load_panel",
    "load_training",
    "parse_pair",
    "purged",
    "training_columns",
    "training_manifest",
    "walk_forward",
]
_HOMES = {
    "ALL_PAIRS": "base.pairs",
    "BqxError": "base.errors",
    "Dictionary": "dictionary.files",
    "Manifest": "base.artifacts",
    "Pair": "base.pairs",
    "Pipeline": "pipeline",
    "Progress": "base.progress",
    "Report": "quality.report",
    "Settings": "base.settings",
    "describe_column": "dictionary.describe",
    "check_split": "training.split_guard",
    "embargo_rows": "training.embargo",
    "errors": "base",
    "load_panel": "training.stacked_pairs",
    "load_training": "training.load",
    "parse_pair": "base.pairs",
    "purged": "training.splits",
    "training_columns": "training.load",
    "training_manifest": "training.load",
    "walk_forward": "training.splits",
}
"""The module of each name, below this package."""

if not TYPE_CHECKING:  # to a type checker an unknown name stays an error

    def __getattr__(name: str) -> object:
        """Import a public name. Raises AttributeError for any other."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"{__name__}.{_HOMES[name]}")
        return import_module(f"{home.__name__}.{name}") if name == "errors" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
