"""A pair is stale by the moment that the tables of its published file were read at, or when there is no good file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings, training_name
from bqx_assets.base.store.open_store import open_store
from bqx_assets.fleet.entry import Entry
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.fleet.messages import of_faults
from bqx_assets.fleet.standing_faults import standing_faults
from bqx_assets.release.publish import publish
from bqx_assets.release.published import plain_name
from bqx_assets_tests.release.training import MOMENT, stored


def test_a_file_is_fresh_for_as_long_as_the_setting_says(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, fresh_days=2)
    store = open_store(settings)
    publish(*stored(tmp_path, b"PAR1 values PAR1"), store, progress=Silent())
    on_time, late = MOMENT + timedelta(days=2), MOMENT + timedelta(days=2, seconds=1)
    assert "stale:eurusd" not in standing_faults(settings, store, on_time)
    found = standing_faults(settings, store, late)
    assert (found["stale:eurusd"].what, found["stale:gbpusd"].what) == ("stale", "not published")
    assert "its tables were read 2 days ago" in found["stale:eurusd"].got
    assert (
        found["stale:eurusd"].parts == standing_faults(settings, store, late + timedelta(days=9))["stale:eurusd"].parts
    )


def test_a_message_of_several_stale_pairs_leads_to_the_page_of_all_of_them(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, fleet="eurusd gbpusd")
    faults = list(standing_faults(settings, open_store(settings), MOMENT).values())
    assert of_faults(faults[:1]).page == "/assets/published_training_file?view=partitions&partition=eurusd"
    assert of_faults(faults).page == "/assets/published_training_file?view=partitions"


def test_a_damaged_file_is_told_by_what_is_wrong_with_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store = open_store(settings)
    publish(*stored(tmp_path, b"PAR1 values PAR1"), store, progress=Silent())
    (settings.output_dir / "training_eurusd.parquet").write_bytes(b"PAR1 vAlues PAR1")
    found = standing_faults(settings, store, MOMENT)["stale:eurusd"]
    assert found.what == "the published file is damaged"
    assert "crc32c" in found.got
    assert "crc32c" in found.expected


def test_only_pairs_of_the_fleet_are_looked_at(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, fleet="eurusd gbpusd")
    assert set(standing_faults(settings, open_store(settings), MOMENT)) == {"stale:eurusd", "stale:gbpusd"}


def test_a_record_of_a_later_version_is_one_pairs_fault(tmp_path: Path) -> None:
    settings, gbpusd = Settings(home=tmp_path), parse_pair("gbpusd")
    store = open_store(settings)
    store.put_bytes(training_name(gbpusd), b"PAR1 values PAR1")
    _, manifest, _ = stored(tmp_path, b"PAR1 values PAR1")
    later = manifest.model_copy(update={"format_version": 99})
    store.put_bytes(plain_name(gbpusd, "manifest"), later.as_json())
    found = standing_faults(settings, store, MOMENT)
    assert found["stale:gbpusd"].what == "the published file is damaged"
    assert "99" in found["stale:gbpusd"].got
    assert found["stale:eurusd"].what == "not published"


def test_a_spent_budget_is_a_fault_until_the_month_is_over(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, monthly_budget_usd=5.0)
    store, now = open_store(settings), datetime(2026, 11, 27, tzinfo=UTC)
    for number, usd in enumerate((4.99, 0.02)):
        assert "budget:fleet" not in standing_faults(settings, store, now)
        entry = Entry(run=str(number), pair="eurusd", stage="slabs", began_at=now, outcome="done", bigquery_usd=usd)
        Ledger(store).begin(entry)
    found = standing_faults(settings, store, now)["budget:fleet"]
    assert "5.01 USD by the ledger" in found.got
    assert "BQX_MONTHLY_BUDGET_USD" in found.expected
    assert "budget:fleet" not in standing_faults(settings, store, now + timedelta(days=4))
    store.put_bytes("ledger/2026-11.parquet", b"no parquet")
    damaged = standing_faults(settings, store, now)["budget:fleet"]
    assert "the ledger is damaged" in damaged.what
    assert "ledger/2026-11.parquet" in damaged.got
