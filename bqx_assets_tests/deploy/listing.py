"""Write ``deploy/commands.txt``: every command of the recipe, as a dry run prints it for an example.

    python -m bqx_assets_tests.deploy.listing

Belongs here: the file's head and the call. Does not: the commands (``deploy/phases.sh``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bqx_assets_tests.deploy.fake_programs import Player
from bqx_assets_tests.deploy.recipe import DEPLOY
from bqx_assets_tests.deploy.test_up import ALL

_HEAD = """\
# Every command that deploy/up.sh runs in a fresh project, in order, for the project example-runs.
# A dry run prints the same with your own values:  deploy/up.sh --env FILE --dry-run
# LOCATION is where a dataset lies: a dry run asks nobody, the script reads it by `bq show`.

"""


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        done = Player(Path(folder)).up("--dry-run", *ALL)
    assert done.code == 0, done.said
    (DEPLOY / "commands.txt").write_text(_HEAD + done.shown.strip() + "\n")


if __name__ == "__main__":
    main()
