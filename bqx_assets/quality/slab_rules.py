"""Judges an extraction: whether every table has a slab, and whether the warehouse's tables changed."""

from __future__ import annotations

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.quality.report import Finding, Rule, Verdict, count, sample

_ERRORS_SHOWN = 5
_ERROR_CHARACTERS = 500
"""Limits of the errors in the evidence: 667 failed tables must still make a small event in Dagster."""


def tables_complete(record: ExtractionRecord) -> Finding:
    """Judge whether every expected table has a slab."""
    slabs, failed = len(record.features()), record.failed
    errors = [f"{each.table}: {each.error}: {each.message}"[:_ERROR_CHARACTERS] for each in failed[:_ERRORS_SHOWN]]
    return Finding(
        passed=not failed,
        got=f"{count(slabs, 'slab')}, {count(len(failed), 'failed table')}",
        expected=f"{count(slabs + len(failed), 'slab')}, none failed",
        cure=f"Mend the tables and run again: bqx extract {record.pair}",
        evidence={
            "slabs": slabs,
            "failed": sample(each.table for each in failed),
            "first_errors": "\n".join(errors) or None,
            "known_absent": len(record.known_absent),
        },
    )


def no_drift(record: ExtractionRecord) -> Finding:
    """Judge whether tables or columns are unknown to the expectations, or changed since the last extraction."""
    left_out = [f"{slab.table}.{name}" for slab in record.features() for name in slab.provenance.left_out]
    return Finding(
        passed=not (record.unexpected or left_out or record.changes),
        got=f"{count(len(record.unexpected), 'unknown table')}, {count(len(left_out), 'unknown column')}, "
        f"{count(len(record.changes), 'change')}",
        expected="none",
        cure="Name new tables under accepted_tables in the expectations, or drop them.",
        evidence={
            "unknown_tables": sample(record.unexpected),
            "unknown_columns": sample(left_out),
            "changes": sample(record.changes),
        },
    )


SLAB_RULES: tuple[Rule[ExtractionRecord], ...] = (
    Rule("tables_complete", "Every expected table has a slab; none failed.", "error", tables_complete),
    Rule(
        "no_drift",
        "No table or column is unknown to the expectations, and none changed since the last extraction.",
        "warn",
        no_drift,
    ),
)


def slab_verdicts(record: ExtractionRecord) -> list[Verdict]:
    """Return the verdicts of all rules for slabs, also if tables of the extraction failed."""
    return [verdict for rule in SLAB_RULES if (verdict := rule.verdict(record)) is not None]
