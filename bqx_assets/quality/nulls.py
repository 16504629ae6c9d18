"""Nulls of features: by family, or by table where a person approved the pair's own numbers.

Belongs here: the shares, and which of them are too great. Does not: the verdict
(``value_rules``), or rows that tables lack (``table_rows``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bqx_assets.base.names import SEPARATOR
from bqx_assets.catalogue.expectations import Expectations, family_word
from bqx_assets.catalogue.pair_facts import PairFacts
from bqx_assets.quality.columns import ColumnFacts
from bqx_assets.quality.scan import Scan


@dataclass(frozen=True, slots=True)
class NullFindings:
    """How many nulls features have, and where they have too many."""

    beyond: list[str]
    """One text a family or table."""
    shares: list[str]
    """One text a family that has any, most nulls first."""
    expected: str


def judge_nulls(scan: Scan, features: Sequence[ColumnFacts]) -> NullFindings:
    """Return the features' nulls, held against what is approved of the pair, else against the families' limits.

    A table that came after the approval has no approved number, and is held against the limits.
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
        return NullFindings(beyond, texts, _expected_of(scan, facts))
    limits = scan.expectations
    one = limits.max_feature_null_fraction
    expected = f"less than {one:.2%} in features" if isinstance(one, float) else _expected_by_family(limits)
    return NullFindings(_beyond_limits(limits, features), texts, expected)


def null_fraction(columns: Sequence[ColumnFacts]) -> float:
    """Return the share of nulls in all values of some columns."""
    cells = sum(column.rows for column in columns)
    return sum(column.nulls or 0 for column in columns) / cells if cells else 0.0


def nulls_by_table(scan: Scan, features: Sequence[ColumnFacts]) -> Mapping[str, Sequence[ColumnFacts]]:
    """Return the features' columns by warehouse table, as the manifest says it; by prefix where there is none."""
    slabs = scan.manifest.extraction.features() if scan.manifest is not None else ()
    tables = {column.name: slab.table for slab in slabs for column in slab.provenance.columns}
    return _grouped((tables.get(column.name, column.name.partition(SEPARATOR)[0]), column) for column in features)


def _beyond_limits(limits: Expectations, features: Sequence[ColumnFacts]) -> list[str]:
    """What is told of features that have more nulls than the limits allow: all together, or by family."""
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
