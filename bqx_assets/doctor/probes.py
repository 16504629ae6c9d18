"""Lists all probes in the order in which they are shown, and runs those that apply to the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bqx_assets.base.errors import UsageError
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.doctor.case import NOT_DEPLOYED, Case, Finding, Probe, Report, skipped
from bqx_assets.doctor.examine import examine
from bqx_assets.doctor.fleet_probes import fleet_probes
from bqx_assets.doctor.machine import machine_probes, settings_probes
from bqx_assets.doctor.network import network_probes, with_one_network_lack
from bqx_assets.doctor.output import output_probes
from bqx_assets.doctor.tables import expectations_probe, folder_probes, pair_probes

THEMES = (
    "settings",
    "network",
    "credentials",
    "tables",
    "bigquery",
    "pair",
    "output",
    "machine",
    "dagster",
    "cloud run",
    "fleet",
)
"""All themes of a report."""


def look(
    settings: Settings,
    pair: Pair,
    progress: Progress | None = None,
    given: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
) -> Report:
    """Return the report on everything that a run of the pair needs with these settings.

    ``given`` names the settings that were given by options of the command line, with the option's name.

    With ``only``, the report has the lines of these themes. The probes of other themes that they need run as well, and
    their lines are in the report where something is missing: without such a line, a theme that could not be looked at
    would seem to lack nothing.

    Nothing is changed, except that two objects of a few bytes are written below ``staging/`` of the bucket and removed.
    **Cost**: seconds; at most a minute where nobody answers. Dry queries are free; listing all tables bills 20 MB.

    Raises:
        UsageError: ``only`` names something that is not a theme.
    """
    if unknown := [theme for theme in only if theme not in THEMES]:
        raise UsageError(
            "--only",
            got=", ".join(map(repr, unknown)),
            expected=f"one of: {', '.join(THEMES)}",
            cure="Write each theme after an --only of its own: --only dagster --only 'cloud run'",
        )
    case = Case(settings, pair, given or {})
    probes = tuple(probes_of(case))
    report = examine(case, tuple(with_needs(probes, only)) if only else probes, progress)
    lines = with_one_network_lack(case, report.lines)
    if only:
        lines = tuple(line for line in lines if line.theme in only or line.state == "missing")
    return report.model_copy(update={"lines": lines, "only": tuple(only)})


def with_needs(probes: Sequence[Probe], only: Sequence[str]) -> Iterator[Probe]:
    """Yield, in their order, the probes of these themes and all probes that must have ended before them."""
    by_name = {probe.name: probe for probe in probes}
    wanted: set[str] = set()
    ahead = [probe.name for probe in probes if probe.theme in only]
    while ahead:
        name = ahead.pop()
        if name not in wanted:
            wanted.add(name)
            ahead += [*by_name[name].needs, *by_name[name].after]
    yield from (probe for probe in probes if probe.name in wanted)


def probes_of(case: Case) -> Iterator[Probe]:
    """Yield the probes that apply to the settings and the environment; a theme that does not apply says so."""
    yield from settings_probes(case)
    yield from network_probes(case)
    bigquery = case.settings.bigquery_project is not None
    if bigquery or case.in_bucket or case.environment.get("DAGSTER_HOME"):
        # Google's clients take 2 s to import. An embedded warehouse and a folder need none of them.
        from bqx_assets.doctor.credentials import credentials_probes  # noqa: PLC0415

        yield from credentials_probes(case)
    else:
        yield _left_out("credentials", "credentials", "no server of Google's is in use")
    yield expectations_probe(case)
    if bigquery:
        from bqx_assets.doctor.bigquery import bigquery_probes, read_probes  # noqa: PLC0415

        yield from bigquery_probes(case)
        yield from pair_probes(case)
        yield from read_probes(case)
    else:
        yield from folder_probes(case)
        yield from pair_probes(case)
        yield _left_out("bigquery", "BigQuery", "BQX_BIGQUERY_PROJECT is not set, so the embedded warehouse is read")
    yield from output_probes(case)
    if not case.in_bucket:
        yield _left_out("output", "Cloud Storage", "files are published to a folder")
    yield from machine_probes(case)
    # SQLAlchemy and Alembic took a third of the start of every command of ``bqx``.
    from bqx_assets.doctor.instance import instance_probes  # noqa: PLC0415

    yield from instance_probes(case)
    if case.environment.get("DAGSTER_HOME"):
        from bqx_assets.doctor.cloud_run import cloud_run_probes  # noqa: PLC0415

        yield from cloud_run_probes(case)
    else:
        yield _left_out("cloud run", "Cloud Run", NOT_DEPLOYED)
    yield from fleet_probes(case)


def _left_out(theme: str, name: str, why: str) -> Probe:
    """Return a probe that looks at nothing and says why."""

    def look_at_nothing(_: Case) -> Finding:
        return skipped(why)

    return Probe(theme, name, look_at_nothing)
