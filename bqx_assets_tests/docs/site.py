"""The documentation site: ``python -m bqx_assets_tests.docs.site`` builds it into ``build/site``.

Its pages are also read where they lie, on GitHub and in an editor, so their links name files of the repository.
They are copied to ``build/docs``, where a link to a page leads to its place on the site, and a link to any other file
becomes that file's path. The site's builder sees this copy only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import yaml

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "deploy.md": "deploy/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "example-laptop.md": "examples/laptop/README.md",
    "example-fleet.md": "examples/fleet_on_google/README.md",
    "example-walk-forward.md": "examples/walk_forward/README.md",
}
"""Pages of the site whose text lies elsewhere in the repository."""
DECISIONS = "adr/index.md"
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"^(?:```.*?^```|~~~.*?^~~~)", re.MULTILINE | re.DOTALL)


def build(folder: Path) -> str:
    """Build the site into ``folder/site`` and return what the builder said; any warning of it ends in an error."""
    stage(folder)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", folder / "mkdocs.yml"]
    environment = os.environ | {"NO_COLOR": "1", "NO_MKDOCS_2_WARNING": "1"}  # which repeats what pyproject.toml says
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return done.stdout


def stage(folder: Path) -> None:
    """Write the site's configuration and pages into ``folder``."""
    shutil.rmtree(folder / "docs", ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("site.yml"))
    texts = {path.relative_to(ROOT / "docs").as_posix(): path.read_text() for path in (ROOT / "docs").rglob("*.md")}
    texts |= {name: (ROOT / source).read_text() for name, source in ELSEWHERE.items()}
    texts[DECISIONS] = _index()
    for name, text in texts.items():
        (folder / "docs" / name).write_text(_for_the_site(name, text, set(texts)))
    site = yaml.safe_load((ROOT / "docs" / "site.yml").read_text())
    site["nav"][-1] = {"Decisions": [DECISIONS, *(f"adr/{path.name}" for path in _decisions())]}
    placed = yaml.safe_dump(site["nav"])
    if unplaced := [name for name in sorted(texts) if name not in placed]:
        site["nav"].append({"More": unplaced})  # until docs/site.yml gives them a place
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(site, sort_keys=False, allow_unicode=True))


def _for_the_site(name: str, text: str, pages: set[str]) -> str:
    """Return a page's text with links that lead somewhere on the site; blocks of code stay as they are."""
    folder = PurePosixPath(ELSEWHERE.get(name, f"docs/{name}")).parent
    kept = _CODE.findall(text)
    parts = (_LINK.sub(lambda match: _mended(match, name, folder, pages), part) for part in _CODE.split(text))
    return "".join(f"{part}{code}" for part, code in zip(parts, [*kept, ""], strict=True))


def _mended(match: re.Match[str], page: str, folder: PurePosixPath, pages: set[str]) -> str:
    text, target, anchor = match[1], match[2], match[3] or ""
    if "://" in target or target.startswith("mailto:"):
        return match[0]
    path = os.path.normpath(folder / target)
    inside = path.removeprefix("docs/")
    placed = next((name for name, source in ELSEWHERE.items() if source == path), inside)
    placed = DECISIONS if inside == "adr" else placed
    if placed in pages or (path != inside and (ROOT / path).is_file()):
        return f"[{text}]({os.path.relpath(placed, PurePosixPath(page).parent)}{anchor})"
    return f"`{path}`" if path.endswith(text.strip("`")) else f"{text} (`{path}`)"


def _decisions() -> list[Path]:
    return sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))


def _index() -> str:
    found = ((path, path.read_text().splitlines()[0].removeprefix("# ").partition(". ")) for path in _decisions())
    rows = [f"| {number} | [{title}]({path.name}) |" for path, (number, _, title) in found]
    head = ["# Decisions", "", "Each page has the question, the decision and the reasons.", ""]
    return "\n".join([*head, "| number | decision |", "|---:|---|", *rows, ""])


if __name__ == "__main__":
    build(ROOT / "build")
    sys.stdout.write(f"{ROOT / 'build' / 'site' / 'index.html'}\n")
