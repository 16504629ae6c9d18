"""The site builds without a warning, asks no other server for anything, and leads nowhere outside itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bqx_assets.base import errors
from bqx_assets.quality.rules import RULES
from bqx_assets.quality.slab_rules import SLAB_RULES
from bqx_assets_tests.docs.site import ELSEWHERE, ROOT, build
from bqx_assets_tests.fleet.test_page import chromium, in_browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder / "site"


def test_every_page_of_the_repository_is_on_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert not {
        page for page in pages | {Path(name).with_suffix(".html") for name in ELSEWHERE} if not (site / page).is_file()
    }


def test_no_page_asks_another_server_for_anything(site: Path) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)="?((?:https?:)?//[^" >]+)')
    styles = re.compile(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)")
    for page in site.rglob("*.html"):
        assert loaded.findall(page.read_text()) == [], page
    for sheet in site.rglob("*.css"):
        assert styles.findall(sheet.read_text()) == [], sheet


def test_every_link_of_a_page_leads_to_a_file_and_a_place_in_it(site: Path) -> None:
    """The builder itself warns of most; this looks at what it wrote."""
    pages = {page: page.read_text() for page in site.rglob("*.html") if page.name != "404.html"}
    links = 0
    for page, text in pages.items():
        for target, anchor in re.findall(r'<a [^>]*href="(?!https?:|mailto:)([^"#]*)(?:#([^"]*))?"', text):
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), f"{page.relative_to(site)}: {target}"
            assert not anchor or path not in pages or f'id="{anchor}"' in pages[path], f"{page.name}: {target}#{anchor}"
            links += 1
    assert links > 1_000


@in_browser
@pytest.mark.parametrize("page", ["index.html", "adr/0046-embargo.html"])
def test_the_search_finds_pages_when_the_site_is_opened_from_a_folder(site: Path, tmp_path: Path, page: str) -> None:
    dom = chromium(tmp_path, "--virtual-time-budget=10000", "--dump-dom", f"{(site / page).as_uri()}?q=embargo")
    found = re.findall(r'<a href="([^"]*)" class="md-search-result__link"', dom)
    assert any(link.startswith((site / "splits.html").as_uri()) for link in found), found


def test_a_link_to_a_file_that_is_no_page_is_that_files_path(site: Path) -> None:
    assert "<code>bqx_assets_tests/merge/test_splice.py</code>" in (site / "guarantees.html").read_text()
    assert "../bqx_assets_tests/" not in (site / "guarantees.html").read_text()


def test_every_error_and_check_that_the_runbook_names_exists() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    kinds, rules = (
        set(vars(errors)),
        {rule.name for rule in (*SLAB_RULES, *RULES)} | {"every_pair_published_verified_and_fresh"},
    )
    told, red = (_first_cells(text, heading) for heading in ("An error says", "A check is red"))
    assert len(told) > 25
    assert told - kinds == set()
    assert len(red) > 5
    assert red - rules == set()


def _first_cells(text: str, heading: str) -> set[str]:
    """Return the names in the first cells of a section's table."""
    section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    return {
        name for cell in re.findall(r"^\| ([^|]+)\|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
