"""Scores one model on a pair's published file by four splits, of which one is honest: ``score.py PAIR``.

Run it in the folder that holds the home ``.bqx``.
"""

import sys
from collections.abc import Iterable

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, TimeSeriesSplit

from bqx_assets import embargo_rows, load_training, training_columns

WINDOW, HORIZON = 45, 15
FEATURES = 54


def main() -> None:
    """Load 54 features of which it is known how far they look back, and print a line for each split."""
    pair = sys.argv[1]
    usable = training_columns(pair, subjects="pair", longest_window=360).filter(pl.col("left_out").is_null())
    columns = usable.head(FEATURES)
    frame = load_training(pair, target=(WINDOW, HORIZON), features=columns["column"].to_list()).collect()
    x = frame.drop("interval_time", f"target_bqx{WINDOW}_h{HORIZON}").to_numpy()
    y = frame[f"target_bqx{WINDOW}_h{HORIZON}"].to_numpy()

    def score(splits: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
        found: list[float] = []
        for train, test in splits:
            model = HistGradientBoostingRegressor(max_iter=50, random_state=0).fit(x[train], y[train])
            found.append(r2_score(y[test], model.predict(x[test])))
        return sum(found) / len(found)

    embargo = embargo_rows(columns, (WINDOW, HORIZON))
    print(f"{len(frame):,} rows, {x.shape[1]} features, mean R2 of three folds")
    print(f"{score(KFold(3, shuffle=True, random_state=0).split(x)):7.3f}  shuffled rows")
    print(f"{score(TimeSeriesSplit(3).split(x)):7.3f}  in order")
    print(f"{score(TimeSeriesSplit(3, gap=HORIZON).split(x)):7.3f}  in order, with an embargo of the horizon")
    print(f"{score(TimeSeriesSplit(3, gap=embargo).split(x)):7.3f}  in order, with an embargo of {embargo} rows")


if __name__ == "__main__":
    main()
