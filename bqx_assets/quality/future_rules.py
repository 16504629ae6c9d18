"""Rules about time: targets are the future, features are not.

Belongs here: verdicts from names and from the look into the future. Does not: the look itself (``future``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bqx_assets.base.names import SEPARATOR
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.quality.future import BQX_PREFIX, Comparison
from bqx_assets.quality.rule import Finding, count, listed, sample
from bqx_assets.quality.scan import Scan


def no_feature_looks_forward(scan: Scan) -> Finding | None:
    """Judge features by name (``target*`` behind the prefix) and by value (a later row's BQX, or its negative)."""
    if scan.footer is None:
        return None
    features = scan.of_role("feature")
    named = [c.name for c in features if c.name.rpartition(SEPARATOR)[2].lower().startswith(FORWARD_PREFIX)]
    valued = {column.name: column.forward for column in features if column.forward}
    if not named and not valued and any(column.forward is None for column in features):
        return None
    leaks = [*valued, *(name for name in named if name not in valued)]
    asked_for = scan.manifest is not None and scan.manifest.extraction.forward_looking_included
    reasons = [f"{name}: {valued.get(name) or f'named {FORWARD_PREFIX}*'}" for name in leaks]
    return Finding(
        passed=not leaks,
        got=f"{count(len(leaks), 'feature')} looking forward: {listed(reasons)}" if leaks else "none",
        expected="no feature that knows the future",
        cure="They leak the label. "
        + (
            "Asked for by BQX_INCLUDE_FORWARD_LOOKING: train on none of them."
            if asked_for
            else f"Extraction leaves such columns out: bqx extract {scan.pair}"
        ),
        severity="warn" if asked_for else None,
        evidence={"by_name": sample(named), "by_value": sample(reasons)},
    )


def targets_are_the_future(scan: Scan) -> Finding | None:
    """Judge each target against its window's nearest horizon, and against the feature bqx_w, h rows later."""
    if scan.future is None or not scan.future.comparisons:
        return None
    found = scan.future.comparisons
    failed = [each for each in found if each.failed]
    compared = sum(each.compared for each in found)
    crossing = sum(each.differing for each in found if not each.failed)
    expected = "each target equal to its window's BQX that many rows later"
    if not compared:
        return Finding(passed=False, severity="warn", got="not checked: no two rows to compare", expected=expected)
    culprits = _culprits(found)
    by_feature = len({each.other for each in found if each.other.startswith(BQX_PREFIX)})
    got = f"{compared:,} values equal, {by_feature} windows also by their feature"
    if crossing:
        got += f"; {crossing:,} differ across rows that the spine left out"
    return Finding(
        passed=not failed,
        got=f"{listed(culprits)} not the future: {failed[0]}" if failed else got,
        expected=expected,
        cure="The targets are shifted or not of this pair's rows: rebuild them at the source and extract anew.",
        evidence={
            "compared": compared,
            "differing": sum(each.differing for each in found),
            "across_gaps": crossing,
            "columns": sample(culprits),
            "comparisons": sample(str(each) for each in failed),
        },
    )


def _culprits(comparisons: Sequence[Comparison]) -> list[str]:
    """Columns of which every comparison failed; of these, the ones most often held against others."""
    held = Counter(name for each in comparisons for name in (each.column, each.other))
    failed = Counter(name for each in comparisons if each.failed for name in (each.column, each.other))
    wholly = {name: times for name, times in failed.items() if times == held[name]} or failed
    most = max(wholly.values(), default=0)
    return sorted(name for name, times in wholly.items() if times == most)
