"""The resource: exactly the settings it was made of, the environment for the rest, a clear refusal otherwise."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.workspace import RUN_SETTINGS, Workspace


def test_settings_survive_the_way_through_dagsters_configuration(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"home": tmp_path, "workers": 3, "duplicates": "last", "start": "2024-01-02T00:00:00Z", "engine": "join"}
    )
    assert Workspace.of(settings).settings() == settings


def test_what_a_run_leaves_out_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_HOME", str(tmp_path))
    monkeypatch.setenv("BQX_WORKERS", "5")
    assert Workspace().settings().home == tmp_path
    assert Workspace(overrides={"workers": 2}).settings().workers == 2
    assert Workspace().settings().workers == 5


@pytest.mark.parametrize("foreign", sorted(Settings.model_fields.keys() - {*RUN_SETTINGS}))
def test_a_run_may_not_say_where_it_reads_writes_or_what_it_is_judged_by(foreign: str, settings: Settings) -> None:
    cure = f"BQX_{foreign.upper()} where the code location is started"
    for chosen in (None, Workspace.of(settings).chosen):
        with pytest.raises(BadSetting, match=cure):
            Workspace(overrides={foreign: "x"}, chosen=chosen).settings()


def test_what_may_differ_from_run_to_run_is_a_short_list_of_harmless_settings() -> None:
    assert set(RUN_SETTINGS) == {"workers", "bigquery_streams", "engine", "period", "start", "end", "last"}


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize(
    ("environment", "own"),
    [
        ({"BQX_LAST": "395d"}, {"start": "2024-01-02T00:00:00Z"}),
        ({"BQX_START": "2024-01-02", "BQX_END": "2024-02-02"}, {"last": "10 rows"}),
        ({"BQX_START": "2024-01-02", "BQX_END": "2024-02-02"}, {"start": "2023-01-02T00:00:00Z"}),
    ],
)
def test_a_run_with_a_range_of_its_own_has_no_bound_of_the_environments(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], own: dict[str, str], *, chosen: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = Workspace(overrides=own, chosen=Workspace.of(Settings()).chosen if chosen else None).settings()
    stated = {name for name in ("start", "end", "last") if getattr(found, name) is not None}
    assert stated == own.keys()


def test_a_run_cannot_name_the_settings_of_another_program_and_no_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_SECRET", "swordfish")
    seen: list[str] = []

    @dg.op
    def look(workspace: Workspace) -> None:
        with pytest.raises(BadSetting) as caught:
            workspace.settings()
        seen.append(str(caught.value))

    @dg.job(resource_defs={"workspace": Workspace()})
    def looking() -> None:
        look()

    config = {"resources": {"workspace": {"config": {"chosen": {"env": "A_SECRET"}}}}}
    looking.execute_in_process(run_config=config)
    assert len(seen) == 1
    assert "swordfish" not in seen[0]


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"engine": "pandas"}, {"worker": 2}, {"start": "soon"}])
def test_a_wrong_setting_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSetting, match=next(iter(wrong))):
        Workspace(overrides=wrong).settings()


def test_the_launchpad_lists_every_setting_of_a_run() -> None:
    description = Workspace.model_fields["overrides"].description
    assert description is not None
    assert all(name in description for name in RUN_SETTINGS)


def test_an_override_in_the_launchpad_reaches_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    @dg.op
    def look(workspace: Workspace) -> None:
        seen.append(workspace.settings())

    @dg.job(resource_defs={"workspace": Workspace()})
    def looking() -> None:
        look()

    monkeypatch.setenv("BQX_HOME", str(tmp_path))
    config = {"overrides": {"engine": "join", "workers": 7}}
    looking.execute_in_process(run_config={"resources": {"workspace": {"config": config}}})
    assert (seen[0].home, seen[0].engine, seen[0].workers) == (tmp_path, "join", 7)


def test_an_extraction_works_in_the_pairs_own_folder(settings: Settings) -> None:
    job = Workspace.of(settings).pipeline().extraction(parse_pair("eurusd"))
    assert job.slabs.folder == settings.checkpoint_dir / "eurusd"
    assert len(job.catalogue().tables) == 6
