"""The rule on each table's rows: as many of the spine's as its name lets expect, or exactly those approved.

Belongs here: that verdict, from the account of rows that every slab carries. Does not: nulls inside the
rows (``nulls``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bqx_assets.base.artifacts import RowAccount, SlabRecord
from bqx_assets.merge.raw_table import RAW_DATASET
from bqx_assets.quality.rule import NAMED, Finding, count, listed, no_manifest, sample
from bqx_assets.quality.scan import Scan


def tables_cover_spine(scan: Scan) -> Finding | None:
    """Judge how many of the spine's rows each table has, by its name: ten lost tables hide in an average over 667."""
    if scan.footer is None:
        return None
    if scan.manifest is None:
        return no_manifest("every table's rows on the spine, as many as usual")
    spine, slabs = scan.manifest.extraction.spine.rows, scan.manifest.extraction.features()
    rows = {slab.table: slab.provenance.rows for slab in slabs}
    incomplete = sorted((table for table in rows if rows[table].missing), key=lambda table: -rows[table].missing)
    told = _beyond(scan, slabs)
    lost = sorted(told, key=lambda table: (-rows[table].missing, table))
    empty = [table for table in incomplete if not rows[table].matched and table not in told]
    approved = scan.expectations.approved(scan.pair) is not None
    return Finding(
        passed=not lost,
        got=f"{count(len(lost), 'table')} with other rows than {'approved' if approved else 'such tables have'}: "
        + listed(told[table] for table in lost)
        if lost
        else f"{count(len(rows), 'table')}, none lacks more rows than {'approved' if approved else 'usual'}"
        + f"; {len(empty)} without any, kept: {listed(empty)}" * bool(empty),
        expected="each table has the rows that were approved"
        if approved
        else "no table lacks a greater share of the spine's rows than max_missing_fraction allows its name",
        cure=_cure(scan, slabs, lost),
        evidence={
            "tables": len(rows),
            "lost_rows": sample(told[table] for table in lost),
            "most_missing": sample(f"{table} {rows[table].missing / spine:.2%}" for table in incomplete),
            "missing_by_family": sample(_by_family(rows, spine)),
        },
    )


def _beyond(scan: Scan, slabs: Sequence[SlabRecord]) -> dict[str, str]:
    """What is told of each table that has not the rows it must have."""
    assert scan.manifest is not None  # noqa: S101 -- the caller looked
    spine, expectations = scan.manifest.extraction.spine, scan.expectations
    facts = expectations.approved(scan.pair)
    found: dict[str, str] = {}
    for slab in slabs:
        table, matched = slab.table, slab.provenance.rows.matched
        bounds = facts.matched_range(table, spine.fingerprint, spine.rows) if facts is not None else None
        if bounds is not None:
            if not bounds[0] <= matched <= bounds[1]:
                word = "exactly" if bounds[0] == bounds[1] else "at least"
                found[table] = f"{table} has {matched:,} of {spine.rows:,}, {word} {bounds[0]:,} approved"
            continue
        most = expectations.max_missing_rows(table, spine.rows)
        kept = not matched and expectations.may_be_empty(scan.pair, (c.name for c in slab.provenance.columns))
        if slab.provenance.rows.missing > most and not kept:
            found[table] = f"{table} has {matched:,} of {spine.rows:,} and may lack {most:,}"
    return found


def _cure(scan: Scan, slabs: Sequence[SlabRecord], lost: Sequence[str]) -> str:
    raw = any(slab.provenance.source.dataset == RAW_DATASET for slab in slabs)
    names = " ".join(f"--table {table}" for table in lost[:NAMED])
    again = (
        f"Fetch {listed(lost)} again, then repeat the merge. "
        if raw
        else f"Refill {listed(lost)} at the source, then: bqx extract {scan.pair} {names}; bqx merge {scan.pair}. "
    )
    return (
        f"{again}Where the source is right: bqx expectations propose {scan.pair}, and approve what it writes; or state "
        "the share under [max_missing_fraction] in the expectations."
    )


def _by_family(rows: Mapping[str, RowAccount], spine: int) -> list[str]:
    """The least and the greatest share of missing rows of each family that lacks any."""
    shares: dict[str, list[float]] = {}
    for table, account in rows.items():
        shares.setdefault(table.partition("_")[0], []).append(account.missing / spine)
    worst = sorted((family for family in shares if max(shares[family])), key=lambda family: -max(shares[family]))
    return [f"{family} {min(shares[family]):.1%} to {max(shares[family]):.1%}" for family in worst]
