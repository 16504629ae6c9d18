"""The settings in force, and where each came from.

Belongs here: default, environment or option, and variables that are none. Does not: what a value means
(``base/settings``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import partial

from bqx_assets.base.settings import Settings, variable_of
from bqx_assets.doctor.case import Case, Probe
from bqx_assets.doctor.report import Finding, missing, passed

THEME = "settings"
_PREFIX = "BQX_"
_ALIKE = 0.88
"""``BQX_OUTPUTS`` is a misspelt ``BQX_OUTPUT``; ``BQX_OUTPUT_BUCKET``, which a deployment has, is none."""


def settings_probes(case: Case) -> Iterator[Probe]:
    """Yield a probe for each setting that somebody chose, one for all others, and one for misspelt ones."""
    chosen = [name for name in Settings.model_fields if _origin(case, name) != "default"]
    for name in chosen:
        yield Probe(THEME, variable_of(name), partial(_one, name=name))
    yield Probe(THEME, "by default", partial(_others, shown=tuple(chosen)))
    yield Probe(THEME, "misspelt settings", _misspelt)


def _one(case: Case, name: str) -> Finding:
    value, origin = _shown(getattr(case.settings, name)), _origin(case, name)
    return passed(value if origin == variable_of(name) else f"{value}  ({origin})")  # the line has the variable's name


def _others(case: Case, shown: tuple[str, ...]) -> Finding:
    rest = {name: getattr(case.settings, name) for name in Settings.model_fields if name not in shown}
    unset = ", ".join(name for name, value in rest.items() if value is None)
    stated = ", ".join(f"{name} {_shown(value)}" for name, value in rest.items() if value is not None)
    return passed(f"{stated}; not set: {unset}" if unset else stated)


def _misspelt(case: Case) -> Finding:
    """A variable that is nearly one of ours changes nothing, and nothing says so: the range of a run was lost so."""
    known = [variable_of(name) for name in Settings.model_fields]
    wrong = {
        name: near for name, near in _near_misses(case.environment, known).items() if not case.environment.get(near)
    }
    if not wrong:
        return passed("none")
    named = ", ".join(f"{name}, which is no setting" for name in wrong)
    return missing(named, "; ".join(f"Rename {name} to {near}" for name, near in wrong.items()) + ", or unset it.")


def _near_misses(environment: Mapping[str, str], known: list[str]) -> dict[str, str]:
    foreign = [name for name in environment if name.startswith(_PREFIX) and name not in known]
    near = {name: get_close_matches(name, known, 1, _ALIKE) for name in foreign}
    return {name: matches[0] for name, matches in near.items() if matches}


def _origin(case: Case, name: str) -> str:
    if name in case.given:
        return case.given[name]
    variable = variable_of(name)
    stated = {each.upper() for each, value in case.environment.items() if value}  # an empty variable is not set
    return variable if variable in stated else "default"


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
