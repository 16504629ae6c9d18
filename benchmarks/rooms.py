"""Counts the modules of the package, their lines by kind, and the crumbs: small modules with a single importer.

python -m benchmarks.rooms [FOLDER]
"""

from __future__ import annotations

import ast
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from pathlib import Path

PACKAGE = "bqx_assets"
LEAST_CODE = 25
"""Lines without imports, docstrings, comments and blanks that a module with a single importer must have."""


def lines_by_kind(path: Path) -> Counter[str]:
    """Return the number of a module's lines by kind: code, docstring, comment, import, blank."""
    text = path.read_text()
    tree, kinds = ast.parse(text), dict[int, str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            kinds |= dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), "import")
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            kinds |= dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), "docstring")
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
                kinds[token.start[0]] = "comment"
    found: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        found[kinds.get(number, "blank" if not line.strip() else "code")] += 1
    return found


def imported(path: Path, modules: set[str]) -> set[str]:
    """Return the package's modules that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names & modules


def importers_of(paths: dict[str, Path]) -> dict[str, set[str]]:
    """Return for each imported module of ``paths`` (dotted name to file) the modules of ``paths`` that import it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, path in paths.items():
        for other in imported(path, set(paths)):
            found[other].add(name)
    return dict(found)


def modules_of(root: Path) -> dict[str, Path]:
    """Return the package's modules, packages included, from dotted name to file."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / PACKAGE).rglob("*.py"))
    }


def crumbs(root: Path) -> dict[str, int]:
    """Return the modules with fewer than ``LEAST_CODE`` lines of code that one module imports, with these numbers."""
    paths = modules_of(root)
    importers = importers_of(paths)
    alone = {
        name: path for name, path in paths.items() if path.stem != "__init__" and len(importers.get(name, ())) == 1
    }
    code = {name: lines_by_kind(path)["code"] for name, path in alone.items()}
    return {name: lines for name, lines in code.items() if lines < LEAST_CODE}


def main() -> None:
    """Print the figures."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    paths = modules_of(root)
    modules = {name: path for name, path in paths.items() if path.stem != "__init__"}
    kinds = {name: lines_by_kind(path) for name, path in paths.items()}
    total = sum(kinds.values(), Counter[str]())
    importers = importers_of(paths)
    lines = sorted(sum(kinds[name].values()) for name in modules)
    stems = Counter(path.stem for path in modules.values())
    parts = ", ".join(f"{kind} {count:,}" for kind, count in total.most_common())
    small = ", ".join(f"{name} {count}" for name, count in crumbs(root).items())
    sys.stdout.write(
        f"modules without __init__  {len(modules)}\n"
        f"lines                     {total.total():,}: {parts}\n"
        f"lines a module            median {statistics.median(lines):.0f}, largest {lines[-1]}\n"
        f"with a single importer    {sum(len(importers.get(name, ())) == 1 for name in modules)}\n"
        f"stems used more than once {sorted(stem for stem, count in stems.items() if count > 1)}\n"
        f"crumbs                    {small or 'none'}\n"
    )


if __name__ == "__main__":
    main()
