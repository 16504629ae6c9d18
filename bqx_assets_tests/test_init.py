"""The public surface: its example runs, a type checker sees it, a wheel holds it whole, importing it costs nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from typer.testing import CliRunner

import bqx_assets
from bqx_assets.cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"
EXAMPLE = "".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
CHECKED = """
reveal_type(pipeline.plan(eurusd))
reveal_type(pipeline.extract(eurusd))
reveal_type(merged.manifest)
reveal_type(report)
reveal_type(done.published.uri)
reveal_type(pipeline.verify([eurusd]))
reveal_type(pipeline.status())
pipeline.extract("eurusd")
bqx_assets.nothing
"""


def test_every_public_name_is_there_and_documented() -> None:
    for name in bqx_assets.__all__:
        assert getattr(bqx_assets, name) is not None
        assert f"`{name}" in PAGE.read_text(), name
    assert bqx_assets.BqxError is bqx_assets.errors.BqxError
    assert dir(bqx_assets) == sorted(bqx_assets.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bqx_assets.nothing  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]


def test_the_example_of_the_page_takes_a_pair_through_its_stages_with_at_most_three_imports(tmp_path: Path) -> None:
    assert len(re.findall(r"^(?:from|import) ", EXAMPLE, re.MULTILINE)) <= 3
    words = ["warehouse", "create", str(tmp_path / ".bqx" / "warehouse"), "--pairs", "eurusd"]
    assert CliRunner().invoke(app, [*words, "--rows", "3600", "--tables", "6"]).exit_code == 0
    done = subprocess.run([sys.executable, "-c", EXAMPLE], cwd=tmp_path, capture_output=True, text=True, check=True)
    plan, published = done.stdout.splitlines()
    assert "columns; to read: " in plan
    assert re.fullmatch(r"[\d,]+ rows in .*training_eurusd\.parquet", published)


def test_the_type_checker_of_a_users_program_sees_the_types(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(f"import bqx_assets\n{EXAMPLE}{CHECKED}".replace("if report.passed:", "if True:"))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)["generalDiagnostics"]
    types = [match[1] for each in said if (match := re.search(r'is "(.*)"$', each["message"]))]
    assert types == [
        "PairPlan",
        "ExtractionRecord",
        "Manifest",
        "Report",
        "str",
        "list[Standing]",
        "list[PairStatus]",
    ]
    wrong = [each["rule"] for each in said if each["severity"] == "error"]
    assert wrong == ["reportArgumentType", "reportAttributeAccessIssue"]
    assert (Path(bqx_assets.__file__).parent / "py.typed").is_file()


def test_a_wheel_holds_the_package_with_its_data_files_and_nothing_else() -> None:
    files = (path for path in Path(bqx_assets.__file__).parent.rglob("*") if path.is_file())
    ours = {path.relative_to(PAGE.parents[1]).as_posix() for path in files if path.suffix != ".pyc"}
    assert {file.distribution_path for file in WheelBuilder(str(PAGE.parents[1])).recurse_included_files()} == ours


def test_importing_the_package_imports_none_of_its_libraries() -> None:
    code = "import sys, bqx_assets; print([n for n in ('polars', 'pydantic', 'dagster') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
