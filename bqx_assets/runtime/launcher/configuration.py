"""The launcher's fields in ``dagster.yaml``.

Belongs here: their types, defaults and descriptions. Does not: what is done with them.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

CONFIG: dict[str, Any] = {
    "project": dg.Field(dg.StringSource, description="Google Cloud project of the jobs."),
    "region": dg.Field(dg.StringSource, description="Region of the jobs, for example us-central1."),
    "jobs": dg.Field(
        dg.Map(str, dg.StringSource),
        description="Memory class, as in the run tag bqx/memory_class, to the name of the job of that size. Cloud Run"
        " takes CPU and memory a job, not an execution.",
    ),
    "default_memory_class": dg.Field(dg.StringSource, description="Class of a run that has no such tag."),
    "timeout_seconds": dg.Field(
        dg.IntSource, default_value=7200, description="How long one container of an execution may take."
    ),
    "start_check_seconds": dg.Field(
        float,
        default_value=10.0,
        description="How often runs that wait for their container are looked at. One whose container ended before the"
        " run began is failed then, instead of after run_monitoring's start_timeout_seconds.",
    ),
    "api_endpoint": dg.Field(
        dg.Noneable(dg.StringSource), is_required=False, description="Another host than run.googleapis.com, over TLS."
    ),
    "emulator_host": dg.Field(
        dg.Noneable(dg.StringSource),
        is_required=False,
        description="host:port spoken to in plain text and without credentials. Leave it out in production.",
    ),
    "call_timeout_seconds": dg.Field(float, is_required=False, description="Deadline of one call; default 20."),
    "retry_timeout_seconds": dg.Field(
        float, is_required=False, description="How long a call is tried again while quota or network fail; default 180."
    ),
    "retry_wait_seconds": dg.Field(
        float, is_required=False, description="Bound of the first random wait, doubled up to 30 s; default 1."
    ),
}
"""The defaults that are not here are those of ``client.Endpoint``."""
