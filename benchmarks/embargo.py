"""Measures what a split is worth: R2 of one model on real rates, with rows shuffled, in order, and with an embargo.

``python -m benchmarks.embargo --rates FILE --pairs gbpusd usdjpy``. A warehouse is computed from the rates, the pairs
are published, and for each 54 features of its own BQX are loaded from the published file. A fold of a pair is one
sample, and samples differ by more than ways to split do: mean, lowest and highest of all are shown.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import StandardScaler

from benchmarks.place import parser_of, workplace
from benchmarks.report import table
from bqx_assets.base.names import KEY, target_name
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.pipeline import Pipeline
from bqx_assets.training.embargo import Reach, reach
from bqx_assets.training.load import load_training, training_columns
from bqx_assets.training.split_guard import check_split

WINDOWS = (45, 90, 180, 360, 720, 1440)
STATISTICS = ("cv", "max", "mean", "min", "position", "range", "std", "sum")
FEATURES = [
    *(f"agg_bqx__agg_{name}_{window}" for name in STATISTICS for window in WINDOWS),
    *(f"base_bqx__bqx_{window}" for window in WINDOWS),
]
"""Eight statistics of the BQX and the BQX itself, over six windows each: 54."""
_BYTES_PER_ROW = 40_000
_PAIRS = ("gbpusd", "usdjpy", "eurgbp")
_TABLES = 25
"""Tables of the warehouse, which the two that are used are among."""

MODELS: dict[str, Callable[[], Any]] = {
    "boosting": lambda: HistGradientBoostingRegressor(random_state=1),
    "ridge": lambda: Steps([("scale", StandardScaler()), ("fit", Ridge())]),
    "forest": lambda: RandomForestRegressor(60, min_samples_leaf=3, max_features=0.33, random_state=1),
}
"""Models near scikit-learn's own choices; the forest, which remembers best, takes most of a minute a fold."""

Split = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Measured(NamedTuple):
    """The outcome of one way to split on one pair."""

    way: str
    scores: list[float]
    """R2 of each fold."""
    leak: str
    """The first fault that ``check_split`` finds in the splits; empty for none."""


def main() -> None:
    """Publish the pairs, score the model by each split, and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--rates", type=Path, required=True, help="bars of real rates, such as hourly ones")
    parser.add_argument("--pairs", type=parse_pair, nargs="+", default=[*map(parse_pair, _PAIRS)])
    parser.add_argument("--rows", type=int, default=30_000, help="the last bars of each pair that are used")
    parser.add_argument("--test-rows", type=int, default=2_000, help="rows of each test window")
    parser.add_argument("--target", type=int, nargs=2, default=(45, 15), metavar=("WINDOW", "HORIZON"))
    parser.add_argument("--model", choices=[*MODELS], default="boosting")
    asked = parser.parse_args()
    target: tuple[int, int] = (asked.target[0], asked.target[1])
    found: list[Measured] = []
    with workplace(asked, _BYTES_PER_ROW * asked.rows * len(asked.pairs), f"{len(asked.pairs)} pairs") as home:
        settings = _published(home, asked.rates, asked.pairs, asked.rows)
        for pair in asked.pairs:
            columns = training_columns(pair, features=FEATURES, settings=settings)
            loaded = load_training(pair, target, features=FEATURES, settings=settings).drop_nulls().collect()
            facts = reach(columns, target)
            print(
                f"{pair}: {loaded.height:,} rows, {loaded.width - 2} features; longest {facts.longest}: {facts.back:,}"
            )
            ways = _ways(loaded, (asked.rounds, asked.test_rows), facts, target[1])
            found += [_scored(*each, loaded, target, facts.embargo, MODELS[asked.model]) for each in ways]
    print(table(("split", "mean R2", "lowest", "highest", "check_split"), _rows(found)))


def _rows(found: list[Measured]) -> list[tuple[str, ...]]:
    """Return a row for each way to split, over the folds of all pairs."""
    rows: list[tuple[str, ...]] = []
    for way in dict.fromkeys(each.way for each in found):
        of_way = [each for each in found if each.way == way]
        scores = [score for each in of_way for score in each.scores]
        figures = (float(np.mean(scores)), min(scores), max(scores))
        leaks = [each.leak for each in of_way if each.leak]
        rows.append((way, *(f"{figure:.2f}" for figure in figures), next(iter(leaks), "-")))
    return rows


def _published(home: Path, rates: Path, pairs: list[Pair], rows: int) -> Settings:
    """Make a warehouse of the rates and publish the pairs; return the settings by which the files are found."""
    names = ",".join(pair.name for pair in pairs)
    words = ["warehouse", "create", str(home / "warehouse"), "--pairs", names, "--rates", str(rates)]
    size = ["--rows", str(rows), "--tables", str(_TABLES)]
    bqx = Path(sys.executable).with_name("bqx")
    subprocess.run([bqx, "--home", str(home), *words, *size], check=True)
    settings = Settings(home=home, warehouse=home / "warehouse")
    pipeline = Pipeline(settings)
    for pair in pairs:
        pipeline.extract(pair)
        pipeline.merge(pair)
        pipeline.publish(pair)
    return settings


def _ways(loaded: pl.DataFrame, tests: tuple[int, int], facts: Reach, horizon: int) -> list[tuple[str, list[Split]]]:
    """Return the splits of each way; all but the shuffled one test the same rows, and train on as many.

    Without an embargo the rows that it would cost are left out at the beginning: else it would be measured together
    with what fewer training rows cost.
    """
    keys, (folds, test_rows) = loaded[KEY].to_numpy(), tests

    def ordered(gap: int) -> list[Split]:
        splitter: Any = TimeSeriesSplit(folds, test_size=test_rows, gap=gap)
        return [(train[facts.embargo - gap :], test) for train, test in splitter.split(keys)]

    chance: Any = KFold(5, shuffle=True, random_state=1)
    return [
        ("shuffled", list(chance.split(keys))[:folds]),
        ("in order", ordered(0)),
        (f"embargo of the horizon, {horizon} rows", ordered(horizon)),
        (f"embargo of longest window and horizon, {facts.embargo:,} rows", ordered(facts.embargo)),
    ]


def _scored(
    way: str,
    splits: list[Split],
    loaded: pl.DataFrame,
    target: tuple[int, int],
    embargo: int,
    new_model: Callable[[], Any],
) -> Measured:
    """Return R2 of the test rows of each split."""
    name = target_name(*target)
    features, labels = loaded.drop(KEY, name).to_numpy(), loaded[name].to_numpy()
    leaks: list[str] = []
    scores: list[float] = []
    began = time.perf_counter()
    for train, test in splits:
        leaks += [each.leak for each in check_split(train, test, embargo, on_leak="return")]
        model = new_model()
        model.fit(features[train], labels[train])
        scores.append(_r2(labels[test], model.predict(features[test])))
    shown = " ".join(f"{score:.2f}" for score in scores)
    print(f"  {way}: {shown}, {time.perf_counter() - began:.0f} s", flush=True)
    return Measured(way, scores, next(iter(leaks), ""))


def _r2(known: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> float:
    """Return the share of the labels' variance that the predictions explain; below 0 they are worse than the mean."""
    return float(1 - np.square(known - predicted).sum() / np.square(known - known.mean()).sum())


if __name__ == "__main__":
    main()
