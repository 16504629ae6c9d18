"""What changed in a pair's tables since an earlier extraction, by name.

Belongs here: the comparison of two catalogues. Does not: deciding whether a change is allowed (``discovery``).
"""

from __future__ import annotations

from collections.abc import Mapping

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.catalogue.discovery import PairCatalogue


def drift(before: ExtractionRecord, now: PairCatalogue) -> list[str]:
    """Return one sentence for each table or column that appeared, vanished or changed its type since ``before``.

    Tables that failed then are not compared, for their columns were not recorded.
    """
    old = {slab.table: {c.source: c.type for c in slab.provenance.columns} for slab in before.features()}
    skipped = {failed.table for failed in before.failed}
    new = {each.description.table: {c.source: c.type for c in each.columns} for each in now.tables}
    found = [f"table {table} appeared" for table in sorted(new.keys() - old.keys() - skipped)]
    found += [f"table {table} vanished" for table in sorted(old.keys() - new.keys())]
    found += [f"table {table} appeared, left out" for table in now.unexpected if table not in before.unexpected]
    for table in sorted(old.keys() & new.keys()):
        found += _column_drift(table, old[table], new[table])
    return found


def _column_drift(table: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    found = [f"column {table}.{name} appeared" for name in sorted(new.keys() - old.keys())]
    found += [f"column {table}.{name} vanished" for name in sorted(old.keys() - new.keys())]
    return found + [
        f"column {table}.{name} changed from {old[name]} to {new[name]}"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name]
    ]
