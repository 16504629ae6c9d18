"""Write ``gcloud_flags.json``: the flags that the installed Google Cloud CLI knows of each command that we use.

    python -m bqx_assets_tests.deploy.gcloud_tree LIBRARY_FOLDER_OF_GCLOUD

Belongs here: reading the CLI's own table of completions. Does not: whether our commands agree with it.
"""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

from bqx_assets_tests.deploy.recipe import DEPLOY

FLAGS = Path(__file__).with_name("gcloud_flags.json")


def command_of(words: list[str], tree: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the leading words that are groups and a command of the tree, and the command's own entry."""
    path: list[str] = []
    for word in words:
        if word not in tree.get("commands", {}):
            break
        path.append(word)
        tree = tree["commands"][word]
    return path, tree


def calls_in(text: str) -> list[list[str]]:
    """Return the words behind each ``gcloud`` of a line: as far as they are plain, for prose may follow."""
    return [re.split(r"[^\w./:=@,-]+", part) for part in text.split("gcloud ")[1:]]


def main(library: str) -> None:
    """Write the file."""
    table = runpy.run_path(f"{library}/data/cli/gcloud_completions.py")["STATIC_COMPLETION_CLI_TREE"]
    known: dict[str, list[str]] = {"": sorted(table["flags"])}
    texts = [
        "gcloud sql users set-password",
        *(DEPLOY / "commands.txt").read_text().splitlines(),
        *(DEPLOY / "phases.sh").read_text().splitlines(),
        *(DEPLOY / "README.md").read_text().splitlines(),
    ]
    for text in texts:
        for words in calls_in(text):
            path, entry = command_of(words, table)
            if path and not entry.get("commands"):
                known[" ".join(path)] = sorted(entry["flags"])
    FLAGS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
