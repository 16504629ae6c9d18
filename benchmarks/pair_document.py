"""``docs/performance-pair.md``: what extraction and a whole pair cost, each written by its own benchmark.

Belongs here: that document's two parts. Does not: figures, tables (``report``).
"""

from __future__ import annotations

from benchmarks.report import DOCUMENT, provenance
from bqx_assets.base.files import write_atomic

_PLACE = DOCUMENT.with_name("performance-pair.md")
_TITLE = "# Performance: extraction, and a whole pair under 2 GiB"


def write_part(name: str, text: str) -> None:
    """Print ``text`` and put it into the document, in place of what ``name``'s last run wrote."""
    print(f"\n{text}\n", flush=True)
    begin, end = f"<!-- {name}: written by the benchmark -->", f"<!-- end of {name} -->"
    document = _PLACE.read_text() if _PLACE.exists() else _TITLE
    before, found, rest = document.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    before = before if found else f"{document.rstrip()}\n\n"
    write_atomic(_PLACE, f"{before}{begin}\n{text}\n\n{provenance()}\n{end}{after}".encode())
