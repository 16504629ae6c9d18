"""GitHub and pre-commit run what a person and ``.ci/run`` run: the same targets, programs of the same environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
BIN = Path(sys.executable).parent


def _gates() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]["gates"]


def test_the_workflow_is_of_githubs_published_schema() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_workflow_calls_the_targets_that_the_repositorys_own_script_calls() -> None:
    called = [step["run"] for step in _gates()["steps"] if "run" in step]
    assert called == [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert len(called) == 3


def test_the_workflow_tries_the_oldest_and_the_newest_python_that_the_package_takes() -> None:
    tried = [tuple(map(int, text.split("."))) for text in _gates()["strategy"]["matrix"]["python"]]
    assert (
        f'requires-python = ">={_text(tried[0])},<{_text((tried[-1][0], tried[-1][1] + 1))}"'
        in (ROOT / "pyproject.toml").read_text()
    )


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def test_pre_commit_fetches_nothing_and_runs_programs_of_the_environment() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [each["repo"] for each in repositories] == ["local"]
    programs = [hook["entry"].split()[0] for hook in repositories[0]["hooks"]]
    assert programs == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/lint-imports"]
    assert all((BIN / Path(program).name).is_file() for program in programs)
    assert {hook["language"] for hook in repositories[0]["hooks"]} == {"system"}
