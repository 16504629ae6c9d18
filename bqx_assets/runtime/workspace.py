"""Defines the graph's one resource, which gives a run its settings and the pipeline."""

from __future__ import annotations

import hashlib
from typing import Any

import dagster as dg
from pydantic import Field, ValidationError

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime.instance import PROCESS_TAG, process_tag

RUN_SETTINGS = ("bigquery_streams", "end", "engine", "last", "period", "start", "workers")
"""The settings that a run's configuration may change: which rows are read, and how fast. Everyone who reaches the web
server can launch a run, so only the environment decides where a run reads and writes, where it sends its token, what
judges it and what it deletes."""
_RANGE = ("start", "end", "last")
_chosen: dict[str, Settings] = {}
"""Settings that a program in this process chose, by their digest. Dagster rebuilds resources from plain values such as
the digest, and a run's configuration cannot add an entry."""


class Workspace(dg.ConfigurableResource[object]):
    """The settings of a run. Others come from ``BQX_*`` environment variables, then from the defaults."""

    # Settings itself checks the values: typed fields here would be a second list that must be kept the same.
    overrides: dict[str, Any] = Field(
        default={},
        description="Settings that differ for this run, for example {start: 2024-01-01, workers: 4}. "
        f"There are: {', '.join(RUN_SETTINGS)}. All others come from the environment of the code location.",
    )
    chosen: str | None = Field(default=None, description="Settings of a command line in this process. Leave empty.")
    channel: str | None = Field(default=None, description="Where a command line listens. Leave empty.")

    @classmethod
    def of(cls, settings: Settings, channel: str | None = None) -> Workspace:
        """Return the resource with exactly these settings; it works only in this process."""
        digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
        _chosen[digest] = settings
        return cls(chosen=digest, channel=channel)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag a run that a code server of this machine started with this process, so that its death can be noticed."""
        run, instance = context.run, context.instance
        if run and instance and isinstance(instance.run_launcher, dg.DefaultRunLauncher):
            own = {PROCESS_TAG: process_tag()}
            if run.tags.get(PROCESS_TAG) != own[PROCESS_TAG]:  # a re-execution comes with that of the earlier run
                instance.add_run_tags(run.run_id, own)

    def settings(self) -> Settings:
        """Return the settings.

        Raises:
            BadSetting: the run's configuration names a setting that is not its own, or a value is not allowed.
        """
        _refuse_foreign(self.overrides)
        try:
            return Settings(**(self._base() | self._own_range() | self.overrides))
        except ValidationError as error:
            first = error.errors()[0]
            raise BadSetting(
                f"setting {'.'.join(str(word) for word in first['loc'])}",
                got=repr(first["input"]),
                expected=first["msg"],
                cure="Correct it in the launchpad or in the BQX_* environment.",
            ) from error

    def _own_range(self) -> dict[str, Any]:
        """Return None for each range setting if the run has a range of its own: other ranges must not mix with it."""
        return dict.fromkeys(_RANGE) if self.overrides.keys() & {*_RANGE} else {}

    def _base(self) -> dict[str, Any]:
        if self.chosen is None:
            return {}
        if self.chosen in _chosen:
            return _chosen[self.chosen].model_dump()
        raise BadSetting(
            "workspace.chosen",
            got="a name that this process does not know",  # the name is not shown: {env: ...} would make it a secret
            expected="nothing, in a run of the web server",
            cure="Leave it out of the launchpad.",
        )

    def pipeline(self, progress: Progress | None = None) -> Pipeline:
        """Return the pipeline with this run's settings."""
        return Pipeline(self.settings(), progress)


def _refuse_foreign(overrides: dict[str, Any]) -> None:
    foreign = sorted(overrides.keys() - {*RUN_SETTINGS})
    if foreign:
        variables = ", ".join(f"BQX_{name.upper()}" for name in foreign)
        raise BadSetting(
            f"setting {', '.join(foreign)}",
            got="set by the run's configuration",
            expected=f"settings of a single run: {', '.join(RUN_SETTINGS)}",
            cure=f"Leave it out of the launchpad. For all runs, set {variables} where the code location is started.",
        )
