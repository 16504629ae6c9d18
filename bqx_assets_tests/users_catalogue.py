"""The users' real catalogue of EURUSD: what the grammar and the made-up warehouse are compared with."""

from __future__ import annotations

import tomllib
from pathlib import Path

USERS_TARGETS = "targets_eurusd"


def users_catalogue() -> dict[str, dict[str, str]]:
    """Return each table with its columns and their BigQuery types, in the words of the file beside this module."""
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        entries = tomllib.load(file)["tables"]
    return {
        name: dict(column.rsplit(":", 1) for column in entry["columns"].split())
        for entry in entries
        for name in entry["names"].split()
    }
