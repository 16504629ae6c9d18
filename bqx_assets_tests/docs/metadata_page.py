"""The page of what Dagster shows of runs: metadata of materialisations and tags of runs, read from the code."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

RUNTIME = Path(__file__).parents[2] / "bqx_assets" / "runtime"
_ASSETS = {
    "spine_metadata": "`targets_spine`",
    "extraction_metadata": "`feature_slabs`",
    "training_metadata": "`training_parquet`",
    "publication_metadata": "`published_training_file`",
    "read_metadata": "`targets_spine` and `feature_slabs`, of what was read",
    "cost": "all four, of their cost",
}
"""Functions whose dictionaries are metadata, and the assets that show them."""
_SHARED = {"_sized": ("size_bytes", "size"), "_columns_by_family": ("dagster/column_schema", "dagster/column_lineage")}
_MEANINGS = {
    "dagster/row_count": "rows of the file; Dagster plots it",
    "dagster/uri": "the published file's address",
    "dagster/column_lineage": "the tables that columns come from, one entry a family",
    "dagster/column_schema": "columns, one entry a family",
    "columns": "number of columns",
    "tables": "number of feature tables",
    "size_bytes": "size as a number",
    "size": "size in megabytes, as text",
    "first": "first minute of the spine",
    "last": "last minute of the spine",
    "row_groups": "number of row groups, one a period",
    "fingerprint": "hash of the spine's keys",
    "resumed_tables": "tables that were not read, because their slabs were fresh",
    "pieces": "pieces of all slabs",
    "made_pieces": "pieces that this run made",
    "failed_tables": "tables that could not be extracted",
    "snapshot_time": "the moment at which all tables were read",
    "families": "tables, columns and megabytes of each family",
    "quarantined": "columns left out because they look forward, with the reason",
    "read_bytes": "bytes read from the warehouse and scanned by its queries",
    "read_usd": "their price in USD",
    "crc32c": "checksum of the file",
    "engine": "`splice` or `join`",
    "manifest": "the manifest's address",
    "expectations": "the expectations that the file was checked against, in a sentence",
    "swept_staged_objects": "staged objects that were removed because they were too old",
    "publication": "all facts of the publication as JSON",
    "seconds": "time of the step",
    "peak_memory_bytes": "peak resident memory, as a number",
    "peak_memory": "peak resident memory in megabytes, as text",
}
_TAGS = {
    "bqx/pair": "the pair of the run",
    "bqx/memory_class": "the class of container that the run asks for, such as `large`",
    "bqx/cloud_run_ending": "how Cloud Run's execution ended, in its words",
    "bqx/cloud_run_attempt": "which container of the execution works on the run",
    "bqx/rollout": "`stopped`: the run was cancelled because too many pairs of its fleet had failed",
    "bqx/made_tables": "number of tables of which something was made anew",
    "bqx/made_periods": "number of periods in which something was made anew",
}
"""Meanings of tags that have no text beside their names in the code."""


def page() -> str:
    """Return the page; a key or a tag without a meaning is a KeyError."""
    lines = [
        "# Metadata and tags in Dagster",
        "",
        "Every materialisation of an asset carries the metadata below; the outcome of a check has its evidence. The",
        "list of runs is filtered by tags. This page is made from `bqx_assets/runtime/` by",
        "`python -m bqx_assets_tests.docs.reference`.",
        "",
    ]
    found = _metadata()
    for function, asset in _ASSETS.items():
        lines += [f"## Metadata of {asset}", "", "| key | meaning |", "|---|---|"]
        lines += [f"| `{key}` | {_MEANINGS[key]} |" for key in found[function]]
        lines.append("")
    lines += ["## Tags of runs", "", "| tag | meaning |", "|---|---|"]
    lines += [f"| `{tag}` | {meaning or _TAGS[tag]} |" for tag, meaning in sorted(_tags().items())]
    return "\n".join([*lines, ""])


def _metadata() -> dict[str, list[str]]:
    """Return the keys that each of the functions gives, in the order of the code."""
    found: dict[str, list[str]] = {}
    for module in ("metadata.py", "step.py"):
        for node in ast.walk(ast.parse((RUNTIME / module).read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in _ASSETS:
                given = next(each.value for each in node.body if isinstance(each, ast.Return))
                found[node.name] = _keys(given) if isinstance(given, ast.Dict) else []
    return found


def _keys(given: ast.Dict) -> list[str]:
    keys: list[str] = []
    for key, value in zip(given.keys, given.values, strict=True):
        if isinstance(key, ast.Constant):
            keys.append(str(key.value))
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            keys += _SHARED[value.func.id]
    return keys


def _tags() -> dict[str, str]:
    """Return every tag of ours that the code names, with the text beside its name."""
    found: dict[str, str] = {}
    for path in sorted(RUNTIME.rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = [
            each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        found |= {name: found.get(name, "") for name in names if name.startswith("bqx/") and name[4:].isidentifier()}
        for one, two in pairwise(tree.body):
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant) and one.value.value in found:
                said = two.value if isinstance(two, ast.Expr) else None
                found[str(one.value.value)] = (
                    " ".join(str(said.value).split()) if isinstance(said, ast.Constant) else ""
                )
    return {tag: text.removeprefix("Tag of ").removeprefix("Tag by which ") for tag, text in found.items()}
