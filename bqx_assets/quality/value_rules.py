"""Rules about values: enough of them, finite, varied, and as the footer states.

Belongs here: verdicts from the columns' counts and bounds. Does not: what values mean in time (``future_rules``).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from bqx_assets.catalogue.expectations import Expectations, target_name
from bqx_assets.quality.columns import ColumnFacts
from bqx_assets.quality.rule import Finding, count, listed, sample
from bqx_assets.quality.scan import Scan

_WORST = 10


def features_non_zero(scan: Scan) -> Finding | None:
    """Judge whether there are features, and any that is not zero throughout."""
    if scan.footer is None:
        return None
    features = scan.of_role("feature")
    numbers = [column for column in features if column.type in ("FLOAT64", "INT64")]
    zero = [column.name for column in numbers if column.zero]
    live = any(column.zero is False and not column.all_null for column in numbers)
    if features and not live and any(column.zero is None for column in numbers):
        return None
    return Finding(
        passed=bool(features) and live,
        got=f"{count(len(features), 'feature')}, {len(zero):,} of {len(numbers):,} numeric ones zero throughout",
        expected="features, and values other than zero in them",
        cure=f"Look at the tables' sources, then: bqx extract {scan.pair}",
        evidence={"features": len(features), "zero_throughout": len(zero), "names": sample(zero)},
    )


def completeness(scan: Scan) -> Finding | None:
    """Judge the share of nulls over all features, and over all targets beyond what windows and horizons leave unknown.

    How many rows those are exactly, ``target_ends`` judges by the values.
    """
    features, targets = scan.of_role("feature"), scan.of_role("target")
    if not scan.rows or any(column.nulls is None for column in features + targets):
        return None
    limit = scan.expectations
    of_features, of_targets = _null_fraction(features), _null_fraction(targets)
    explained = _unknown_at_ends(limit)
    beyond = sum(max(0, (column.nulls or 0) - explained.get(column.name, 0)) for column in targets)
    unexplained = beyond / max(1, sum(column.rows for column in targets))
    worst = sorted((c for c in features + targets if c.nulls), key=lambda c: -(c.nulls or 0))[:_WORST]
    return Finding(
        passed=of_features < limit.max_feature_null_fraction and unexplained < limit.max_target_null_fraction,
        got=f"{of_features:.2%} null in features, {of_targets:.2%} in targets, "
        f"{unexplained:.2%} beyond their windows and horizons",
        expected=f"less than {limit.max_feature_null_fraction:.2%} and {limit.max_target_null_fraction:.2%}",
        cure="Look at the worst columns' tables: rows missing at the source, or a range that starts inside warm-up.",
        evidence={
            "feature_null_fraction": of_features,
            "feature_excess": max(0.0, of_features - limit.max_feature_null_fraction),
            "target_null_fraction": of_targets,
            "target_excess": max(0.0, unexplained - limit.max_target_null_fraction),
            "worst": [f"{column.name} {(column.nulls or 0) / scan.rows:.1%}" for column in worst],
        },
    )


def _unknown_at_ends(expectations: Expectations) -> dict[str, int]:
    """How many rows may lack each target, at most: before its window is full, and where its horizon is to come."""
    window, horizon = min(expectations.windows), min(expectations.horizons)
    return {
        target_name(w, h): max(0, w - h - (window - horizon)) + h - horizon
        for w in expectations.windows
        for h in expectations.horizons
    }


def no_unexpected_all_null(scan: Scan) -> Finding | None:
    """Judge columns without any value: kept and reported, and stopping a release unless the expectations list them."""
    return _beyond(scan, "all_null", scan.expectations.allowed_all_null, "without any value")


def no_unexpected_constant(scan: Scan) -> Finding | None:
    """Judge columns of one value: kept and reported. A flag may rest for a whole range, so it stops nothing."""
    return _beyond(scan, "constant", scan.expectations.allowed_constant, "of one value only")


def no_nan_or_infinity(scan: Scan) -> Finding | None:
    """Judge whether unknown values are null, never NaN, and no value is infinite."""
    bad = [column for column in scan.columns if column.nan or column.infinite]
    if not bad and (not scan.columns or any(column.nan is None for column in scan.columns)):
        return None
    nan, infinite = sum(column.nan or 0 for column in bad), sum(column.infinite or 0 for column in bad)
    names = [f"{column.name}: {column.nan or 0:,} NaN, {column.infinite or 0:,} infinite" for column in bad]
    return Finding(
        passed=not bad,
        got=f"{nan:,} NaN, {infinite:,} infinite" + f" in {listed(column.name for column in bad)}" * bool(bad),
        expected="none",
        cure="Correct the division or logarithm at the source: a null says unknown, a NaN spreads.",
        evidence={"nan": nan, "infinite": infinite, "columns": sample(names)},
    )


def statistics_equal_values(scan: Scan) -> Finding | None:
    """Judge the footer's null counts and bounds against the decoded values: readers skip by them."""
    bad = [f"{column.name}: {column.disagrees}" for column in scan.columns if column.disagrees]
    if not bad and (not scan.columns or any(column.disagrees is None for column in scan.columns)):
        return None
    found = f"{count(len(bad), 'column')} otherwise: {listed(bad)}" if bad else f"{len(scan.columns):,} columns agree"
    unchecked = f"; page indexes or Bloom filters of {len(scan.unchecked):,} not checked" * bool(scan.unchecked)
    return Finding(
        passed=not bad,
        got=found + unchecked,
        expected="every column chunk's null count, min and max as its values",
        cure=f"The footer is not that of these slabs: bqx merge {scan.pair}",
        evidence={"columns": sample(bad), "unchecked": sample(scan.unchecked)},
    )


def _null_fraction(columns: Sequence[ColumnFacts]) -> float:
    cells = sum(column.rows for column in columns)
    return sum(column.nulls or 0 for column in columns) / cells if cells else 0.0


def _beyond(scan: Scan, fact: str, allowed: Sequence[str], words: str) -> Finding | None:
    known = {column.name: getattr(column, fact) for column in scan.columns}
    there = [name for name, value in known.items() if value]
    bad = [name for name in there if not any(fnmatchcase(name, pattern) for pattern in allowed)]
    if not bad and (not known or any(value is None for value in known.values())):
        return None
    return Finding(
        passed=not bad,
        got=f"{count(len(bad), 'column')} {words} beyond the {len(there) - len(bad):,} allowed"
        + f": {listed(bad)}" * bool(bad),
        expected=f"none but those of allowed_{fact}",
        cure=f"Look at the columns' source; where that is right, add them to allowed_{fact} in the expectations.",
        evidence={"beyond": len(bad), "allowed": len(there) - len(bad), "names": sample(bad)},
    )
