"""Shows what a command found or made: sentences and tables for people, and the same facts as JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from bqx_assets.base.artifacts import ExtractionRecord, Manifest
from bqx_assets.base.printable import printable, some_of
from bqx_assets.cli.failures import pasteable
from bqx_assets.cli.session import Cost
from bqx_assets.extract.plan import FamilyPlan, PairPlan, PeriodCounts
from bqx_assets.quality.report import Report, Verdict
from bqx_assets.release.lifecycle import StorePolicy
from bqx_assets.release.publish import Published
from bqx_assets.release.published import Standing, State, verified_text
from bqx_assets.release.retention import Removed
from bqx_assets.release.status import PairStatus

_SAMPLE = 8
"""Greatest number of names in a line; ``--json`` has all of them."""
_REASONS = 3
"""Greatest number of lines about absent tables, a reason each."""
_MOST_LETTERS = 160
"""Greatest length of a finding in a table."""
DIGEST_DIGITS = 12
"""Digits of a content digest that are shown; ``--json`` has all 64."""
_MARKS: dict[State, tuple[str, str]] = {
    "none": ("·", "dim"),
    "partial": ("◐", "yellow"),
    "done": ("✓", "green"),
    "stale": ("stale", "yellow"),
    "failed": ("✗", "bold red"),
    "unverified": ("unverified", "yellow"),
}


def plan_lines(plan: PairPlan) -> list[str]:
    """Return a plan's sums, and what it leaves out or cannot read."""
    quarantined = [f"{each.table}.{each.column}" for each in plan.quarantined]
    return [
        f"{plan.pair} from {plan.warehouse}: a training file of {plan.columns:,} columns; "
        f"to read: {plan.read_bytes / 1e6:,.1f} of {plan.total_bytes / 1e6:,.1f} MB, {plan.read_usd:,.4f} USD",
        f"  periods: {_counts(plan.periods)}",
        *listed("quarantined columns (they look forward)", quarantined),
        *listed("unexpected columns, left out", plan.left_out),
        *_absent_lines(plan.known_absent),
        *listed("unexpected tables, left out", plan.unexpected),
        *listed("tables that cannot be read", [each.message for each in plan.problems]),
    ]


def _absent_lines(known_absent: Mapping[str, str]) -> list[str]:
    """Return a line for each of the most frequent reasons why a table is absent, and one for all others."""
    absent: dict[str, list[str]] = {}
    for name, reason in known_absent.items():
        absent.setdefault(reason, []).append(name)
    reasons = sorted(absent, key=lambda reason: len(absent[reason]), reverse=True)
    lines = [line for each in reasons[:_REASONS] for line in listed(f"known absent tables ({each})", absent[each])]
    others = [name for each in reasons[_REASONS:] for name in absent[each]]
    return [*lines, *listed("known absent tables for other reasons", others)]


def extraction_facts(record: ExtractionRecord, place: str, cost: Cost) -> dict[str, object]:
    """Return an extraction's outcome for ``--json``."""
    slabs = record.features()
    return {
        "pair": record.pair,
        "folder": place,
        "snapshot_time": record.snapshot_time.isoformat(),
        "rows": record.spine.rows,
        "tables": len(slabs),
        "resumed_tables": len(record.resumed),
        "pieces": sum(len(slab.pieces) for slab in slabs),
        "made_pieces": record.made_pieces,
        "columns": sum(len(slab.provenance.columns) for slab in record.slabs),
        "size_bytes": sum(slab.size_bytes for slab in record.slabs),
        "quarantined": _quarantined(record),
        "failed": [each.model_dump() for each in record.failed],
        "unexpected": list(record.unexpected),
        "known_absent": record.known_absent,
        "seconds": round(cost.seconds, 3),
        "peak_bytes": cost.peak_bytes,
    }


def extraction_lines(record: ExtractionRecord, place: str, cost: Cost) -> list[Text | str]:
    """Return an extraction's outcome for people."""
    slabs = record.features()
    columns = sum(len(slab.provenance.columns) for slab in record.slabs)
    size_bytes = sum(slab.size_bytes for slab in record.slabs)
    left = [each.table for each in record.failed]
    pieces = sum(len(slab.pieces) for slab in slabs)
    return [
        _done(f"{record.pair}: {record.spine.rows:,} rows x {columns:,} columns in {place}"),
        f"  {len(slabs):,} tables, {len(record.resumed):,} of them were fresh already; "
        f"{record.made_pieces:,} of {pieces:,} pieces made; {size_bytes / 1e6:,.1f} MB; {_cost(cost)}",
        *listed("quarantined columns (they look forward)", _quarantined(record)),
        *listed("tables not extracted yet", left),
        *listed("unexpected tables, left out", record.unexpected),
    ]


def merge_facts(manifest: Manifest, place: str, cost: Cost) -> dict[str, object]:
    """Return a merge's outcome for ``--json``."""
    return {
        "pair": manifest.pair,
        "file": place,
        "manifest": _manifest_of(place),
        "engine": manifest.engine,
        "rows": manifest.file.rows,
        "columns": manifest.file.columns,
        "tables": len(manifest.extraction.features()),
        "size_bytes": manifest.file.size_bytes,
        "crc32c": f"{manifest.file.crc32c:08x}",
        "quarantined": _quarantined(manifest.extraction),
        "seconds": round(cost.seconds, 3),
        "peak_bytes": cost.peak_bytes,
    }


def merge_lines(manifest: Manifest, place: str, cost: Cost) -> list[Text | str]:
    """Return a merge's outcome for people."""
    file = manifest.file
    return [
        _done(f"{place}: {file.rows:,} rows x {file.columns:,} columns"),
        *listed("quarantined columns (they look forward)", _quarantined(manifest.extraction)),
        f"  {len(manifest.extraction.features()):,} tables by {manifest.engine}; {file.size_bytes / 1e6:,.1f} MB, "
        f"crc32c {file.crc32c:08x}; {_cost(cost)}",
        f"  manifest: {_manifest_of(place)}",
    ]


def policy_lines(policy: StorePolicy) -> list[Text | str]:
    """Return the lifecycle rules of a store for people."""
    if not policy.versioning:
        return [_done(f"{policy.uri}: a folder needs no rules; {policy.keep_versions} earlier versions are kept")]
    soft = f"; deleted objects are charged for {policy.soft_delete_days:g} days more" if policy.soft_delete_days else ""
    return [
        _done(f"{policy.uri}: {'the rules were set' if policy.changed else 'the rules were right already'}, read back"),
        f"  unfinished objects are removed after {policy.staging_days} days{soft}",
        f"  published files are kept, and {policy.keep_versions} earlier versions of each",
        *(f"  {each.level}: {each.what}. {each.cure}" for each in policy.findings),
    ]


def _manifest_of(place: str) -> str:
    return f"{place.removesuffix('.parquet')}.manifest.json"


def published_lines(published: Published) -> list[Text | str]:
    """Return a publication's outcome for people; a file that replaces one with more rows is named as such."""
    if published.already_there:
        head = f"{published.uri}: the same bytes were published already, nothing was written"
    else:
        head = f"{published.uri}: published"
    verified = verified_text(published.verified_at, published.verified_by)
    return [
        _done(head),
        f"  {published.size_bytes / 1e6:,.1f} MB, crc32c {published.crc32c:08x}, generation {published.generation}",
        *_replaced_lines(published),
        *([f"  verified {verified}"] if verified else []),
        f"  manifest: {published.manifest_uri}",
    ]


def _replaced_lines(published: Published) -> list[Text | str]:
    if published.replaced_generation is None:
        return []
    rows, before = published.rows, published.replaced_rows
    known = f" of {before:,} rows" if before is not None else ""
    line = f"  replaces generation {published.replaced_generation}{known}"
    if rows is None or before is None or rows >= before:
        return [line]
    return [Text(f"! {line.strip()}, which is {before - rows:,} rows more than the new file has ({rows:,})", "yellow")]


def standing_facts(standing: Standing) -> dict[str, object]:
    """Return what is published of a pair for ``--json``, without the manifest itself."""
    return standing.model_dump(mode="json", exclude={"manifest"})


def removed_lines(swept: Removed, cleaned: Removed | None, staging_days: int) -> list[str]:
    """Return a line for staged objects and one for slabs that were removed after a publication, if any were."""
    lines = [f"  {len(swept.names)} staged objects older than {staging_days} days removed"] if swept.names else []
    if cleaned is not None:
        lines.append(f"  {len(cleaned.names):,} slabs removed, {cleaned.size_bytes / 1e6:,.1f} MB")
    return lines


def reading_lines(published: Published) -> list[str]:
    """Return the command that loads a published file for training, and shows the key, a target and two features."""
    source = json.dumps(published.uri.rpartition("/")[0], ensure_ascii=False)
    code = (
        "import polars as pl; from bqx_assets import load_training; "
        f'print(load_training("{published.pair}", (45, 15), source={source})'
        ".select(pl.nth(0, 1, 2, -1)).tail(5).collect())"
    )
    return ["next:", f"  {shlex.quote(sys.executable)} -c {shlex.quote(code)}"]


def _done(text: str) -> Text:
    return Text.assemble(("✓ ", "bold green"), (printable(text), "bold"))


def _cost(cost: Cost) -> str:
    return f"{cost.seconds:.1f} s, peak {cost.peak_bytes / 1e6:,.0f} MB resident"


def _quarantined(record: ExtractionRecord) -> list[str]:
    return [f"{each.table}.{each.column}" for slab in record.features() for each in slab.provenance.quarantined]


def listed(title: str, names: Iterable[str], most: int = _SAMPLE) -> list[str]:
    """Return a line that counts the names and gives the first ``most`` of them; no line for none."""
    found = list(names)
    hint = " (--json names all)" if len(found) > most else ""
    return [f"  {len(found):,} {title}: {some_of(found, most)}{hint}"] if found else []


def _counts(periods: PeriodCounts) -> str:
    """Return the number of periods in each state that has any."""
    return ", ".join(f"{count:,} {state}" for state, count in periods if count)


def period_tables(plan: PairPlan) -> list[Table | str]:
    """Return a table with one line for each period of which something is read, without most of a long history's."""
    stale = [each for each in plan.by_period if each.state != "fresh"]
    if not stale or len(plan.by_period) == 1:
        return []
    table = plain_table("period", "state", numbers=("tables to read", "MB", "read usd"))
    keep_whole(table)
    for each in stale[-_PERIODS:]:
        cells = (f"{each.stale_tables:,}", f"{each.read_bytes / 1e6:,.1f}", f"{each.read_usd:,.4f}")
        table.add_row(each.period, each.state, *cells)
    more = len(stale) - _PERIODS
    return [*([f"  and {more:,} earlier periods (--json has all)"] if more > 0 else []), table]


def plan_table(plan: PairPlan) -> Table:
    """Return one line per family: tables, columns, bytes and cost of a full read, and how many slabs are fresh."""
    table = plain_table("family", numbers=("tables", "columns", "MB", "read usd", "fresh", "stale", "missing"))
    keep_whole(table)
    for each in plan.families:
        table.add_row(each.family, *_cells([each]))
    table.add_section()
    table.add_row("all", *_cells(plan.families), style="bold")
    return table


_PERIODS = 12
"""Periods that a plan shows: a history by months has 70."""
_SHOWN: Mapping[str, Callable[[float], str]] = {
    **dict.fromkeys(("tables", "columns"), "{:,}".format),
    "read_bytes": lambda size: f"{size / 1e6:,.1f}",
    "read_usd": "{:,.4f}".format,
    **dict.fromkeys(("fresh", "stale", "missing"), "{:,}".format),
}
"""Fields of a family's share of the plan, and how the table writes them."""


def _cells(families: Iterable[FamilyPlan]) -> list[str]:
    """Return the sums over families."""
    facts = [each.model_dump() for each in families]
    return [shown(sum(each[name] for each in facts)) for name, shown in _SHOWN.items()]


def status_lines(pairs: Sequence[PairStatus]) -> list[Table | str]:
    """Return the stages of each pair of which something exists, how far its bytes are verified, and the other pairs.

    Stages and files are two tables, since one would be wider than a terminal of 80 characters. A pair whose records
    cannot be read is in neither: nothing is known of its stages.
    """
    begun = [each for each in pairs if _is_begun(each)]
    files = [each for each in begun if each.size_bytes is not None]
    rest = [each.pair for each in pairs if each not in begun and not each.problem]
    count = f"{len(rest)} {'more ' * bool(begun)}pair{'s' * (len(rest) != 1)}"
    return [
        *([_stages(begun)] if begun else []),
        *([_files(files)] if files else []),
        *([f"{count}: nothing made yet ({', '.join(rest)})"] if rest else []),
    ]


def _is_begun(pair: PairStatus) -> bool:
    states = {pair.spine, pair.slabs, pair.merged, pair.validated, pair.published}
    return states != {"none"} or bool(pair.slabs_done or pair.failed_tables)


def _files(pairs: Sequence[PairStatus]) -> Table:
    """Return one line per file: its size, when and how its published bytes were verified, and its values' digest."""
    table = plain_table("pair", "verified", "digest", numbers=("columns", "MB"))
    keep_whole(table)
    for each in pairs:
        table.add_row(
            each.pair,
            verified_text(each.verified_at, each.verified_by) if each.published != "none" else "not published",
            (each.content_digest or "not recorded")[:DIGEST_DIGITS],
            _number(each.columns),
            f"{(each.size_bytes or 0) / 1e6:,.1f}",
        )
    return table


def _stages(pairs: Sequence[PairStatus]) -> Table:
    table = plain_table("pair", "spine", "slabs", "merged", "validated", "published", numbers=("rows",))
    keep_whole(table)
    for each in pairs:
        slabs = Text.assemble(_mark(each.slabs), f" {each.slabs_done:,}/{each.slabs_expected:,}")
        if each.failed_tables:
            slabs.append(f" {len(each.failed_tables)} failed", style="bold red")
        table.add_row(
            each.pair,
            _mark(each.spine),
            slabs if each.slabs_done or each.failed_tables else _mark("none"),
            _mark(each.merged),
            _mark(each.validated),
            _mark(each.published),
            _number(each.rows),
        )
    return table


def standing_table(found: Sequence[Standing], bqx: str = "bqx") -> Table:
    """Return one line per pair: whether its published file is whole, and when it was read; a failure with its cure."""
    table = plain_table("", "pair", "got", "expected", "verified")
    for each in found:
        when = verified_text(each.verified_at, each.verified_by)
        table.add_row(_mark(each.state), each.pair, _short(each.got), _short(each.expected), when)
        if each.cure:
            table.add_row("", "", Text(f"→ {pasteable(each.cure, bqx)}", style="italic"), "", "")
    return table


def verdict_table(verdicts: Sequence[Verdict], bqx: str = "bqx") -> Table:
    """Return one line per rule: its verdict, what it got and what it expected; a failure with its cure."""
    table = plain_table("", "check", "got", "expected")
    table.columns[1].no_wrap = True
    for each in verdicts:
        table.add_row(_verdict_mark(each), each.rule, _short(each.got), _short(each.expected))
        if not each.passed and each.cure:
            table.add_row("", "", Text(f"→ {printable(pasteable(each.cure, bqx))}", style="italic"), "")
    return table


def report_line(report: Report, bqx: str = "bqx") -> Text:
    """Return a line with a report's outcome and one on its expectations; ``bqx`` is what starts the program."""
    failed, warned = len(report.failures()), sum(not each.passed for each in report.verdicts)
    counts = f"{len(report.verdicts) - warned} of {len(report.verdicts)} checks passed"
    rest = f", {warned - failed} warned" if warned > failed else ""
    how = "every value" if report.deep else "footer and statistics only"
    return Text.assemble(
        ("✓ PASS", "bold green") if report.passed else ("✗ FAIL", "bold red"),
        f"  {printable(report.file)}: {report.rows:,} rows x {report.columns:,} columns; {counts}{rest}"
        f" ({how}; {report.seconds:.1f} s, peak {report.peak_bytes / 1e6:,.0f} MB)",
        f"\n  {printable(pasteable(report.expectations.sentence(report.pair), bqx))}" if report.expectations else "",
    )


def _verdict_mark(verdict: Verdict) -> Text:
    if verdict.passed:
        return Text("✓", style="green")
    return Text("✗", style="bold red") if verdict.severity == "error" else Text("!", style="yellow")


def _mark(state: State) -> Text:
    return Text(*_MARKS[state])


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _short(text: str) -> Text:
    plain = printable(text)
    return Text(plain if len(plain) <= _MOST_LETTERS else plain[: _MOST_LETTERS - 1] + "…")


def keep_whole(table: Table) -> None:
    """Let no column be broken: at 60 characters a family's name came out in pieces of three letters."""
    for column in table.columns:
        column.no_wrap = True


def plain_table(*texts: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table that is also readable in a pipe; ``numbers`` are the columns aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
