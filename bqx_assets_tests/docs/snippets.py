"""The fenced blocks of the pages: which of them a test runs, and for what reason others are not run.

``python -m bqx_assets_tests.docs.snippets`` counts them.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r'title="Not run by a test: (?P<reason>[^"]+)"')
RUN = ("sh", "python")
"""Languages of blocks that are run, unless their title says why not. The site shows the title above the block."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    reason: str
    """The reason why it is not run; empty for one that is, and for one that is no program."""

    @property
    def runs(self) -> bool:
        """Return whether a test runs it."""
        return self.language in RUN and not self.reason


def snippets() -> list[Snippet]:
    """Return all blocks of the README and of the site's pages, in order. Decisions have none to be run."""
    others = ("README.md", "deploy/README.md", "CONTRIBUTING.md")
    pages = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in others)]
    return [each for page in pages for each in _of(page)]


def _of(page: Path) -> list[Snippet]:
    name, text = page.relative_to(ROOT).as_posix(), page.read_text()
    found: list[Snippet] = []
    for match in _FENCE.finditer(text):
        language, said = match["info"].partition(" ")[0], _NOT_RUN.search(match["info"])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Snippet(name, line, language, match["text"], said["reason"] if said else ""))
    return found


if __name__ == "__main__":
    counted = Counter("run" if each.runs else each.reason or f"no program: {each.language}" for each in snippets())
    for reason, number in counted.most_common():
        sys.stdout.write(f"{number:4} {reason}\n")
