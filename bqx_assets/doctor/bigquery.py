"""Examines BigQuery and its Storage Read API by the calls that a run makes, each made once.

The first call of an API tells whether the API is on. If it was refused for another reason, the next line says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, cast

from google.api_core.exceptions import GoogleAPIError
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from bqx_assets.base.names import KEY
from bqx_assets.base.printable import some_of
from bqx_assets.base.refusals.read import read_refusal
from bqx_assets.base.settings import refuse_unfit_for_joins
from bqx_assets.base.store import staging_names
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.doctor.case import Case, Finding, Probe, noted, passed, skipped
from bqx_assets.doctor.examine import concerns_the_api
from bqx_assets.doctor.network import CREDENTIALS, TOKEN, reached
from bqx_assets.doctor.tables import CATALOGUE, PAIR_TABLES, PARTS, describe, read_finding, request_of, row_of
from bqx_assets.extract.bigquery.bigquery_warehouse import BigQueryWarehouse
from bqx_assets.extract.bigquery.catalogue import catalogue_sql
from bqx_assets.extract.bigquery.client import open_clients
from bqx_assets.extract.bigquery.join_sql import JoinSql, exported
from bqx_assets.extract.bigquery.read_rows import ReadRows, read_answer
from bqx_assets.extract.bigquery.session import session_request, session_schema
from bqx_assets.extract.warehouse import AheadRead

THEME = "bigquery"
CLIENTS, API, JOBS = "projects", "BigQuery API", "queries"
PLACE, SNAPSHOT = "place of the data", "snapshot"
READ_API, SESSIONS, POLICIES = "BigQuery Storage API", "read sessions", "policies"
MONTHS, JOINS = "months of tables", "joins"
_CALL_SECONDS = 15.0
_RETRY: Retry = DEFAULT_RETRY.with_timeout(_CALL_SECONDS)
_SESSION_PERMISSIONS = "bigquery.readsessions."
_DATASETS = (TARGETS_DATASET, FEATURES_DATASET)
_CATALOGUE_SECONDS = 40.0
"""Limit of listing some 7,600 tables with their columns, which takes several seconds."""
_SHOWN = 5


def bigquery_probes(_: Case) -> Iterator[Probe]:
    """Yield the probes of BigQuery up to the catalogue."""
    bigquery_probe = partial(Probe, THEME, service="bigquery")
    yield bigquery_probe(CLIENTS, _open, needs=(CREDENTIALS,))
    yield bigquery_probe(API, _first_call, needs=(CLIENTS, reached("BigQuery"), TOKEN))
    yield bigquery_probe(JOBS, _queries, needs=(API,))
    yield bigquery_probe(PLACE, _place, needs=(JOBS,))
    yield bigquery_probe(SNAPSHOT, _snapshot, needs=(PLACE,))
    for dataset in _DATASETS:
        yield bigquery_probe(_dry(dataset), partial(_dry_query, dataset=dataset), needs=(PLACE,))
    dry = tuple(_dry(dataset) for dataset in _DATASETS)
    yield bigquery_probe(CATALOGUE, describe, needs=(SNAPSHOT, *dry), seconds=_CATALOGUE_SECONDS)


def read_probes(case: Case) -> Iterator[Probe]:
    """Yield the probes of the pair's tables: whether their months are told apart, and of reading."""
    yield Probe(THEME, MONTHS, _months, needs=(PAIR_TABLES,), service="bigquery", seconds=_CATALOGUE_SECONDS)
    read_probe = partial(Probe, THEME, service="storage_read")
    yield read_probe(READ_API, _first_session, needs=(PAIR_TABLES, reached("BigQuery Storage")))
    yield read_probe(SESSIONS, _sessions, needs=(READ_API,))
    first, *others = PARTS
    yield read_probe(row_of(first), partial(_read, part=first), needs=(SESSIONS,))
    for part in others:  # each needs the first, so that what is missing for all tables is one lack
        yield read_probe(row_of(part), partial(_read, part=part), needs=(row_of(first),))
    rows = tuple(row_of(part) for part in PARTS)
    yield Probe(THEME, POLICIES, _policies, needs=rows, service="bigquery")
    if case.settings.way == "query":
        yield Probe(THEME, JOINS, _joins, needs=rows, service="bigquery", seconds=_CATALOGUE_SECONDS)


def _dry(dataset: str) -> str:
    return f"dry query: {dataset}"


def _open(case: Case) -> Finding:
    settings = case.settings
    project = settings.bigquery_project or ""
    payer = settings.billing_project
    case.clients = open_clients(project, settings.bigquery_storage_endpoint, billing_project=payer)
    case.warehouse = BigQueryWarehouse(case.clients, max_open_streams=1)
    return passed(f"data in {project}, billed to {case.clients.billing_project}")


def _query(case: Case, sql: str) -> bigquery.QueryJob:
    """Make a dry run of a query, which is checked and neither run nor billed."""
    dry = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    return case.clients.catalogue.query(sql, job_config=dry, retry=_RETRY, job_retry=None, timeout=_CALL_SECONDS)


def _first_call(case: Case) -> Finding:
    try:
        _query(case, "SELECT 1")
    except GoogleAPIError as error:
        if concerns_the_api(error, "bigquery"):
            raise
        case.first_call = error
    return passed(f"is on in {case.clients.billing_project}")


def _queries(case: Case) -> Finding:
    if case.first_call is not None:
        raise case.first_call
    return passed(f"may run in {case.clients.billing_project}")


def _place(case: Case) -> Finding:
    case.location = cast("BigQueryWarehouse", case.warehouse).location()
    return passed(f"{FEATURES_DATASET} lies in {case.location}")


def _snapshot(case: Case) -> Finding:
    case.snapshot = case.warehouse.snapshot()
    return passed(f"{case.snapshot:%Y-%m-%d %H:%M:%S} UTC, by BigQuery's clock")


def _dry_query(case: Case, dataset: str) -> Finding:
    _query(case, catalogue_sql(case.clients.project, dataset))
    return passed(f"tables of {dataset} may be listed")


def _months(case: Case) -> Finding:
    """Ask for the states of months as a run does: where they are refused, it reads a changed table whole."""
    tables = [case.catalogue.targets, *(each.description for each in case.catalogue.tables)]
    known = case.warehouse.months(tables)
    if not known:
        why = case.warehouse.months_refused or f"None of the tables is partitioned by {KEY}."
        return noted("not known, so that a run reads a changed table whole", why)
    return passed(f"known of {len(known):,} of {len(tables):,} tables, so that a run reads only those that changed")


def _first_session(case: Case) -> Finding:
    try:
        _session(case, PARTS[0])
    except GoogleAPIError as error:
        if concerns_the_api(error, "storage_read"):
            raise
        case.first_session = error
    return passed(f"is on in {case.clients.billing_project}")


def _sessions(case: Case) -> Finding:
    """Look whether sessions may be made at all; a refusal because of the table is found by the row of that table."""
    refused = case.first_session
    if refused is not None:
        permission = read_refusal(refused, "storage_read").permission or ""
        if permission.startswith(_SESSION_PERMISSIONS):
            raise refused
    return passed(f"may be made in {case.clients.billing_project}")


def _session(case: Case, part: str) -> Any:  # noqa: ANN401 -- the client's messages are untyped
    """Open the read session of the part's table; return None if the pair has no table of that part."""
    request = request_of(case, part)
    if request is None:
        return None
    clients = case.clients
    asked = session_request(clients.project, request, 1, billing_project=clients.billing_project)
    return case.clients.reads.create_read_session(request=asked, retry=None, timeout=_CALL_SECONDS)


def _read(case: Case, part: str) -> Finding:
    """Open a session as a run does, take the first answer of each stream, and end the calls."""
    request = request_of(case, part)
    session = _session(case, part)
    if request is None or session is None:
        return skipped("the pair has no such table")
    schema = session_schema(session, request, f"{request.table.dataset}.{request.table.table}")
    rows = 0
    for stream in session.streams:
        call = ReadRows(case.clients.reads)(stream.name, 0, _CALL_SECONDS)
        try:
            first = next(iter(call), None)
            rows += 0 if first is None else read_answer(first).batch(schema).num_rows
        finally:
            call.cancel()
    return read_finding(request, rows)


def _joins(case: Case) -> Finding:
    """Export one row into the bucket as a run with ``BQX_WAY=query`` does, and make a dry run of a join."""
    refuse_unfit_for_joins(case.settings, in_bucket=case.in_bucket)
    jobs, store = cast("BigQueryWarehouse", case.warehouse).export_jobs(), case.pipeline.store
    name = f"{staging_names.JOINS}{case.pair}/1-proof"
    try:
        jobs.run(exported("SELECT 0 AS part", f"{store.uri(name)}-*.parquet"), store.uri(name))
    finally:
        for info in list(store.list_objects(f"{name}-")):
            store.delete(info.name)
    targets, *features = filter(None, (request_of(case, part) for part in PARTS))
    spine = replace(targets, columns=(KEY, case.expectations.shortest_target()))
    reads = [AheadRead(each, {each.columns[1]: f"column_{place}"}, 0) for place, each in enumerate(features)]
    sql = JoinSql(case.clients.project, spine)
    for query in (sql.odd_keys(reads), sql.join(reads)):
        _query(case, query)
    return passed(f"tables may be joined in {case.location}, and exported to {case.settings.output}")


def _policies(case: Case) -> Finding:
    """Name the policy tags of the tables that were read: a policy that refuses a run has refused a row before."""
    tagged: list[str] = []
    for part in PARTS:
        request = request_of(case, part)
        if request is not None:
            path = f"{case.clients.project}.{request.table.dataset}.{request.table.table}"
            table = case.clients.catalogue.get_table(path, retry=_RETRY, timeout=_CALL_SECONDS)
            fields = cast("list[bigquery.SchemaField]", table.schema)
            tagged += [f"{request.table.table}.{field.name}" for field in fields if field.policy_tags is not None]
    if tagged:
        return noted(f"none in the way; policy tags on {some_of(tagged, _SHOWN)}")
    return passed(f"none on the {len(PARTS)} tables read, at the snapshot of a run")
