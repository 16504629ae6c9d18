"""Assembles sources, assets, checks, jobs and resources as one ``Definitions``, for web server and `bqx run`."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.alerts import fleet_alerts, run_alerts
from bqx_assets.runtime.assets import feature_slabs, published_training_file, targets_spine, training_parquet
from bqx_assets.runtime.automation import (
    extract_job,
    pair_job,
    sources_changed,
    stages_follow,
    verify_job,
    verify_weekly,
    weekly,
)
from bqx_assets.runtime.checks import published_intact, training_rules
from bqx_assets.runtime.doctor_job import doctor_job
from bqx_assets.runtime.fleet_report import fleet_daily, fleet_job, fleet_report, rollout_report
from bqx_assets.runtime.keys import source_specs
from bqx_assets.runtime.rollout import stop_rollout
from bqx_assets.runtime.step import errors_as_failures
from bqx_assets.runtime.workspace import Workspace


@dg.io_manager(required_resource_keys={"workspace"})
def training_io_manager(context: dg.InitResourceContext) -> dg.IOManager:
    """Make the IO manager over the one ``workspace`` resource."""
    # dagster-polars imports dagster-gcp, pandas and Google's clients: 0.6 s that every code server would wait for.
    from bqx_assets.runtime.training_io import TrainingParquetIOManager  # noqa: PLC0415

    # It is no nested resource, because Dagster 1.13 initialises these by a call that it deprecates itself.
    with errors_as_failures():
        return TrainingParquetIOManager.of(context.resources.workspace)


def _with_freshness(workspace: Workspace) -> dg.AssetsDefinition:
    """Return the published file with a freshness policy by ``fresh_days``; by its default while the settings are wrong.

    A run names the wrong setting. If it failed the definitions, no page would open.
    """
    try:
        days = workspace.settings().fresh_days
    except BadSetting:
        days = float(Settings.model_fields["fresh_days"].default)
    window = max(timedelta(days=days), timedelta(minutes=16))  # Dagster allows no window of less than a minute
    policy = dg.FreshnessPolicy.time_window(fail_window=window, warn_window=window * 15 / 16)
    return published_training_file.map_asset_specs(lambda spec: spec.replace_attributes(freshness_policy=policy))


def build_definitions(workspace: Workspace) -> dg.Definitions:
    """Return the definitions over one workspace."""
    return dg.Definitions(
        assets=[
            *source_specs(),
            targets_spine,
            feature_slabs,
            training_parquet,
            _with_freshness(workspace),
            fleet_report,
        ],
        asset_checks=[training_rules, published_intact],
        jobs=[pair_job, extract_job, verify_job, doctor_job, fleet_job],
        schedules=[weekly, verify_weekly, fleet_daily],
        sensors=[sources_changed, stages_follow, run_alerts, fleet_alerts, stop_rollout, rollout_report],
        resources={"workspace": workspace, "io_manager": training_io_manager},
        # The steps of a pair follow one another: with a process for each, every step would take 4 s to start.
        executor=dg.in_process_executor,
    )
