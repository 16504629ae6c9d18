"""Observes the fleet: builds its state from artefacts and the ledger and, on demand, from what the warehouse tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from bqx_assets.base.artifacts import ExtractionRecord, RowAccount, SlabRecord
from bqx_assets.base.errors import BqxError
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.base.progress import at_work, waiting
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.expectations import family_word
from bqx_assets.extract.embedded_layout import pairs_of_fleet
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.fleet.state import FamilyState, FleetState, PairState, Source, StageState, is_fresh
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.report import Report
from bqx_assets.quality.value_rules import NULL_SHARE
from bqx_assets.release.status import PairArtifacts

_LEDGER_DAYS = 62
"""Entries of this many days are looked at for the last run of a pair: two months, so that a monthly run is found, and
the whole month before the present one, as ``Page.month`` needs it."""
_ASKED_AT_ONCE = 4


def fleet_state(
    pipeline: Pipeline, now: datetime, *, pairs: Sequence[Pair] | None = None, ask_sources: bool = False
) -> FleetState:
    """Return the state of the pairs at ``now``, by default of the fleet.

    While ``BQX_FLEET`` names none, a pair of which something was made belongs to it too, though its tables are gone.

    A pair whose records cannot be read, or whose warehouse does not answer, is described as such; the others are not
    affected. **Cost**: in a bucket about twenty requests a pair, and one for each entry of the ledger's last days; no
    slab and no large file is read. With ``ask_sources`` also a plan of each pair: metadata of the warehouse.

    Raises:
        StoreError: the store does not answer.
    """
    settings = pipeline.settings
    chosen = pairs or (ALL_PAIRS if settings.fleet is None else pairs_of_fleet(settings))
    page = Ledger(pipeline.store).read(now - timedelta(days=_LEDGER_DAYS))
    month = page.month(now)
    by_pair: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in page.entries:
        by_pair[entry.pair].append(entry)
    found = pipeline.artifacts(chosen)
    asked = [parse_pair(each.status.pair) for each in found if ask_sources and each.status.spine == "done"]
    sources = _changed_sources(pipeline, asked) if asked else {}
    states = [
        _pair_state(each, by_pair[each.status.pair], sources.get(each.status.pair), now, settings.fresh_days)
        for each in found
    ]
    members = {pair.name for pair in pairs or pairs_of_fleet(settings)}
    return FleetState(
        at=now,
        output=str(settings.output or settings.output_dir),
        origin=next((each.published.extraction.origin for each in found if each.published), ""),
        pairs=tuple(each for each in states if each.status.pair in members or not each.is_untouched),
        fresh_days=settings.fresh_days,
        month_usd=month.usd,
        month_unended_usd=month.unended_usd,
        month_budget_usd=settings.monthly_budget_usd,
        unread=tuple(page.unread),
    )


def changed_source(pipeline: Pipeline, pair: Pair) -> tuple[Source, str]:
    """Return whether a run would read tables of the pair anew, and the reason if the warehouse does not tell.

    **Cost**: one plan: the descriptions of its tables and their months.
    """
    try:
        plan = pipeline.plan(pair)
    except (BqxError, OSError) as error:
        return "not asked", str(error)
    anew = plan.periods.changed + plan.periods.new
    return ("changed" if anew or plan.problems else "unchanged"), ""


def _changed_sources(pipeline: Pipeline, pairs: Sequence[Pair]) -> dict[str, tuple[Source, str]]:
    """Return what ``changed_source`` tells of each pair; in BigQuery a plan mostly waits for its queries."""
    quiet = Pipeline(pipeline.settings)  # a line of progress belongs to one of several pairs
    with waiting(pipeline.progress, "sources", at_work(f"asking whether the tables of {len(pairs)} pairs changed")):
        told = in_threads(partial(changed_source, quiet), pairs, _ASKED_AT_ONCE, "sources")
        return {pair.name: each for pair, each in zip(pairs, told, strict=True)}


def _pair_state(
    found: PairArtifacts, entries: Sequence[Entry], asked: tuple[Source, str] | None, now: datetime, fresh_days: float
) -> PairState:
    published = found.published
    extraction = published.extraction if published else None
    source, refused = asked or ("not asked", "")
    snapshot = extraction.snapshot_time if extraction else None
    last_run = [entry for entry in entries if entry.run == entries[-1].run]
    return PairState(
        status=found.status,
        rows_until=extraction.spine.last if extraction else None,
        snapshot_time=snapshot,
        published_at=published.created_at if published else None,
        fresh=is_fresh(now - snapshot, fresh_days) if snapshot else None,
        source=source,
        source_error=refused,
        verdicts=found.report.verdicts if found.report else (),
        families=_families(extraction or found.extraction, found.report),
        drift=found.extraction.changes if found.extraction else (),
        stages=_stages(entries),
        usd=sum(entry.usd for entry in last_run) if last_run else None,
        seconds=sum(entry.seconds for entry in last_run) if last_run else None,
    )


def _families(extraction: ExtractionRecord | None, report: Report | None) -> tuple[FamilyState, ...]:
    """Return the columns of each family by prefix, with the null shares that a validation found."""
    if extraction is None:
        return ()
    nulls, by_word = _null_shares(report), defaultdict[str, list[SlabRecord]](list)
    for slab in extraction.features():
        if slab.provenance.columns:
            by_word[family_word(slab.provenance.columns[0].name)].append(slab)
    return tuple(
        FamilyState(
            family=word,
            tables=len(slabs),
            columns=sum(len(slab.provenance.columns) for slab in slabs),
            null_share=nulls.get(word),
            matched_share=_matched_share([slab.provenance.rows for slab in slabs]),
        )
        for word, slabs in by_word.items()
    )


def _null_shares(report: Report | None) -> Mapping[str, float]:
    evidence = {name: value for each in report.verdicts for name, value in each.evidence.items()} if report else {}
    return {
        name.removeprefix(NULL_SHARE): float(value)
        for name, value in evidence.items()
        if name.startswith(NULL_SHARE) and isinstance(value, float | int)
    }


def _matched_share(accounts: Sequence[RowAccount]) -> float | None:
    rows = sum(each.matched + each.missing for each in accounts)
    return sum(each.matched for each in accounts) / rows if rows else None


def _stages(entries: Sequence[Entry]) -> tuple[StageState, ...]:
    """Return the last entry of each stage, in the order in which they began."""
    last = {entry.stage: entry for entry in entries}
    return tuple(
        StageState(
            stage=entry.stage,
            began_at=entry.began_at,
            outcome=entry.outcome,
            seconds=entry.seconds,
            peak_bytes=entry.peak_bytes,
            usd=entry.usd,
            error=entry.error,
            message=entry.message,
        )
        for entry in sorted(last.values(), key=lambda each: each.began_at)
    )
