"""Tests the whole examination over an embedded warehouse and a folder, which calls no server of Google's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bqx_assets.base.errors import UsageError
from bqx_assets.base.settings import Settings, variable_of
from bqx_assets.doctor.case import Case, Line, Report
from bqx_assets.doctor.probes import THEMES, look, probes_of, with_needs
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.runtime.homes import make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _nothing_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


def _line(report: Report, theme: str, name: str) -> Line:
    return next(line for line in report.lines if (line.theme, line.name) == (theme, name))


def test_an_embedded_warehouse_lacks_nothing_and_googles_lines_are_left_out_by_name(home: Path) -> None:
    before = sorted(home.rglob("*"))
    report = look(Settings(home=home), EURUSD)
    assert report.passed, report.missing
    left_out = {line.name for line in report.lines if line.state == "skipped"}
    assert {"credentials", "BigQuery", "Cloud Storage", "Cloud Run", "postgres"} <= left_out
    assert sorted(home.rglob("*")) == before


def test_names_of_probes_are_one_of_a_kind_and_whatever_is_needed_is_looked_at(home: Path) -> None:
    for settings in (Settings(home=home), Settings(home=home, bigquery_project="bqx-ml", output="gs://bqx-ml-output")):
        stated = {variable_of(name): "x" for name in Settings.model_fields}
        case = Case(settings, EURUSD, environment={"DAGSTER_HOME": "x", **stated})
        probes = list(probes_of(case))
        names = [probe.name for probe in probes]
        assert len(names) == len(set(names))
        assert {need for probe in probes for need in (*probe.needs, *probe.after)} <= {*names}
        assert {probe.theme for probe in probes} == {*THEMES}
        for theme in THEMES:
            asked = list(with_needs(probes, [theme]))
            assert [probe for probe in asked if probe.theme == theme] == [
                each for each in probes if each.theme == theme
            ]
            assert {need for probe in asked for need in (*probe.needs, *probe.after)} <= {probe.name for probe in asked}


def test_of_the_themes_that_are_asked_for_the_lines_alone_are_shown(home: Path) -> None:
    report = look(Settings(home=home), EURUSD, only=["machine", "output"])
    assert report.passed
    whole = look(Settings(home=home), EURUSD)
    wanted = [(line.theme, line.name) for line in whole.lines if line.theme in {"machine", "output"}]
    assert [(line.theme, line.name) for line in report.lines] == wanted


def test_a_lack_of_another_theme_that_keeps_the_asked_one_from_being_looked_at_is_shown(tmp_path: Path) -> None:
    report = look(Settings(home=tmp_path), EURUSD, only=["machine"])
    assert [(line.theme, line.name) for line in report.missing] == [("tables", "warehouse")]
    assert {line.theme for line in report.lines} == {"tables", "machine"}
    assert look(Settings(home=tmp_path), EURUSD, only=["output"]).passed, "what it does not need is not counted"


def test_an_unknown_theme_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one of: settings, .*, cloud run"):
        look(Settings(home=tmp_path), EURUSD, only=["machine", "cloud"])


def test_a_missing_warehouse_is_the_only_lack(tmp_path: Path) -> None:
    report = look(Settings(home=tmp_path), EURUSD)
    assert [(line.theme, line.name) for line in report.missing] == [("tables", "warehouse")]


def test_a_missing_table_is_the_only_lack(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "warehouse", tmp_path / "warehouse")
    (gone,) = (tmp_path / "warehouse").rglob("targets_eurusd.parquet")
    gone.unlink()
    report = look(Settings(home=tmp_path), EURUSD)
    assert [(line.theme, line.name) for line in report.missing] == [("tables", "tables of the pair")]
    assert "targets_eurusd" in report.missing[0].found


def test_bytes_over_the_budget_are_the_only_lack(home: Path) -> None:
    report = look(Settings(home=home, max_bytes=1_000), EURUSD)
    assert [(line.theme, line.name) for line in report.missing] == [("pair", "reads")]
    assert report.missing[0].reason == "budget"


def test_a_history_that_this_machine_cannot_hold_is_the_only_lack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of a container of 256 MiB; the free memory is the machine's."""
    monkeypatch.setattr("bqx_assets.extract.memory.memory_limit_bytes", lambda: 256 << 20)
    report = look(Settings(home=home), EURUSD)
    assert [(line.theme, line.name) for line in report.missing] == [("machine", "memory of a run")]
    assert "GiB" in report.missing[0].found


def test_a_disk_that_is_too_small_is_the_only_lack(home: Path, tmp_path: Path) -> None:
    """The disk is a mounted one of 256 KB, if this account may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["/usr/bin/env", "mount", "-t", "tmpfs", "-o", "size=256k", "bqx-small", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount a file system")
    try:
        report = look(Settings(home=small, warehouse=home / "warehouse"), EURUSD)
    finally:
        subprocess.run(["/usr/bin/env", "umount", str(small)], check=True)
    assert [(line.theme, line.name) for line in report.missing] == [("machine", "disk")]
    assert _line(report, "machine", "file system").state == "note"
    assert "is in memory: each file there takes memory" in _line(report, "machine", "file system").found


def test_without_google_none_of_its_libraries_is_imported(home: Path) -> None:
    """The libraries take two seconds to import, ten times as long as the examination itself."""
    program = (
        "import sys\nfrom bqx_assets.base.pairs import ALL_PAIRS\nfrom bqx_assets.base.settings import Settings\n"
        "from bqx_assets.doctor.probes import look\n"
        f"assert look(Settings(home={str(home)!r}), ALL_PAIRS[0]).passed\n"
        "assert not [name for name in sys.modules if name.startswith(('google.cloud', 'google.auth', 'dagster'))]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
