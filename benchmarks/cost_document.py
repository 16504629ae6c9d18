"""Writes the tables of ``docs/costs.md`` by the code of ``bqx cost``: ``python -m benchmarks.cost_document``."""

from __future__ import annotations

from benchmarks.report import DOCUMENT
from bqx_assets.base.files import write_atomic
from bqx_assets.cli.bill import Usage
from bqx_assets.cli.cost import cost_markdown

PLACE = DOCUMENT.with_name("costs.md")
_BEGIN, _END = "<!-- tables: written by python -m benchmarks.cost_document -->", "<!-- end of tables -->"


def updated(document: str) -> str:
    """Return the document with today's tables."""
    before, found, rest = document.partition(_BEGIN)
    if not found:
        raise ValueError(f"no {_BEGIN}")
    return f"{before}{_BEGIN}\n\n{cost_markdown(Usage())}\n\n{_END}{rest.partition(_END)[2]}"


def main() -> None:
    """Write the tables into the document."""
    write_atomic(PLACE, updated(PLACE.read_text()).encode())


if __name__ == "__main__":
    main()
