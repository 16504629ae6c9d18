"""The writing standard as tests: sizes, docstrings, names, nothing at import time, nothing of anybody's machine."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path

from benchmarks.rooms import crumbs
from bqx_assets.base import errors

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES, MEDIAN_LINES, FUNCTION_LINES = 400, 250, 45
TRACKED = subprocess.run(["/usr/bin/env", "git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
FILES = sorted(name for name in TRACKED.stdout.splitlines() if (ROOT / name).is_file())
PACKAGE = [name for name in FILES if name.startswith("bqx_assets/") and name.endswith(".py")]
TESTS = [name for name in FILES if name.startswith("bqx_assets_tests/") and name.endswith(".py")]
DOCS = [name for name in FILES if name.endswith(".md")]
OUR_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}

SHARED_STEMS = {
    "client": "one of BigQuery, one of Cloud Run's Admin API, each in the folder of its service",
    "files": "one writes any file in whole, one reads and writes the dictionary's",
    "plan": "what an extraction, and what a merge would do: `bqx plan` shows both",
    "read": "one reads refusals, one reads tables",
    "schema": "one is of the training file's columns, one of the dictionary that describes them",
    "table": "one is the table of refusals, one reads a table of the warehouse",
}
OPENS_BADLY = re.compile(
    r"(?:About|Above|After|Against|Along|Also|Although|Among|And|As|At|Because|Before|Behind|Below|Beneath|Besides?|"
    r"Between|Beyond|But|By|Despite|During|Except|For|From|How|If|In|Inside|Into|Like|Near|Nor|Of|Off|On|Onto|Or|Out|"
    r"Outside|Over|Per|Since|So|Than|Though|Through|To|Towards|Under|Unless|Until|Upon|What|When|Where|Whereas|Whether|"
    r"Which|While|Who|Whom|Whose|With|Within|Without|Yet)\b"
)
"""Words that no docstring begins with: prepositions, conjunctions, and question words, which give riddles."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text()


@cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_text(name))


def _lines(name: str) -> int:
    return len(_text(name).splitlines())


def _public(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Functions and methods that another module may call."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def _raised(function: Function) -> set[str]:
    """Our errors that the function's own body raises."""
    calls = (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise))
    names = (call.func for call in calls if isinstance(call, ast.Call))
    return {name.id for name in names if isinstance(name, ast.Name)} & OUR_ERRORS


def test_no_file_is_over_the_cap() -> None:
    # A table of test cases may be longer than a module; half as long again is the end of it.
    caps = dict.fromkeys(PACKAGE, FILE_LINES) | dict.fromkeys(TESTS, 450)
    assert {name: _lines(name) for name, cap in caps.items() if _lines(name) > cap} == {}


def test_the_median_file_is_short() -> None:
    assert statistics.median(map(_lines, PACKAGE)) < MEDIAN_LINES


def test_no_function_is_over_the_cap() -> None:
    """Lines of code: signature and docstring do not count, for they are to be long where there is much to say."""
    long: dict[str, int] = {}
    for name in PACKAGE:
        for node in ast.walk(_tree(name)):
            if isinstance(node, Function):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > FUNCTION_LINES:
                    long[f"{name}: {node.name}"] = lines
    assert long == {}


def test_every_module_says_what_it_is() -> None:
    first = {name: next(iter((ast.get_docstring(_tree(name)) or "").splitlines()), "") for name in PACKAGE}
    assert {name: line for name, line in first.items() if not line.rstrip().endswith((".", ":", "?"))} == {}


def test_no_module_is_a_crumb() -> None:
    """A module with few lines of code and a single importer joins that importer."""
    assert crumbs(ROOT) == {}


def test_a_modules_stem_says_which_module_is_meant() -> None:
    """Modules of ``cli`` and ``doctor`` are named after what they show or examine; other names stand once."""
    named = [name for name in PACKAGE if not name.startswith(("bqx_assets/cli/", "bqx_assets/doctor/"))]
    count = Counter(Path(name).stem for name in named if not name.endswith("__init__.py"))
    assert {stem for stem, modules in count.items() if modules > 1} == SHARED_STEMS.keys()


def test_docstrings_say_what_a_thing_is_and_open_with_no_preposition_conjunction_or_question_word() -> None:
    """All docstrings of modules, classes, functions and methods, private ones included."""
    found: dict[str, list[str]] = {}
    for name in PACKAGE:
        documented = [node for node in ast.walk(_tree(name)) if isinstance(node, ast.Module | ast.ClassDef | Function)]
        texts = map(ast.get_docstring, documented)
        found[name] = [text.splitlines()[0] for text in texts if text and OPENS_BADLY.match(text)]
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_every_public_function_has_a_docstring_that_names_the_errors_it_raises() -> None:
    for name in PACKAGE:
        for label, function in _public(_tree(name)):
            docstring = ast.get_docstring(function)
            assert docstring, f"{name}: {label}"
            missing = {error for error in _raised(function) if error not in docstring}
            assert not missing, f"{name}: {label} raises {sorted(missing)} and does not say so"


def test_every_public_function_of_frames_gives_their_shape() -> None:
    for name in PACKAGE:
        for label, function in _public(_tree(name)):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            hints = [*(each.annotation for each in arguments), function.returns]
            if any(hint is not None and re.search(r"\bDataFrame\b", ast.unparse(hint)) for hint in hints):
                docstring = ast.get_docstring(function) or ""
                shape = re.search(r"\*\*Shape\*\*|\brows?\b|\bcolumns?\b", docstring)
                assert shape, f"{name}: {label}: rows x columns?"


def test_an_init_holds_a_docstring_only() -> None:
    inits = [name for name in PACKAGE if name.endswith("/__init__.py") and name.count("/") > 1]
    assert [name for name in inits if len(_tree(name).body) != 1] == []


def test_nothing_works_at_import_time() -> None:
    """Definitions, constants and decorators; no loops, no bare calls, no opening of anything."""
    allowed = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
    for name in PACKAGE:
        for node in _tree(name).body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            called = isinstance(node, ast.Expr) and ast.unparse(node).startswith("app.add_typer(")
            types = isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "not TYPE_CHECKING"}
            assert text or called or types or isinstance(node, allowed), f"{name}: {ast.unparse(node)}"
            working = re.search(r"\b(open|read_text|read_bytes|read_parquet|run|connect)\(", _constants(node))
            assert not working, f"{name}: {ast.unparse(node)}"


def _constants(node: ast.stmt) -> str:
    return ast.unparse(node) if isinstance(node, ast.Assign | ast.AnnAssign) else ""


def test_one_module_asks_whether_files_lie_in_a_folder_or_in_a_bucket() -> None:
    """Stages are given a store: who opens one by the settings, or asks which it is, decides for all of them."""
    asking = re.compile(r"\b(?:in_cloud|open_store)\(")
    found = [name for name in PACKAGE if asking.search(_text(name))]
    assert found == ["bqx_assets/base/store/open_store.py", "bqx_assets/pipeline.py"]
    # Others ask ``is_address``, of a place that a user names.
    knowing = [name for name in PACKAGE if re.search(r"\bGCS_SCHEME\b", (ROOT / name).read_text())]
    assert all(name.startswith("bqx_assets/base/") for name in knowing), knowing


def test_a_fact_of_the_table_of_changes_stands_in_one_module() -> None:
    """These once stood in several: one of five compression levels was changed, and hints named another key."""
    facts = {
        r'"interval_time"': "bqx_assets/base/names.py",
        r'"zstd"|compression_level=\d': "bqx_assets/extract/encodings.py",
        r"RetryPolicy\(.*\d": "bqx_assets/base/retry.py",
        r'"eur", "gbp"': "bqx_assets/base/pairs.py",
        r'f"target_bqx': "bqx_assets/base/names.py",
    }
    for fact, home in facts.items():
        assert [name for name in PACKAGE if re.search(fact, _text(name))] == [home], fact


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "common", "lib", "misc"}
    assert [name for name in PACKAGE + TESTS if {Path(name).stem, *Path(name).parts[:-1]} & drawers] == []


def test_tests_lie_where_what_they_test_lies() -> None:
    """``bqx_assets/a/b.py`` is tested by ``bqx_assets_tests/a/test_b.py``, or by its package's flow."""
    folders = {Path(name).parent.relative_to("bqx_assets") for name in PACKAGE}
    folders |= {Path("cloud")}  # what crosses packages: the whole product against servers of its three services
    folders |= {Path("docs")}  # the pages of the repository's own folder docs/
    folders |= {Path("examples")}  # the scripts of the repository's own folder examples/
    folders |= {Path("deploy")}  # the recipe of the repository's own folder deploy/
    folders |= {Path("servers/bigquery")}  # how the tests' own server is installed
    for name in TESTS:
        folder = Path(name).parent.relative_to("bqx_assets_tests")
        if Path(name).name.startswith("test_"):
            assert folder in folders, name


def test_no_file_speaks_of_the_machine_it_was_written_on() -> None:
    # A folder of the image is one of the product; a home of anybody's is not.
    spoken = re.compile(r"/(?:work|home/\w+|Users/\w+|root)/")
    texts = [name for name in FILES if not name.endswith((".lock", ".png"))]
    assert [name for name in texts if spoken.search(_text(name))] == []


def test_every_link_of_the_docs_leads_somewhere() -> None:
    for name in DOCS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", _text(name)):
            assert "://" in target or ((ROOT / name).parent / target).exists(), f"{name}: {target}"


def test_every_module_that_the_docs_name_exists() -> None:
    """For example ``merge/plan.py``, ``bqx_assets.base.pairs``; files of other projects are in other folders."""
    roots = ("", "bqx_assets/", "bqx_assets_tests/")
    ours = {folder for root in roots for folder in _folders(ROOT / root)}
    for name in DOCS:
        if name == "CHANGELOG.md":
            continue
        for path, top in re.findall(r"`((\w+)/[\w/]+\.(?:py|toml))(?:::\w+)?`", _text(name)):
            assert top not in ours or any((ROOT / root / path).is_file() for root in roots), f"{name}: {path}"
        dotted = re.findall(r"`(?:python -m )?((?:bqx_assets|bqx_assets_tests|benchmarks)(?:\.\w+)+)`", _text(name))
        assert [each for each in dotted if not _exists(each)] == [], name


def _folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()}


def _exists(dotted: str) -> bool:
    """Whether a module of this name exists, or one that names the last word."""
    path = ROOT / dotted.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = path.parent.with_suffix(".py") if path.parent.with_suffix(".py").is_file() else path.parent / "__init__.py"
    return module.is_file() and re.search(rf"\b{path.name}\b", module.read_text()) is not None


def test_every_test_that_the_docs_name_exists() -> None:
    for name in DOCS:
        for file, test in re.findall(r"([\w/]+\.py)::(test_\w+)", _text(name)):
            path = ROOT / "bqx_assets_tests" / file.removeprefix("bqx_assets_tests/")
            assert path.is_file(), f"{name}: {file}"
            assert re.search(rf"def {test}\b", path.read_text()), f"{name}: {file}::{test}"


def test_the_walks_of_the_docs_follow_imports_and_enter_no_folder_twice() -> None:
    """Of two neighbours in a walk one imports the other, and the layers come one after another, down or up."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [name.strip() for layer in contracts[0]["layers"] for name in layer.split("|")]
    walks = re.findall(r"`[\w/]+\.py`(?:\s+→\s+`[\w/]+\.py`)+", (ROOT / "docs/index.md").read_text())
    assert len(walks) == 4
    for walk in walks:
        modules = re.findall(r"[\w/]+\.py", walk)
        for one, other in pairwise(modules):
            assert other in _imported(one) or one in _imported(other), (one, other)
        depths = [layers.index(module.split("/")[0].removesuffix(".py")) for module in modules]
        assert depths in (sorted(depths), sorted(depths, reverse=True)), walk
        folders = [folder for folder, _ in groupby(modules, lambda module: module.rpartition("/")[0])]
        assert len(folders) == len(set(folders)), walk


def _imported(module: str) -> set[str]:
    """The package's modules that a module imports, anywhere in it, as paths below the package."""
    found: set[str] = set()
    for node in ast.walk(_tree(f"bqx_assets/{module}")):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bqx_assets."):
            path = (node.module or "").removeprefix("bqx_assets.").replace(".", "/")
            found |= {f"{path}.py", *(f"{path}/{name.name}.py" for name in node.names)}
    return found


def test_the_readme_is_short() -> None:
    assert _lines("README.md") < 150
