"""Defines the options that several commands take, and reads their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.store.naming import local_path, output_place
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.cli.session import Session

PairArgument = Annotated[
    Pair,
    typer.Argument(
        parser=parse_pair,
        metavar="PAIR",
        help="One of the 28 pairs, for example eurusd.",
        show_default=False,
    ),
]
PairIfAny = Annotated[
    Pair | None, typer.Argument(parser=parse_pair, metavar="PAIR", help="One of the 28 pairs.", show_default="eurusd")
]
SomePairs = Annotated[
    list[Pair] | None,
    typer.Argument(parser=parse_pair, metavar="PAIR", help="Some of the 28 pairs.", show_default=False),
]


_LIKE_A_PAIR = re.compile("[A-Za-z]{3}[/.][A-Za-z]{3}")
"""As the market writes it: EUR/USD."""


def pair_or_file(text: str) -> Pair | str:
    """Return a pair, or the path or URI of a training file as it is. Raises UnknownPair, BadSetting."""
    if text.endswith(".parquet"):
        return text
    if ("/" in text or "." in text) and not _LIKE_A_PAIR.fullmatch(text):
        raise BadSetting(
            "training file",
            got=text,
            expected="a pair, or the path or URI of a training file, which ends in .parquet",
            cure="Name a pair, such as eurusd, or the file itself; its manifest is found beside it.",
        )
    return parse_pair(text)


PairsOrFiles = Annotated[
    list[Any] | None,
    typer.Argument(
        parser=pair_or_file,
        metavar="PAIR|FILE",
        help="Some of the 28 pairs, or training files with their manifests beside them: paths or URIs.",
        show_default=False,
    ),
]
Every = Annotated[bool, typer.Option("--all", help="Take all pairs that are published.")]


def _answer_as_json(ctx: typer.Context, value: bool) -> bool:  # noqa: FBT001 -- Typer calls it so
    """Note it before the other words are read, so that a wrong one is answered as JSON too."""
    session: Session = ctx.obj
    session.as_json = value
    return value


Json = Annotated[
    bool,
    typer.Option(
        "--json", is_eager=True, callback=_answer_as_json, help="Print the result as one JSON document on stdout."
    ),
]


def path_of(subject: str) -> Callable[[str], Path]:
    """Return a parser for paths of this machine (``local_path``); an error names ``subject``."""

    def path(text: str) -> Path:
        return local_path(text, subject)

    return path


def place_of(subject: str) -> Callable[[str], str]:
    """Return a parser for folders of this machine or of a bucket (``output_place``); an error names ``subject``."""

    def place(text: str) -> str:
        return output_place(text, subject)

    return place


Checkpoints = typer.Option(
    parser=path_of("folder of slabs"),
    metavar="DIR",
    help="Folder of all slabs; those of a pair are in DIR/PAIR.",
    show_default="HOME/checkpoints",
)
TrainingFile = Annotated[
    Path | None,
    typer.Option(
        parser=path_of("training file"),
        metavar="FILE",
        help="The training file.",
        show_default="the pair's in HOME/training",
    ),
]
ReplaceSource = Annotated[
    bool, typer.Option("--replace-source", help="Publish even if the published file was made from another source.")
]
Doctor = Annotated[
    bool, typer.Option("--doctor", help="First check what bqx doctor checks, and stop if anything is missing.")
]
Workers = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Number of tables that are read at once; 0: one per processor.")
]
Engine = Annotated[
    Literal["splice", "join"] | None,
    typer.Option(
        metavar="ENGINE", help="splice concatenates bytes; join is the slow reference that splice is tested against."
    ),
]


def with_thresholds(
    own: Expectations, required_targets: int | None, min_rows: int | None, min_columns: int | None
) -> Expectations:
    """Return the expectations with the given thresholds in place of their own.

    Raises:
        BadSetting: more targets are required than there are horizons.
    """
    if required_targets is not None and required_targets > len(own.horizons):
        raise BadSetting(
            "--required-targets",
            got=str(required_targets),
            expected=f"1 to {len(own.horizons)}, the number of horizons",
            cure=f"For all: --required-targets {len(own.horizons)}",
        )
    stated = {
        "horizons": own.horizons[:required_targets] if required_targets else None,
        "min_rows": min_rows,
        "min_columns": min_columns,
    }
    return own.model_copy(update={name: value for name, value in stated.items() if value is not None})
