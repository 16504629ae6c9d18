"""Says in sentences and as JSON what a command made, where it lies, what it cost, and what to type next."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable

from rich.text import Text

from bqx_assets.base.artifacts import ExtractionRecord, Manifest
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import printable, some_of
from bqx_assets.cli.session import Cost
from bqx_assets.extract.plan import PairPlan
from bqx_assets.release.lifecycle import StorePolicy
from bqx_assets.release.publish import Published
from bqx_assets.release.published import Standing, verified_text
from bqx_assets.release.retention import Removed

_SAMPLE = 8
"""Names shown at most; --json has all."""


def plan_lines(plan: PairPlan) -> list[str]:
    """Return what a plan's table does not say."""
    names = [f"{each.table}.{each.column}" for each in plan.quarantined]
    return [
        f"{plan.pair} from {plan.warehouse}: a training file of {plan.columns:,} columns; "
        f"to read: {plan.read_bytes / 1e6:,.1f} MB, {plan.read_usd:,.4f} USD",
        *listed("quarantined columns, they look forward", names),
        *listed("columns left out, nobody expects them", plan.left_out),
        *listed("known absent tables", [f"{name}: {reason}" for name, reason in plan.known_absent.items()]),
        *listed("unexpected tables, left out", plan.unexpected),
        *listed("tables that cannot be read", [each.message for each in plan.problems]),
    ]


def extraction_facts(record: ExtractionRecord, place: str, cost: Cost) -> dict[str, object]:
    """Return an extraction's outcome as JSON has it."""
    slabs = record.features()
    return {
        "pair": record.pair,
        "folder": place,
        "snapshot_time": record.snapshot_time.isoformat(),
        "rows": record.spine.rows,
        "tables": len(slabs),
        "resumed_tables": len(record.resumed),
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
    return [
        _done(f"{record.pair}: {record.spine.rows:,} rows x {columns:,} columns in {place}"),
        f"  {len(slabs):,} tables, {len(record.resumed):,} of them fresh already; "
        f"{size_bytes / 1e6:,.1f} MB; {_cost(cost)}",
        *listed("quarantined columns, they look forward", _quarantined(record)),
        *listed("tables not extracted yet", left),
        *listed("unexpected tables, left out", record.unexpected),
    ]


def merge_facts(manifest: Manifest, place: str, cost: Cost) -> dict[str, object]:
    """Return a merge's outcome as JSON has it."""
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
        *listed("quarantined columns, they look forward", _quarantined(manifest.extraction)),
        f"  {len(manifest.extraction.features()):,} tables by {manifest.engine}; {file.size_bytes / 1e6:,.1f} MB, "
        f"crc32c {file.crc32c:08x}; {_cost(cost)}",
        f"  manifest: {_manifest_of(place)}",
    ]


def policy_lines(policy: StorePolicy) -> list[Text | str]:
    """Return a store's rules for people."""
    if not policy.versioning:
        return [_done(f"{policy.uri}: a folder, it needs no rules; {policy.keep_versions} earlier versions are kept")]
    soft = f"; deleted objects are charged for {policy.soft_delete_days:g} days more" if policy.soft_delete_days else ""
    return [
        _done(f"{policy.uri}: {'rules set' if policy.changed else 'the rules were right already'}, read back"),
        f"  what is unfinished goes after {policy.staging_days} days{soft}",
        f"  published files stay, and {policy.keep_versions} earlier versions of each",
        *(f"  {each.level}: {each.what}. {each.cure}" for each in policy.findings),
    ]


def _manifest_of(place: str) -> str:
    return f"{place.removesuffix('.parquet')}.manifest.json"


def published_lines(published: Published) -> list[Text | str]:
    """Return a publication's outcome for people."""
    if published.already_there:
        head = f"{published.uri}: these very bytes were published already, nothing was written"
    else:
        head = f"{published.uri}: published"
    replaced = published.replaced_generation
    verified = verified_text(published.verified_at, published.verified_by)
    return [
        _done(head),
        f"  {published.size_bytes / 1e6:,.1f} MB, crc32c {published.crc32c:08x}, generation {published.generation}"
        + (f", replaces {replaced}" if replaced else ""),
        *([f"  verified {verified}"] if verified else []),
        f"  manifest: {published.manifest_uri}",
    ]


def standing_facts(standing: Standing) -> dict[str, object]:
    """Return what is published of a pair as JSON has it, without the manifest itself."""
    return standing.model_dump(mode="json", exclude={"manifest"})


def removed_lines(swept: Removed, cleaned: Removed | None, staging_days: int) -> list[str]:
    """Return what was removed after a publication; nothing where nothing was."""
    lines = [f"  {len(swept.names)} staged objects older than {staging_days} days removed"] if swept.names else []
    if cleaned is not None:
        lines.append(f"  {len(cleaned.names):,} slabs removed, {cleaned.size_bytes / 1e6:,.1f} MB")
    return lines


def reading_lines(uri: str) -> list[str]:
    """Return how to read some columns of a published file."""
    code = (
        f"import polars as pl; print(pl.scan_parquet({json.dumps(uri, ensure_ascii=False)}, glob=False)"
        f'.select("{KEY}", "^target_bqx45_.*$").tail(5).collect())'
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
