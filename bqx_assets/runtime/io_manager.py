"""The IO manager as Dagster's resource: known when definitions are loaded, made when a run needs it.

Belongs here: that delay. Does not: the IO manager (``training_io``).
"""

from __future__ import annotations

import dagster as dg

from bqx_assets.runtime.step import errors_as_failures


@dg.io_manager(required_resource_keys={"workspace"})
def training_io_manager(context: dg.InitResourceContext) -> dg.IOManager:
    """Make the IO manager over the one ``workspace`` resource."""
    # dagster-polars imports dagster-gcp, pandas and Google's clients: 0.6 s that every code server would wait for.
    from bqx_assets.runtime.training_io import TrainingParquetIOManager  # noqa: PLC0415

    # Not a nested resource: Dagster 1.13 initialises one through a call it deprecates itself.
    with errors_as_failures():
        return TrainingParquetIOManager.of(context.resources.workspace)
