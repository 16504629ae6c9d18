"""The page of faults: every fault it lists has the test that it names, and there are enough of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
FEWEST_FAULTS = 20


def test_every_test_that_the_page_names_is_there() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert named
    missing = [f"{file}::{name}" for file, name in named if name not in _tests_of(TESTS / file)]
    assert not missing


def test_every_fault_names_what_is_seen_what_is_lost_and_its_test() -> None:
    faults = PAGE.read_text().split("## Faults")[1].split("## Secrets")[0]
    rows = [line.strip("|").split("|") for line in faults.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0].strip() != "fault"]
    assert len(rows) >= FEWEST_FAULTS
    for row in rows:
        fault, seen, lost, test = (cell.strip() for cell in row)
        assert all((fault, seen, lost)), row
        assert NAMED.fullmatch(test), row


def _tests_of(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}
