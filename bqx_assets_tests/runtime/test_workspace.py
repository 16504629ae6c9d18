"""The resource: exactly the settings it was made of, the environment for the rest, a clear refusal otherwise."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.workspace import Workspace


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


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"engine": "pandas"}, {"worker": 2}, {"start": "soon"}])
def test_a_wrong_setting_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSetting, match=next(iter(wrong))):
        Workspace(overrides=wrong).settings()


def test_the_launchpad_lists_every_setting() -> None:
    description = Workspace.model_fields["overrides"].description
    assert description is not None
    assert all(name in description for name in Settings.model_fields)


def test_an_override_in_the_launchpad_reaches_the_run(tmp_path: Path) -> None:
    seen: list[Settings] = []

    @dg.op
    def look(workspace: Workspace) -> None:
        seen.append(workspace.settings())

    @dg.job(resource_defs={"workspace": Workspace()})
    def looking() -> None:
        look()

    config = {"overrides": {"home": str(tmp_path), "workers": 7}}
    looking.execute_in_process(run_config={"resources": {"workspace": {"config": config}}})
    assert (seen[0].home, seen[0].workers) == (tmp_path, 7)


def test_an_extraction_works_in_the_pairs_own_folder(settings: Settings) -> None:
    job = Workspace.of(settings).extraction(parse_pair("eurusd"), Silent())
    assert job.folder == settings.checkpoint_dir / "eurusd"
    assert len(job.catalogue().tables) == 6
