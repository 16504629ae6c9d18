"""Judges the use of time: targets must be future values, and features must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bqx_assets.base.names import SEPARATOR, target_name
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.quality.report import Finding, count, listed, sample
from bqx_assets.quality.scan import Scan
from bqx_assets.quality.target_checks import BQX_PREFIX, Comparison


def no_feature_looks_forward(scan: Scan) -> Finding | None:
    """Judge features by name (``target*`` after the prefix) and by value (BQX of a later row, or its negative)."""
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
            else f"Extraction leaves such columns out when it reads their tables: bqx extract {scan.pair} --anew"
        ),
        severity="warn" if asked_for else None,
        evidence={"by_name": sample(named), "by_value": sample(reasons)},
    )


def targets_are_the_future(scan: Scan) -> Finding | None:
    """Compare each target with its window's nearest horizon, and with the feature bqx_w, h rows later."""
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
        got=f"not the future values: {listed(culprits)}; {failed[0]}" if failed else got,
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


def target_ends(scan: Scan) -> Finding | None:
    """Judge the nulls at both ends of each target: their numbers must follow from its window and its horizon.

    The first BQX of w rows is that of row w, counted from the source's first bar. So ``target_bqx{w}_h{h}`` lacks the
    first ``w - h - s`` rows of a file that begins at row s, and s is the same for all targets. For a whole history s is
    45, where the BQX of the shortest window begins. For a later range s is larger; if it is larger than every window,
    no target lacks a first row. At the end a target lacks as many rows as its horizon reaches beyond the last bar.
    """
    facts = {column.name: column for column in scan.of_role("target")}
    windows, horizons = scan.expectations.windows, scan.expectations.horizons
    there = {(w, h): facts[name] for w in windows for h in horizons if (name := target_name(w, h)) in facts}
    if scan.keys is None or not there or any(column.tail is None for column in there.values()):
        return None
    held = {each: column for each, column in there.items() if column.head is not None}
    times = scan.keys.to_physical().to_numpy()
    head = End({column.name: (w - h, column.head or 0) for (w, h), column in held.items()}, times)
    tail = End({column.name: (h, column.tail or 0) for (_, h), column in held.items()}, -times[::-1])
    wrong = {each: f"{text} at the head" for each, text in head.wrong().items()}
    wrong |= {each: f"{text} at the tail" for each, text in tail.wrong().items()}
    most = [max((nulls for _, nulls in end.unknown.values()), default=0) for end in (head, tail)]
    told = [f"{name} lacks {text}" for name, text in wrong.items()]
    return Finding(
        passed=not wrong,
        got=f"{count(len(wrong), 'target')} with other nulls: {listed(told)}"
        if wrong
        else f"{count(len(held), 'target')} lack up to {most[0]:,} rows at the head and {most[1]:,} at the tail",
        expected="nulls at the ends exactly where a window or horizon reaches beyond the bars",
        cure=f"Values are missing or filled in: rebuild targets_{scan.pair} at the source, then: bqx extract "
        f"{scan.pair}; bqx merge {scan.pair}",
        evidence={"targets": sample(told)},
    )


@dataclass(frozen=True, slots=True)
class End:
    """The nulls at one end of all targets."""

    unknown: Mapping[str, tuple[int, int]]
    """For each target, the first row of the source that has a value, and the number of nulls."""
    times: npt.NDArray[np.int64]
    """The file's keys, ascending from this end."""

    def wrong(self) -> dict[str, str]:
        """Return a text for each target whose nulls are not the rows from the file's first one to its first value."""
        begins = Counter(first - nulls for first, nulls in self.unknown.values() if nulls)
        begin = begins.most_common(1)[0][0] if begins else max((first for first, _ in self.unknown.values()), default=0)
        found = {
            name: f"{nulls:,} rows, not {max(0, first - begin):,},"
            for name, (first, nulls) in self.unknown.items()
            if nulls != max(0, first - begin)
        }
        return {} if found and self._gaps_explain() else found

    def _gaps_explain(self) -> bool:
        """Return whether missing bars explain the numbers: each one may reduce the nulls by one, never add one."""
        steps = np.diff(self.times)
        bar = int(np.median(steps)) if steps.size else 1
        before = np.concatenate([[0], np.cumsum(np.maximum(0, steps // max(1, bar) - 1))])
        ordered = sorted({*self.unknown.values()})
        for (first, nulls), (later, more) in pairwise(ordered):
            short = (later - first) - (more - nulls)
            if more < nulls or short < 0 or (nulls and short > before[more] - before[nulls - 1]):
                return False
        return True


def _culprits(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the columns whose comparisons all failed; among these, those with the most comparisons."""
    held = Counter(name for each in comparisons for name in (each.column, each.other))
    failed = Counter(name for each in comparisons if each.failed for name in (each.column, each.other))
    wholly = {name: times for name, times in failed.items() if times == held[name]} or failed
    most = max(wholly.values(), default=0)
    return sorted(name for name, times in wholly.items() if times == most)
