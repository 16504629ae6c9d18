"""A command's last lines name what was left out, replaced, or not begun."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import working_folder
from bqx_assets.cli.main import app
from bqx_assets.cli.results import merge_facts, merge_lines, period_tables, plan_lines, published_lines, status_lines
from bqx_assets.cli.session import Cost
from bqx_assets.extract.plan import PairPlan, PeriodCounts, PeriodPlan, PeriodState
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.publish import Published
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.slabs import SETTINGS, raw_folder, write_raw
from bqx_assets_tests.runtime.homes import make_home


def test_a_merge_says_which_columns_it_left_out(tmp_path: Path) -> None:
    frames = raw_folder(tmp_path / "raw")
    write_raw(tmp_path / "raw", "agg_eurusd", frames["agg_eurusd"].with_columns(target_45=pl.lit(1.0)))
    output = tmp_path / "out.parquet"
    manifest = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS), *StoredFile.at(output), progress=Silent()
    )
    told = "\n".join(str(line) for line in merge_lines(manifest, str(output), Cost()))
    assert "quarantined columns (they look forward): " in told
    assert "agg_eurusd.target_45" in told
    assert "agg_eurusd.target_45" in str(merge_facts(manifest, str(output), Cost())["quarantined"])


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (5_940, "! replaces generation 1 of 5,940 rows, which is 5,000 rows more than the new file has (940)"),
        (940, "  replaces generation 1 of 940 rows"),
        (None, "  replaces generation 1"),
    ],
)
def test_a_publication_says_how_many_rows_the_replaced_file_had(before: int | None, line: str) -> None:
    done = Published(
        pair="eurusd",
        uri="training_eurusd.parquet",
        manifest_uri="",
        report_uri="",
        size_bytes=1,
        crc32c=1,
        generation=2,
        replaced_generation=1,
        already_there=False,
        rows=940,
        replaced_rows=before,
    )
    assert line in [str(each) for each in published_lines(done)]


def test_a_narrow_terminal_breaks_no_familys_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    make_home(tmp_path, tables=20)
    result = CliRunner().invoke(app, ["--home", str(tmp_path), "plan", "eurusd"])
    assert result.exit_code == 0, result.output
    assert any(line.startswith("pair_specific ") for line in result.stdout.splitlines())
    assert "family " in result.stdout
    assert "missing" in result.stdout


def _plan(*states: PeriodState) -> PairPlan:
    """A plan of a period for each state."""
    periods = [
        PeriodPlan(period=f"2024-{number:02}", state=each, stale_tables=each != "fresh", read_bytes=10**6, read_usd=0.5)
        for number, each in enumerate(states, 1)
    ]
    counts = {state: states.count(state) for state in ("fresh", "changed", "new")}
    return PairPlan(
        pair="eurusd",
        warehouse="w",
        families=(),
        columns=50,
        read_bytes=2 * 10**6,
        read_usd=1.0,
        total_bytes=3 * 10**6,
        periods=PeriodCounts.model_validate(counts),
        by_period=tuple(periods),
        quarantined=(),
        left_out=(),
        problems=(),
        unexpected=(),
        known_absent={},
    )


def test_a_plan_shows_the_periods_that_are_read_and_counts_the_others() -> None:
    plan = _plan("fresh", "changed", "new")
    lines = plan_lines(plan)
    assert "to read: 2.0 of 3.0 MB" in lines[0]
    assert lines[1] == "  periods: 1 fresh, 1 changed, 1 new"
    (table,) = period_tables(plan)
    assert getattr(table, "row_count", 0) == 2
    assert period_tables(_plan("fresh", "fresh")) == []
    assert period_tables(_plan("new")) == []


def test_absent_tables_are_counted_by_their_reason_the_most_frequent_first() -> None:
    reasons = {"a": "rare", "b": "not made", "c": "not made", "d": "third", "e": "fourth", "f": "fifth"}
    lines = plan_lines(_plan("new").model_copy(update={"known_absent": reasons}))
    assert lines[2:] == [
        "  2 known absent tables (not made): b, c",
        "  1 known absent tables (rare): a",
        "  1 known absent tables (third): d",
        "  2 known absent tables for other reasons: e, f",
    ]


def test_of_a_long_history_the_latest_periods_are_shown_and_the_others_counted() -> None:
    states: list[PeriodState] = ["new"] * 40
    more, table = period_tables(_plan(*states))
    assert more == "  and 28 earlier periods (--json has all)"
    assert getattr(table, "row_count", 0) == 12


def test_pairs_of_which_nothing_exists_share_one_line(tmp_path: Path) -> None:
    nothing = Pipeline(SETTINGS.model_copy(update={"home": tmp_path})).status()
    (line,) = status_lines(nothing)
    assert line == f"28 pairs: nothing made yet ({', '.join(pair.name for pair in ALL_PAIRS)})"
    begun = nothing[0].model_copy(update={"spine": "done"})
    table, line = status_lines([begun, *nothing[1:]])
    assert str(line).startswith("27 more pairs: nothing made yet (gbpusd, ")
    assert getattr(table, "row_count", 0) == 1
    unreadable = begun.model_copy(update={"spine": "none", "problem": "extraction.json: of a later version"})
    (line,) = status_lines([unreadable, *nothing[1:]])
    assert str(line).startswith("27 pairs: nothing made yet (gbpusd, ")
