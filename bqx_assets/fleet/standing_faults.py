"""Finds the faults of the fleet that no run tells: stale pairs, by their published files, and the month's budget."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from bqx_assets.base.errors import BudgetExceeded, CheckpointCorrupt
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.threads import in_threads
from bqx_assets.extract.embedded_layout import pairs_of_fleet
from bqx_assets.fleet.ledger import Ledger, refuse_spent
from bqx_assets.fleet.messages import FLEET_PAGE, PAIRS_PAGE, Fault, clipped
from bqx_assets.fleet.state import is_fresh
from bqx_assets.release.published import Standing, look

_READERS = 8


def standing_faults(settings: Settings, store: ObjectStore, now: datetime) -> dict[str, Fault]:
    """Return the faults by their key. **Cost**: reads facts and manifest of each published file, and the ledger.

    Raises:
        StoreError: the store does not answer.
    """
    pairs = pairs_of_fleet(settings)
    standings = zip(pairs, in_threads(partial(_looked, store), pairs, _READERS, "standing"), strict=True)
    found = [_stale(pair, standing, settings.fresh_days, now) for pair, standing in standings]
    return {fault.key: fault for fault in [*found, *_spent(settings, store, now)] if fault is not None}


def _looked(store: ObjectStore, pair: Pair) -> Standing | CheckpointCorrupt:
    """Return the state of a published file, or the error that a later version of this package wrote its records."""
    try:
        return look(store, pair)
    except CheckpointCorrupt as error:
        return error


def _stale(pair: Pair, standing: Standing | CheckpointCorrupt, fresh_days: float, now: datetime) -> Fault | None:
    """Return the fault of a pair whose published file is missing, damaged or old; None of a fresh one."""
    manifest = None if isinstance(standing, CheckpointCorrupt) else standing.manifest
    age = None if manifest is None else now - manifest.extraction.snapshot_time
    expected = f"a published file whose tables were read in the last {fresh_days:g} days (BQX_FRESH_DAYS)"
    cure = f"Launch pair_job for {pair}, or: bqx run {pair}"
    if not isinstance(standing, CheckpointCorrupt) and standing.state == "none":
        what, got = "not published", "no published file"
    elif isinstance(standing, CheckpointCorrupt) or age is None or standing.state == "failed":
        what, got, expected = "the published file is damaged", standing.got, standing.expected
        cure = standing.cure or cure
    elif not is_fresh(age, fresh_days):
        what, got = "stale", f"its tables were read {age.days:,} days ago"
    else:
        return None
    return Fault(
        kind="stale",
        subject=pair.name,
        what=what,
        parts=(what,),
        got=clipped(got),
        expected=clipped(expected),
        cure=clipped(cure),
        kept=f"{age.days:,} days old" if what == "stale" and age is not None else "",
        page=f"{PAIRS_PAGE}&partition={pair}",
        page_of_all=PAIRS_PAGE,
    )


def _spent(settings: Settings, store: ObjectStore, now: datetime) -> Iterator[Fault]:
    if settings.monthly_budget_usd is None:
        return
    try:
        refuse_spent(Ledger(store), settings.monthly_budget_usd, now)
    except (BudgetExceeded, CheckpointCorrupt) as error:
        shown = {"got": clipped(error.got), "expected": clipped(error.expected), "cure": clipped(error.cure)}
        damaged = isinstance(error, CheckpointCorrupt)
        spent = "cannot be kept, because the ledger is damaged" if damaged else "is spent or will be"
        what = f"the budget of {now:%B %Y} {spent}, and no further run begins"
        yield Fault(kind="budget", subject="fleet", what=what, parts=(f"{now:%Y-%m}",), page=FLEET_PAGE, **shown)
