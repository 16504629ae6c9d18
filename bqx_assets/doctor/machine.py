"""Examines this machine or container: the settings in its environment, memory, processors and disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import partial

import psutil

from bqx_assets.base.process import disk_free_bytes, is_memory, memory_free_bytes, memory_limit_bytes, worker_count
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings, variable_of
from bqx_assets.doctor.case import Case, Finding, Probe, missing, noted, passed
from bqx_assets.doctor.output import LIST
from bqx_assets.doctor.tables import MEASURED_PAIR, READS, sized
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.plan import refuse_over_memory

SETTINGS, THEME = "settings", "machine"
_PREFIX = "BQX_"
_ALIKE = 0.88
"""Likeness at which a variable counts as a misspelt setting. ``BQX_OUTPUTS`` is one; ``BQX_OUTPUT_BUCKET``, a variable
of the deployment, is not."""
_GIB = 1 << 30
_LEAST_BYTES = 1 << 30
"""A pair of 100,000 minutes had a measured peak of 1.3 GB, a pair of a few thousand 0.5 GB."""
_COPIES = 3
"""The slabs, the training file and the published file, which are about equally large."""


def settings_probes(case: Case) -> Iterator[Probe]:
    """Yield one probe for each setting that was chosen, one for all others, and one for misspelt settings."""
    chosen = [name for name in Settings.model_fields if _origin(case, name) != "default"]
    for name in chosen:
        yield Probe(SETTINGS, variable_of(name), partial(_one, name=name))
    yield Probe(SETTINGS, "by default", partial(_others, shown=tuple(chosen)))
    yield Probe(SETTINGS, "misspelt settings", _misspelt)


def machine_probes(case: Case) -> Iterator[Probe]:
    """Yield the probes of memory, processors and disk."""
    yield Probe(THEME, "memory", _memory)
    needs = (READS, LIST) if case.in_bucket else (READS,)
    yield Probe(THEME, "memory of a run", _pair_memory, needs=needs)
    yield Probe(THEME, "processors", _processors)
    yield Probe(THEME, "file system", _file_system)
    yield Probe(THEME, "disk", _disk, needs=(READS,))


def _one(case: Case, name: str) -> Finding:
    value, origin = _shown(getattr(case.settings, name)), _origin(case, name)
    return passed(value if origin == variable_of(name) else f"{value}  ({origin})")  # the line has the variable's name


def _others(case: Case, shown: tuple[str, ...]) -> Finding:
    rest = {name: getattr(case.settings, name) for name in Settings.model_fields if name not in shown}
    unset = ", ".join(name for name, value in rest.items() if value is None)
    stated = ", ".join(f"{name} {_shown(value)}" for name, value in rest.items() if value is not None)
    return passed(f"{stated}; not set: {unset}" if unset else stated)


def _misspelt(case: Case) -> Finding:
    """Look for variables that are nearly a setting. They change nothing, and once a run lost its range by one."""
    known = [variable_of(name) for name in Settings.model_fields]
    wrong = {
        name: near for name, near in _near_misses(case.environment, known).items() if not case.environment.get(near)
    }
    if not wrong:
        return passed("none")
    named = ", ".join(f"{name}, which is no setting" for name in wrong)
    return missing(named, "; ".join(f"Rename {name} to {near}" for name, near in wrong.items()) + ", or unset it.")


def _near_misses(environment: Mapping[str, str], known: list[str]) -> dict[str, str]:
    """Return each variable that is not a setting but nearly one, with the name of that setting's variable."""
    foreign = [name for name in environment if name.startswith(_PREFIX) and name not in known]
    near = {name: get_close_matches(name, known, 1, _ALIKE) for name in foreign}
    return {name: matches[0] for name, matches in near.items() if matches}


def _origin(case: Case, name: str) -> str:
    """Return where a setting comes from: an option, a variable, or "default"."""
    if name in case.given:
        return case.given[name]
    variable = variable_of(name)
    stated = {each.upper() for each, value in case.environment.items() if value}  # an empty variable is not set
    return variable if variable in stated else "default"


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _memory(_: Case) -> Finding:
    limit, free = memory_limit_bytes(), memory_free_bytes()
    machine = int(psutil.virtual_memory().total)
    whose = "the container's limit" if limit < machine else "the machine's"
    said = f"{limit / _GIB:,.1f} GiB, {whose}; {max(free, 0) / _GIB:,.1f} GiB free"
    if free < _LEAST_BYTES:
        return missing(
            said, "Give the container 2 GiB (job.yaml, memory: 2Gi), or end other programs.", reason="memory"
        )
    return passed(said)


def _processors(case: Case) -> Finding:
    workers = case.settings.workers or worker_count()
    return passed(f"{worker_count()}; {workers} tables at once")


def _pair_memory(case: Case) -> Finding:
    """Apply the extraction's own estimate, by the rows that are asked for and the place where slabs are kept."""
    slabs = case.pipeline.slabs(case.pair)
    job = Extraction(case.pair, case.warehouse, slabs, case.settings, case.expectations, Silent())
    refuse_over_memory(job, case.catalogue, SourceStates({}))
    return passed(f"{case.pair} fits into {memory_limit_bytes() / _GIB:,.1f} GiB, by the estimate")


def _file_system(case: Case) -> Finding:
    home = case.settings.home.absolute()
    if not is_memory(home):
        return passed(f"{home} is on a disk")
    said = f"{home} is in memory: each file there takes memory"
    if case.in_bucket:
        return passed(f"{said}; slabs and training files go to the bucket")
    return noted(said, "Set BQX_HOME to a folder on a disk, or BQX_OUTPUT to a bucket.")


def _disk(case: Case) -> Finding:
    home = case.settings.home.absolute()
    free = disk_free_bytes(home)
    said = f"{sized(free)} free for {home}"
    if case.in_bucket:
        return passed(f"{said}; slabs and training files go to the bucket")
    file = case.read_bytes * MEASURED_PAIR.kept_bytes / MEASURED_PAIR.storage_read_bytes
    said = f"{said}; a training file takes about {sized(file)}, its slabs as much"
    cure = "Free space, set BQX_HOME to a larger disk, or narrow BQX_LAST, or else BQX_START and BQX_END."
    if free < 2 * file:
        return missing(said, cure, reason="disk")
    return noted(f"{said}, and its published copy too", cure) if free < _COPIES * file else passed(said)
