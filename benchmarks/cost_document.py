"""``docs/costs.md``: its tables, written by the code that ``bqx cost`` runs.

``python -m benchmarks.cost_document``. Belongs here: where in the document they stand. Does not: prices, tables.
"""

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
    """Write them."""
    write_atomic(PLACE, updated(PLACE.read_text()).encode())


if __name__ == "__main__":
    main()
