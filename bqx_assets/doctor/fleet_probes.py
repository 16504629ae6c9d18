"""Probes of what an operator has set up around the runs: who is told of faults, and what the month may cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bqx_assets.base.errors import BadSetting
from bqx_assets.doctor.case import Case, Finding, Probe, noted, passed, skipped
from bqx_assets.doctor.output import FOLDER, LIST
from bqx_assets.fleet.alert_settings import AlertSettings, alert_settings
from bqx_assets.fleet.attention import NEAR_BUDGET
from bqx_assets.fleet.ledger import Ledger, refuse_spent

THEME = "fleet"
_SET_ONE = "Set BQX_ALERT_WEBHOOK, or BQX_ALERT_SMTP with BQX_ALERT_FROM and BQX_ALERT_TO (docs/alerts.md)."


def fleet_probes(case: Case) -> Iterator[Probe]:
    """Yield the probes; what the month has cost is read in the output store."""
    yield Probe(THEME, "alerts", _alerts)
    yield Probe(THEME, "budget of the month", _budget, needs=(LIST if case.in_bucket else FOLDER,))


def _alerts(case: Case) -> Finding:
    """Return who is told of faults. No run fails for want of it, and nothing is sent."""
    if "CLOUD_RUN_JOB" in case.environment:
        return skipped("the machine with Dagster's daemon sends alerts, and has their settings")
    try:
        settings = alert_settings()
    except BadSetting as error:
        return noted(f"{error.subject}: {error.got}, expected {error.expected}; nobody is told", error.cure)
    told = list(_receivers(settings))
    if not told:
        nobody = "no receiver is set, so nobody is told of faults"
        return noted(nobody, _SET_ONE) if case.environment.get("DAGSTER_HOME") else skipped(nobody)
    what = f"{' and '.join(told)}; told of: {', '.join(sorted(settings.kinds))}"
    if settings.ui_url == AlertSettings.model_fields["ui_url"].default and case.environment.get("DAGSTER_HOME"):
        return noted(f"{what}; links lead to {settings.ui_url}", "Set BQX_UI_URL to the address that people open.")
    return passed(f"{what}; bqx alert --test sends one")


def _receivers(settings: AlertSettings) -> Iterator[str]:
    """Yield the receivers without their secrets."""
    if settings.alert_webhook is not None:
        yield f"a webhook of {urlsplit(settings.alert_webhook.get_secret_value()).hostname}"
    if settings.alert_smtp is not None:
        host, port, _ = settings.mail_server
        yield f"e-mail by {host}:{port} to {len(settings.receivers)}"


def _budget(case: Case) -> Finding:
    """Return what the month has cost of its budget. Raises BudgetExceeded, CheckpointCorrupt as a run would."""
    ledger, budget, now = Ledger(case.pipeline.store), case.settings.monthly_budget_usd, datetime.now(UTC)
    month = ledger.month(now) if budget is None else refuse_spent(ledger, budget, now)
    spent = f"{month.usd:,.2f} USD in {now:%B %Y} (UTC) by the ledger"
    if month.unread:
        without = f"{spent}, without {len(month.unread)} objects that cannot be read"
        return noted(without, "bqx cost --actual names them.")
    if budget is None:
        return passed(f"{spent}; no budget is set (BQX_MONTHLY_BUDGET_USD)")
    of = f"{spent}, of {budget:,.2f}"
    if month.forecast_usd >= NEAR_BUDGET * budget:
        return noted(of, "What it was spent on: bqx cost --actual")
    return passed(of)
