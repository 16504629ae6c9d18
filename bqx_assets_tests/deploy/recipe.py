"""The deployment's files as the script puts them in place: variables read, templates filled in.

Belongs here: reading ``deploy/bqx.env`` and what is rendered from it. Does not: assertions, and servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNCHANGED = "change-me"


def shipped_variables() -> dict[str, str]:
    """Return the variables of ``deploy/bqx.env`` as they are shipped, placeholders and empty ones among them."""
    lines = (DEPLOY / "bqx.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables(**filled: str) -> dict[str, str]:
    """Return the shipped variables with ``filled`` in the place of placeholders, or of what a test wants otherwise."""
    shipped = shipped_variables()
    unknown = filled.keys() - shipped.keys()
    assert not unknown, f"not in deploy/bqx.env: {sorted(unknown)}"
    made = shipped | filled
    left = sorted(name for name, value in made.items() if UNCHANGED in value)
    assert not left, f"left unchanged: {left}"
    return made


def rendered(name: str, values: Mapping[str, str]) -> str:
    """Return a file of ``deploy/`` with each ``${NAME}`` replaced; a name without a value is an error."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], (DEPLOY / name).read_text())
