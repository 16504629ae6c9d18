"""Each page that follows from the code is what its generator gives, and says something of everything it lists."""

from __future__ import annotations

import re

import pytest

from bqx_assets.base import errors
from bqx_assets_tests.docs.reference import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_its_generator_gives(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "python -m bqx_assets_tests.docs.reference"


@pytest.mark.parametrize("name", ["cli.md", "checks.md", "metadata.md"])
def test_nothing_that_a_page_lists_is_without_a_meaning(name: str) -> None:
    rows = [line for line in PAGES[name]().splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


def test_every_error_has_a_place_and_a_meaning() -> None:
    page = PAGES["errors.md"]()
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.BqxError)]
    assert all(f"## {kind.__name__}\n\n" in page for kind in kinds if kind is not errors.BqxError)
    assert "bqx store init" in page
