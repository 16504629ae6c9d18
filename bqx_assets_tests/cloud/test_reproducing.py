"""``bqx reproduce`` and ``bqx card`` of a pair that was published to a bucket from BigQuery, as its tables change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.extract.slabs import slabs_prefix
from bqx_assets.training.load import training_manifest
from bqx_assets_tests.cloud.production import tables_of
from bqx_assets_tests.cloud.test_commands import _bqx, _json
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.servers.bigquery.local_bigquery import LocalBigQuery
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

TABLES = 7


@pytest.fixture
def tables(bigquery: LocalBigQuery, warehouse: Path) -> Iterator[dict[tuple[str, str], pl.DataFrame]]:
    """The tables of BigQuery, which are as before at the end."""
    found = tables_of(warehouse)
    yield found
    for each in found:
        _dropped(bigquery, each)
    bigquery.load(found)


def _dropped(bigquery: LocalBigQuery, name: tuple[str, str]) -> None:
    with closing(bigquery.client()) as client:
        client.delete_table(".".join(name), not_found_ok=True)


def _removed(table: str) -> None:
    store = GcsObjectStore(BUCKET)
    for each in [*store.list_objects(f"{slabs_prefix(EURUSD)}{table}")]:
        store.delete(each.name)


def _states(found: dict[str, Any]) -> dict[str, str]:
    return {each["table"]: each["state"] for each in found["tables"]}


def test_a_published_pair_can_be_made_again_until_its_tables_change(
    cloud: GcsServer, bigquery: LocalBigQuery, tables: dict[tuple[str, str], pl.DataFrame]
) -> None:
    for stage in ("extract", "merge", "publish"):
        _json(stage, "eurusd")
    digest = _json("reproduce", "eurusd")["content_digest"]
    found = _json("reproduce", f"gs://{BUCKET}/training_eurusd.manifest.json")
    assert (found["way"], found["kept_tables"], found["content_digest"]) == ("pieces", TABLES + 1, digest)
    card = _bqx("card", "eurusd")
    generation = cloud.buckets[BUCKET].live["training_eurusd.parquet"].generation
    assert f"| generation | {generation} |" in card

    slabs = training_manifest("eurusd").extraction.features()
    one, other = ((slab.provenance.source.dataset, slab.table) for slab in slabs[:2])
    _removed(one[1])
    found = _json("reproduce", f"gs://{BUCKET}/training_eurusd.parquet")
    assert (found["way"], _states(found)) == ("reading", {one[1]: "unchanged"})
    assert _json("extract", "eurusd")["resumed_tables"] == TABLES - 1
    assert _json("merge", "eurusd")["file"]
    assert _json("reproduce", "eurusd")["way"] == "pieces"

    # A table that is kept and has a column more would be read anew with what is missing.
    _removed(one[1])
    _dropped(bigquery, other)
    bigquery.load({other: tables[other].with_columns(more=pl.lit(1.0))})
    found = _json("reproduce", "eurusd", code=1)
    assert (found["way"], _states(found)) == ("not", {one[1]: "unchanged", other[1]: "changed"})
    until = f"{training_manifest('eurusd').extraction.snapshot_time + timedelta(days=7):%Y-%m-%d}"
    assert [note for note in found["notes"] if f"until {until}" in note]
    (save,) = [note for note in found["notes"] if "bq cp" in note]
    assert f":{other[0]}.{other[1]}@" in save

    _dropped(bigquery, other)
    _removed(other[1])
    found = _json("reproduce", "eurusd", code=1)
    assert _states(found) == {one[1]: "unchanged", other[1]: "gone"}
