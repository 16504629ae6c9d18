"""Judges values: their number, whether they are finite and vary, and whether the footer's statistics are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bqx_assets.base.column_types import is_number
from bqx_assets.base.names import SEPARATOR, target_name
from bqx_assets.catalogue.expectations import Expectations, PairFacts, family_word, fits
from bqx_assets.quality.report import Finding, count, listed, sample
from bqx_assets.quality.scan import ColumnFacts, Scan

NULL_SHARE = "null_share_"
"""The beginning of the names of a verdict's evidence on the share of nulls by family."""
_WORST = 10


def features_non_zero(scan: Scan) -> Finding | None:
    """Judge whether there are features, and any that is not zero throughout."""
    if scan.footer is None:
        return None
    features = scan.of_role("feature")
    numbers = [column for column in features if is_number(column.type)]
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
    """Judge the share of nulls in features, and in targets without the nulls that windows and horizons explain.

    Features are judged by family, as the expectations limit them, or by table where a person approved the pair's own
    numbers. ``target_ends`` judges exactly how many rows the targets lack.
    """
    features, targets = scan.of_role("feature"), scan.of_role("target")
    if not scan.rows or any(column.nulls is None for column in features + targets):
        return None
    limit = scan.expectations
    of_features, of_targets = null_fraction(features), null_fraction(targets)
    explained = _unknown_at_ends(limit)
    beyond = sum(max(0, (column.nulls or 0) - explained.get(column.name, 0)) for column in targets)
    unexplained = beyond / max(1, sum(column.rows for column in targets))
    judged = judge_nulls(scan, features)
    worst = sorted((c for c in features + targets if c.nulls), key=lambda c: -(c.nulls or 0))[:_WORST]
    gates = limit.earlier_gates
    earlier = [
        _earlier("features", of_features, gates.feature_null_fraction),
        _earlier("targets", of_targets, gates.target_null_fraction),
    ]
    return Finding(
        passed=not judged.beyond and unexplained < limit.max_target_null_fraction,
        got=f"{of_features:.2%} null in features"
        + f", too many in {listed(judged.beyond)}" * bool(judged.beyond)
        + f", {of_targets:.2%} in targets, {unexplained:.2%} beyond their windows and horizons",
        expected=f"{judged.expected}, and less than {limit.max_target_null_fraction:.2%} in targets",
        cure="Look at these tables' source: rows missing there, or a range that starts inside warm-up (BQX_START after "
        f"it helps). If they are right: bqx expectations propose {scan.pair}, and approve what it writes.",
        evidence={
            "feature_null_fraction": of_features,
            "target_null_fraction": of_targets,
            "target_excess": max(0.0, unexplained - limit.max_target_null_fraction),
            "beyond": sample(judged.beyond),
            "by_family": sample(judged.texts),
            **{f"{NULL_SHARE}{family}": share for family, share in judged.shares.items()},
            "worst": [f"{column.name} {(column.nulls or 0) / scan.rows:.1%}" for column in worst],
            "earlier_gates": sample(earlier),
        },
    )


def _earlier(what: str, share: float, gate: float) -> str:
    word = "would have passed" if share < gate else "would have failed"
    return f"{share:.2%} null in {what} {word} the earlier gate of {gate:.0%} (for information)"


def _unknown_at_ends(expectations: Expectations) -> dict[str, int]:
    """Return the number of values that each target may lack: before its window is full, and beyond the last bar."""
    window, horizon = min(expectations.windows), min(expectations.horizons)
    return {
        target_name(w, h): max(0, w - h - (window - horizon)) + h - horizon
        for w in expectations.windows
        for h in expectations.horizons
    }


def no_unexpected_all_null(scan: Scan) -> Finding | None:
    """Judge columns without any value, which are kept, but stop a release unless the expectations list them."""
    there = [column.name for column in scan.columns if column.all_null]
    beyond = scan.expectations.beyond_all_null(scan.pair, there)
    return _beyond(scan, "all_null", there, beyond, "without any value")


def no_unexpected_constant(scan: Scan) -> Finding | None:
    """Judge columns of a single value, which are kept and stop nothing, because a flag may never change in a range."""
    there = [column.name for column in scan.columns if column.constant]
    facts = scan.expectations.approved(scan.pair)
    known = facts.constant if facts is not None else ()
    beyond = [name for name in there if name not in known and not fits(name, scan.expectations.allowed_constant)]
    return _beyond(scan, "constant", there, beyond, "of one value only")


def no_nan_or_infinity(scan: Scan) -> Finding | None:
    """Judge whether all values are finite: unknown values must be null, not NaN."""
    bad = [column for column in scan.columns if column.nan or column.infinite]
    if not bad and (not scan.columns or any(column.nan is None for column in scan.columns)):
        return None
    nan, infinite = sum(column.nan or 0 for column in bad), sum(column.infinite or 0 for column in bad)
    names = [f"{column.name}: {column.nan or 0:,} NaN, {column.infinite or 0:,} infinite" for column in bad]
    return Finding(
        passed=not bad,
        got=f"{nan:,} NaN, {infinite:,} infinite" + f" in {listed(column.name for column in bad)}" * bool(bad),
        expected="none",
        cure="Correct the division or logarithm at the source: a null means unknown, a NaN spreads.",
        evidence={"nan": nan, "infinite": infinite, "columns": sample(names)},
    )


def statistics_equal_values(scan: Scan) -> Finding | None:
    """Judge the footer's null counts and bounds against the decoded values: readers skip row groups by them."""
    bad = [f"{column.name}: {column.disagrees}" for column in scan.columns if column.disagrees]
    if not bad and (not scan.columns or any(column.disagrees is None for column in scan.columns)):
        return None
    found = f"{count(len(bad), 'column')} with others: {listed(bad)}" if bad else f"{len(scan.columns):,} columns agree"
    unchecked = f"; page indexes or Bloom filters of {len(scan.unchecked):,} not checked" * bool(scan.unchecked)
    return Finding(
        passed=not bad,
        got=found + unchecked,
        expected="the null count, minimum and maximum of every column chunk as its values have them",
        cure=f"The footer does not belong to these slabs: bqx merge {scan.pair}",
        evidence={"columns": sample(bad), "unchecked": sample(scan.unchecked)},
    )


def _beyond(scan: Scan, fact: str, there: Sequence[str], bad: Sequence[str], words: str) -> Finding | None:
    if not bad and (not scan.columns or any(getattr(column, fact) is None for column in scan.columns)):
        return None
    allowed = [name for name in there if name not in {*bad}]
    approved = scan.expectations.approved(scan.pair) is not None
    return Finding(
        passed=not bad,
        got=f"{count(len(bad), 'column')} {words} beyond the {len(allowed):,} allowed"
        + f": {listed(bad)}" * bool(bad)
        + f"; kept: {listed(allowed)}" * bool(allowed and not bad and fact == "all_null"),
        expected=f"none but those approved for {scan.pair}" if approved else f"none but those of allowed_{fact}",
        cure=f"Look at the columns' source. Where it is right: bqx expectations propose {scan.pair}, and approve what "
        f"it writes; or add them to allowed_{fact} in the expectations.",
        evidence={"beyond": len(bad), "allowed": len(allowed), "names": sample(bad), "kept": sample(allowed)},
    )


@dataclass(frozen=True, slots=True)
class NullFindings:
    """The shares of nulls in features, and the families or tables with too many."""

    beyond: list[str]
    """One text for each family or table with too many nulls."""
    texts: list[str]
    """One text for each family that has nulls, the greatest share first."""
    shares: Mapping[str, float]
    """The share of each family, 0 to 1."""
    expected: str


def judge_nulls(scan: Scan, features: Sequence[ColumnFacts]) -> NullFindings:
    """Judge the features' nulls by the numbers approved for the pair, or without these by the families' limits.

    A table that was added after the approval has no approved number, and is judged by the limits.
    """
    families = _grouped((family_word(column.name), column) for column in features)
    shares = {family: null_fraction(columns) for family, columns in families.items()}
    order = sorted((family for family in shares if shares[family]), key=lambda family: -shares[family])
    texts = [f"{family} {shares[family]:.2%}" for family in order]
    facts = scan.expectations.approved(scan.pair)
    if facts is not None:
        tables = nulls_by_table(scan, features)
        later = [column for table in tables if table not in facts.tables for column in tables[table]]
        beyond = [*_by_table(scan, tables, facts), *_beyond_limits(scan.expectations, later)]
        return NullFindings(beyond, texts, shares, _expected_of(scan, facts))
    limits = scan.expectations
    one = limits.max_feature_null_fraction
    expected = f"less than {one:.2%} in features" if isinstance(one, float) else _expected_by_family(limits)
    return NullFindings(_beyond_limits(limits, features), texts, shares, expected)


def null_fraction(columns: Sequence[ColumnFacts]) -> float:
    """Return the share of nulls in all values of some columns."""
    cells = sum(column.rows for column in columns)
    return sum(column.nulls or 0 for column in columns) / cells if cells else 0.0


def nulls_by_table(scan: Scan, features: Sequence[ColumnFacts]) -> Mapping[str, Sequence[ColumnFacts]]:
    """Return the features' columns by warehouse table, as the manifest states it; by prefix without a manifest."""
    slabs = scan.manifest.extraction.features() if scan.manifest is not None else ()
    tables = {column.name: slab.table for slab in slabs for column in slab.provenance.columns}
    return _grouped((tables.get(column.name, column.name.partition(SEPARATOR)[0]), column) for column in features)


def _beyond_limits(limits: Expectations, features: Sequence[ColumnFacts]) -> list[str]:
    """Return a text for all features together, or for each family, that has more nulls than the limits allow."""
    if isinstance(limits.max_feature_null_fraction, float):
        return ["all of them together"] if features and null_fraction(features) >= limits.max_null_share("") else []
    families = _grouped((family_word(column.name), column) for column in features)
    shares = {family: null_fraction(columns) for family, columns in families.items()}
    return [
        f"{family} {shares[family]:.2%} ({_worst_table(families[family])})"
        for family in sorted(shares, key=lambda family: -shares[family])
        if shares[family] and shares[family] >= limits.max_null_share(family)
    ]


def _by_table(scan: Scan, tables: Mapping[str, Sequence[ColumnFacts]], facts: PairFacts) -> list[str]:
    spine = scan.manifest.extraction.spine.fingerprint if scan.manifest is not None else ""
    found: list[str] = []
    for table, columns in tables.items():
        nulls = sum(column.nulls or 0 for column in columns)
        bounds = facts.null_range(table, spine, scan.rows, len(columns))
        if bounds is not None and not bounds[0] <= nulls <= bounds[1]:
            exact = bounds[0] == bounds[1]
            found.append(f"{table} {nulls:,} ({'' if exact else 'at most '}{bounds[1]:,} approved)")
    return found


def _expected_of(scan: Scan, facts: PairFacts) -> str:
    same = scan.manifest is not None and scan.manifest.extraction.spine.fingerprint == facts.spine
    return "as many nulls in each table as approved" + ("" if same else f", or {facts.drift:.0%} of its values more")


def _expected_by_family(limits: Expectations) -> str:
    shares = limits.max_feature_null_fraction
    pairs = shares.items() if isinstance(shares, dict) else ()
    return "less than " + ", ".join(f"{'others' if name == '*' else name} {share:.0%}" for name, share in pairs)


def _worst_table(columns: Sequence[ColumnFacts]) -> str:
    by_prefix = _grouped((column.name.partition(SEPARATOR)[0], column) for column in columns)
    worst = max(by_prefix, key=lambda prefix: null_fraction(by_prefix[prefix]))
    return f"most in {worst}, {null_fraction(by_prefix[worst]):.0%}"


def _grouped(pairs: Iterable[tuple[str, ColumnFacts]]) -> dict[str, list[ColumnFacts]]:
    found: dict[str, list[ColumnFacts]] = {}
    for name, column in pairs:
        found.setdefault(name, []).append(column)
    return found
