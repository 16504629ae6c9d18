"""Judges rows, columns and tables: their numbers, names and order, and each table's share of the spine's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bqx_assets.base.artifacts import RowAccount, SlabRecord
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.extract.spine import describe_spine
from bqx_assets.merge.raw_part import RAW_DATASET
from bqx_assets.quality.report import NAMED, Finding, count, listed, no_manifest, sample
from bqx_assets.quality.scan import Scan

_Typed = tuple[str, str | None]


def dimensions(scan: Scan) -> Finding | None:
    """Judge the numbers of rows and columns against the users' thresholds; other rules judge the exact numbers."""
    if scan.footer is None:
        return None
    least = scan.expectations
    columns = len(scan.columns)
    slabs = scan.manifest.extraction.slabs if scan.manifest and columns < least.min_columns else ()
    left_out = [f"{each.table}.{each.column}" for slab in slabs for each in slab.provenance.quarantined]
    return Finding(
        passed=scan.rows >= least.min_rows and columns >= least.min_columns,
        got=f"{count(scan.rows, 'row')}, {count(columns, 'column')}"
        + f"; extraction left out {len(left_out):,} that look forward: {listed(left_out)}" * bool(left_out),
        expected=f"at least {count(least.min_rows, 'row')}, {count(least.min_columns, 'column')}",
        cure="Extract a longer range and all tables, or state other thresholds in the expectations.",
        evidence={
            "rows": scan.rows,
            "columns": columns,
            "judged_by": least.judged_by(scan.pair).sentence(scan.pair.name),
        }
        | ({"quarantined": sample(left_out)} if left_out else {}),
    )


def rows_equal_spine(scan: Scan) -> Finding | None:
    """Judge the rows against the spine: their number, their row groups and, in a deep pass, every key."""
    if scan.footer is None:
        return None
    if scan.manifest is None:
        return no_manifest("exactly the spine's rows")
    spine = scan.manifest.extraction.spine
    groups = scan.footer.row_groups
    got = count(scan.rows, "row")
    if len(spine.row_groups) > 1 or len(groups) > 1:
        got += f" in {count(len(groups), 'row group')}"
    same = scan.rows == spine.rows and groups == spine.row_groups
    if same and scan.deep:
        if scan.keys is None:
            return None
        same = describe_spine(scan.keys, spine.row_groups).fingerprint == spine.fingerprint
        got += "" if same else " with other keys"
    return Finding(
        passed=same,
        got=got,
        expected=f"{count(spine.rows, 'row')}, the spine's",
        cure=f"Rows were added, lost or changed after extraction: bqx merge {scan.pair}",
        evidence={"rows": scan.rows, "spine_rows": spine.rows, "first": str(spine.first), "last": str(spine.last)},
    )


def key_unique_and_ascending(scan: Scan) -> Finding | None:
    """Judge the key column: every row must have a key, and the keys must be unique and ascending."""
    if scan.footer is None:
        return None
    expected = f"{KEY} on every row, unique, ascending"
    cure = "Duplicate keys multiply rows in any join: extract and merge the pair anew."
    key = scan.of_role("key")
    if not key:
        return Finding(passed=False, got=f"no column {KEY}", expected=expected, cure=cure)
    if scan.keys is None:  # it holds no timestamps, or was not decoded
        decoded = key[0].nan is not None
        return Finding(passed=False, got="no timestamps", expected=expected, cure=cure) if decoded else None
    known = scan.keys.drop_nulls()
    nulls, repeated = scan.keys.null_count(), known.filter(known.is_duplicated())
    backward = int((known.to_physical().diff() < 0).sum())
    surplus = repeated.len() - repeated.n_unique()
    faults = [
        text
        for number, text in (
            (nulls, f"{count(nulls, 'row')} without key"),
            (surplus, f"{count(surplus, 'surplus row')} for {count(repeated.n_unique(), 'repeated key')}"),
            (backward, f"{count(backward, 'row')} earlier than the one before"),
        )
        if number
    ]
    return Finding(
        passed=not faults,
        got="; ".join(faults) or f"{count(known.len(), 'key')}, unique and ascending",
        expected=expected,
        cure=cure,
        evidence={
            "nulls": nulls,
            "surplus_rows": surplus,
            "out_of_order": backward,
            "repeated": sample(str(each) for each in repeated.unique().sort().head(5)),
        },
    )


def columns_equal_catalogue(scan: Scan) -> Finding | None:
    """Judge names, order and types against the manifest's columns, or without a manifest against the grammar's."""
    if scan.footer is None:
        return None
    got: list[_Typed] = [(column.name, column.type) for column in scan.columns]
    if scan.manifest is None:
        expected = _by_grammar(scan)
    else:
        slabs = scan.manifest.extraction.slabs
        expected = [(column.name, column.type) for slab in slabs for column in slab.provenance.columns]
    types, wanted = dict(got), dict(expected)
    missing = [name for name in wanted if name not in types]
    unknown = [name for name in types if name not in wanted]
    twice = [name for name, times in Counter(name for name, _ in got).items() if times > 1]
    retyped = [
        f"{name} is {types[name]}, not {wanted[name]}"
        for name in wanted
        if types.get(name, wanted[name]) != wanted[name]
    ]
    common = ([name for name in types if name in wanted], [name for name in wanted if name in types])
    moved = [f"{here} where {there} belongs" for here, there in zip(*common, strict=True) if here != there]
    faults = {
        "missing": missing,
        "not in the catalogue": unknown,
        "twice": twice,
        "of another type": retyped,
        "out of order": moved,
    }
    got_text = "; ".join(f"{len(names):,} {word}: {listed(names)}" for word, names in faults.items() if names)
    return Finding(
        passed=got == expected,
        # Without a manifest nothing is known about the tables at their snapshot; the grammar only states what they
        # should be.
        severity=None if scan.manifest else "warn",
        got=got_text or f"{len(got):,} columns, all as expected",
        expected=f"{len(expected):,} columns, those of the {'manifest' if scan.manifest else 'grammar'}",
        cure=f"Extract and merge anew: bqx extract {scan.pair}; bqx merge {scan.pair}",
        evidence={word.replace(" ", "_"): sample(names) for word, names in faults.items() if names},
    )


def _by_grammar(scan: Scan) -> list[_Typed]:
    """Return the columns that the families' rules give for the pair, in order."""
    columns: list[_Typed] = [(KEY, "TIMESTAMP"), *((name, "FLOAT64") for name in scan.expectations.targets())]
    absent = scan.expectations.absent(scan.pair)
    for table in expected_tables(scan.pair):
        if table.table not in absent:
            prefix = table_prefix(table.table, scan.pair)
            columns += [
                (output_column(prefix, name), type_name)
                for name, type_name in table.columns
                if not name.startswith(FORWARD_PREFIX)
            ]
    return columns


def tables_equal_catalogue(scan: Scan) -> Finding | None:
    """Judge the manifest's tables against the grammar, one by one: a threshold once let 10% of them go missing."""
    if scan.footer is None:
        return None
    if scan.manifest is None:
        return no_manifest("every table of the catalogue")
    extraction, expectations = scan.manifest.extraction, scan.expectations
    merged = {slab.table for slab in extraction.features()}
    grammar = {table.table for table in expected_tables(scan.pair)}
    lacking = grammar - merged - expectations.absent(scan.pair).keys()
    # An allowed number of absent tables applies to a whole warehouse, and only a listing of it can count them. A folder
    # of raw checkpoints was compared with no warehouse, so nothing is excused there: it could lack 13 tables of a pair.
    counted = lacking & extraction.known_absent.keys()
    missing = sorted(lacking - expectations.excused_absent(scan.pair, counted).keys())
    unknown = sorted(merged - grammar - {*expectations.accepted_tables})
    failed = [each.table for each in extraction.failed]
    faults = {"missing": missing, "not in the catalogue": unknown, "failed at extraction": failed}
    absent = sorted(grammar - merged - {*missing})
    return Finding(
        passed=not any(faults.values()),
        got="; ".join(f"{len(names):,} {word}: {listed(names)}" for word, names in faults.items() if names)
        or f"{count(len(merged), 'table')}"
        + (f", {len(absent):,} known to be absent: {listed(absent)}" * bool(absent)),
        expected=f"{count(len(grammar) - len(absent), 'table')} of the catalogue",
        cure="Extract the missing tables. Where the warehouse has none: bqx expectations propose "
        f"{scan.pair}, and approve what it writes; or name them with their reason under [known_absent].",
        evidence={word.replace(" ", "_"): sample(names) for word, names in faults.items() if names}
        | ({"absent": sample(absent)} if absent else {}),
    )


def targets_complete(scan: Scan) -> Finding | None:
    """Judge whether every window has a target at every horizon."""
    if scan.footer is None:
        return None
    wanted = scan.expectations.targets()
    types = {column.name: column.type for column in scan.columns}
    missing = [name for name in wanted if name not in types]
    retyped = [f"{name} is {types[name]}" for name in wanted if types.get(name, "FLOAT64") != "FLOAT64"]
    windows, horizons = len(scan.expectations.windows), len(scan.expectations.horizons)
    got = f"{len(wanted) - len(missing)} of {len(wanted)}"
    return Finding(
        passed=not missing and not retyped,
        got=got + f"; missing {listed(missing)}" * bool(missing) + f"; {listed(retyped)}" * bool(retyped),
        expected=f"{windows} windows x {horizons} horizons = {len(wanted)} FLOAT64 targets",
        cure=f"Extract the targets anew: bqx extract {scan.pair}",
        evidence={"missing": sample(missing), "of_another_type": sample(retyped)},
    )


def tables_cover_spine(scan: Scan) -> Finding | None:
    """Judge each table's number of rows on the spine by itself, because an average over 667 hides ten lost tables."""
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
        got=f"{count(len(lost), 'table')} with another number of rows than {'approved' if approved else 'usual'}: "
        + listed(told[table] for table in lost)
        if lost
        else f"{count(len(rows), 'table')}, none lacks more rows than {'approved' if approved else 'usual'}"
        + f"; {len(empty)} without any, kept: {listed(empty)}" * bool(empty),
        expected="each table has the approved number of rows"
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
    """Return a text for each table whose number of rows is not the required one."""
    assert scan.manifest is not None  # noqa: S101 -- the caller looked
    spine, expectations = scan.manifest.extraction.spine, scan.expectations
    facts = expectations.approved(scan.pair)
    found: dict[str, str] = {}
    for slab in slabs:
        table, rows = slab.table, slab.provenance.rows
        matched = rows.matched
        if not rows.adds_up(spine.rows):
            told = f"{rows.matched + rows.extra + rows.duplicates:,} of {rows.read:,} rows that were read"
            found[table] = f"{table} accounts for {told}, {matched + rows.missing:,} of {spine.rows:,} of the spine"
            continue
        bounds = facts.matched_range(table, spine.fingerprint, spine.rows) if facts is not None else None
        if bounds is not None:
            if not bounds[0] <= matched <= bounds[1]:
                word = "exactly" if bounds[0] == bounds[1] else "at least"
                found[table] = f"{table} has {matched:,} of {spine.rows:,}, {word} {bounds[0]:,} approved"
            continue
        most = expectations.max_missing_rows(table, spine.rows)
        kept = not matched and expectations.may_be_empty(scan.pair, (c.name for c in slab.provenance.columns))
        if rows.missing > most and not kept:
            found[table] = f"{table} has {matched:,} of {spine.rows:,} and may lack {most:,}"
    return found


def _cure(scan: Scan, slabs: Sequence[SlabRecord], lost: Sequence[str]) -> str:
    """Return the advice for tables that lack rows: raw checkpoints are fetched again, others extracted again."""
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
    """Return the smallest and the greatest share of missing rows for each family that lacks any."""
    shares: dict[str, list[float]] = {}
    for table, account in rows.items():
        shares.setdefault(table.partition("_")[0], []).append(account.missing / spine)
    worst = sorted((family for family in shares if max(shares[family])), key=lambda family: -max(shares[family]))
    return [f"{family} {min(shares[family]):.1%} to {max(shares[family]):.1%}" for family in worst]
