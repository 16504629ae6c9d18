"""Makes the folder of a benchmark's data: says and checks the disk it needs before, and removes it afterwards."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bqx_assets.base.process import disk_free_bytes


def parser_of(purpose: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the data may lie")
    parser.add_argument("--data", type=Path, help="keep the generated tables there, and use them if they are there")
    return parser


@contextmanager
def workplace(asked: argparse.Namespace, needed_bytes: float, what: str) -> Generator[Path]:
    """Give a new folder and remove it at the end; end the program where the disk is too small."""
    free_bytes = disk_free_bytes(asked.folder)
    print(f"{what}; disk needed {needed_bytes / 1e9:.1f} GB, free {free_bytes / 1e9:.1f} GB", flush=True)
    if free_bytes < needed_bytes:
        sys.exit("not enough disk: fewer tables or rows, or another --folder")
    home = Path(tempfile.mkdtemp(prefix="bqx-benchmark-", dir=asked.folder))
    try:
        yield home
    finally:
        shutil.rmtree(home)
