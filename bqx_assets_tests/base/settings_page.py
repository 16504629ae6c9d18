"""The page of all settings, made from their classes."""

from __future__ import annotations

import re
from typing import Literal, Union, get_args, get_origin

from annotated_types import Ge
from pydantic_settings import BaseSettings

from bqx_assets.base.settings import Settings, variable_of
from bqx_assets.fleet.alert_settings import AlertSettings

_HEAD = """# All settings

Each setting is an environment variable; an empty one counts as not set. An option of a command takes precedence over
the variable, and the variable over the default. In Dagster's launchpad a run may set only its range of rows and the
settings of its speed. `BQX_UI_HOSTS`, the names of the web server, is read by the server alone
([operations](operations.md)).

This page is made from `bqx_assets/base/settings.py` and `bqx_assets/fleet/alert_settings.py` by
`python -m bqx_assets_tests.docs.reference`.

"""
_TABLE = "| variable | type | default | meaning |\n|---|---|---|---|\n"
_ALERTS = """
## Alerts

They are read where sensors are evaluated, and by `bqx alert` ([alerts](alerts.md)); no run needs them.

"""


def page() -> str:
    """Return the text that ``docs/settings.md`` must have."""
    return f"{_HEAD}{_TABLE}{_rows(Settings)}{_ALERTS}{_TABLE}{_rows(AlertSettings)}"


def _rows(settings: type[BaseSettings]) -> str:
    rows = [
        f"| `{variable_of(name)}` | {_type(field.annotation)}{_least(field.metadata)} | {_default(field.default)} | "
        f"{_meaning(field.description or '')} |"
        for name, field in settings.model_fields.items()
    ]
    return "\n".join(rows) + "\n"


def _type(kind: object) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(kind))
    if get_origin(kind) in {Union, type(int | None)}:
        return _type(next(each for each in get_args(kind) if each is not type(None)))
    names = {
        "str": "text",
        "SecretStr": "text, secret",
        "int": "integer",
        "float": "number",
        "bool": "`true` or `false`",
        "Path": "folder",
        "datetime": "ISO 8601 time",
    }
    return names[getattr(kind, "__name__", "")]


def _least(bounds: list[object]) -> str:
    return "".join(f", at least {bound.ge}" for bound in bounds if isinstance(bound, Ge))


def _default(value: object) -> str:
    return "" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meaning(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("``", "`").replace("|", "\\|").strip()
