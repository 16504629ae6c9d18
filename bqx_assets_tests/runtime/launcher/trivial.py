"""A job that a container can load by itself: one partitioned asset that does what its pair's file says.

Belongs here: what the launcher's tests run. Does not: assertions.
"""

import os
import time
from pathlib import Path

import dagster as dg

from bqx_assets.base.pairs import ALL_PAIRS

PAIRS = dg.StaticPartitionsDefinition([pair.name for pair in ALL_PAIRS])


@dg.asset(partitions_def=PAIRS)
def minutes(context: dg.AssetExecutionContext) -> None:
    """Leave a mark; wait while a file of the test says so, as a long read would."""
    folder = Path(os.environ["TRIVIAL_FOLDER"])
    mark = folder / f"attempt-{os.environ['CLOUD_RUN_TASK_ATTEMPT']}"
    mark.write_text(f"{context.partition_key} {os.environ['BQX_PAIR']}")
    while (folder / f"hold-{mark.name}").exists():
        time.sleep(0.02)
    if (folder / "fail").exists():
        raise dg.Failure("told to fail")


defs = dg.Definitions(
    assets=[minutes], jobs=[dg.define_asset_job("trivial_job", [minutes])], executor=dg.in_process_executor
)


def trivial_job() -> dg.JobDefinition:
    """Return the job, for Dagster's ``reconstructable``."""
    return defs.resolve_job_def("trivial_job")
