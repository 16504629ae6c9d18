"""Loading the definitions, as a measured call.

Belongs here: that. Does not: another import of ours: Dagster alone is imported before the clock starts.
"""

from __future__ import annotations

import dagster as dg


def load() -> int:
    """Import the package's definitions and resolve every job, as the web server does; return the jobs."""
    from bqx_assets.definitions import defs  # noqa: PLC0415 -- this import is what is measured

    found: dg.Definitions = defs()
    return len(list(found.get_repository_def().get_all_jobs()))
