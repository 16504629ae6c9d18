"""What ``feature_slabs`` says of its tables: all there, and as they were.

Belongs here: the two checks' definitions and their verdicts from an extraction record. Does not: the extraction.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.quality.report import Plain, Verdict
from bqx_assets.runtime.facts import shortened
from bqx_assets.runtime.keys import SLABS
from bqx_assets.runtime.verdicts import check_result, check_spec

_COMPLETE = "tables_complete"
_DRIFT = "no_drift"
_SAMPLE = 20


def slab_check_specs() -> list[dg.AssetCheckSpec]:
    """Return the checks that extraction itself gives the verdicts of, a failed extraction's included."""
    return [
        check_spec(_COMPLETE, SLABS, "Every expected table has a slab; none failed.", severity="error"),
        check_spec(
            _DRIFT,
            SLABS,
            "No table or column that the expectations do not know, and none that changed since the last extraction.",
            severity="warn",
        ),
    ]


def slab_results(record: ExtractionRecord, changes: Sequence[str]) -> list[dg.AssetCheckResult]:
    """Return both verdicts. ``changes``: sentences on what is another than at the last extraction."""
    return [check_result(SLABS, _complete(record)), check_result(SLABS, _drift(record, changes))]


def _complete(record: ExtractionRecord) -> Verdict:
    slabs, failed = len(record.features()), record.failed
    return Verdict(
        rule=_COMPLETE,
        passed=not failed,
        got=f"{slabs:,} slabs, {len(failed):,} failed tables",
        expected=f"{slabs + len(failed):,} slabs, none failed",
        cure=f"Mend the tables and run again: bqx extract {record.pair}" if failed else "",
        evidence={
            "slabs": slabs,
            "failed": _sample([each.table for each in failed]),
            "first_errors": shortened([f"{each.table}: {each.error}: {each.message}" for each in failed[:5]]) or None,
            "known_absent": len(record.known_absent),
        },
    )


def _drift(record: ExtractionRecord, changes: Sequence[str]) -> Verdict:
    left_out = [f"{slab.table}.{name}" for slab in record.features() for name in slab.provenance.left_out]
    found = len(record.unexpected) + len(left_out) + len(changes)
    return Verdict(
        rule=_DRIFT,
        passed=not found,
        severity="warn",
        got=f"{len(record.unexpected)} unknown tables, {len(left_out)} unknown columns, {len(changes)} changes",
        expected="none",
        cure="Name new tables under accepted_tables in the expectations, or drop them." if found else "",
        evidence={
            "unknown_tables": _sample(record.unexpected),
            "unknown_columns": _sample(left_out),
            "changes": _sample(changes),
        },
    )


def _sample(names: Sequence[str]) -> list[Plain]:
    more: list[Plain] = [f"and {len(names) - _SAMPLE} more"] if len(names) > _SAMPLE else []
    return [*names[:_SAMPLE], *more]
