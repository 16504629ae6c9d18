"""Trains LightGBM on 500 columns of a published file, walking forward: ``train.py PAIR [TRAIN_ROWS TEST_ROWS]``.

Run it in the folder that holds the home ``.bqx``, or with ``BQX_OUTPUT=gs://bucket``. It writes
``predictions.parquet``, with a row for each row that was predicted by a model which knew nothing of it.
"""

import sys

import lightgbm
import numpy as np
import polars as pl
from sklearn.metrics import r2_score

from bqx_assets import check_split, embargo_rows, load_training, training_columns, training_manifest, walk_forward

TARGET = (45, 45)  # the change over the 45 rows that follow
COLUMNS = 500
LONGEST_WINDOW = 720
PARAMETERS = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "feature_fraction": 0.2,
    "max_bin": 63,
    "deterministic": True,
    "seed": 0,
    "verbosity": -1,
}


def main() -> None:
    """Choose columns by the dictionary, split, train, score, and say which columns the models used."""
    pair = sys.argv[1]
    train_rows, test_rows = (int(word) for word in sys.argv[2:4] or ("4000", "1000"))
    pin = training_manifest(pair).file.content_digest  # refuses a file that is replaced while this runs

    known = training_columns(pair, longest_window=LONGEST_WINDOW).filter(pl.col("left_out").is_null())
    columns = known.sort("nulls", maintain_order=True).head(COLUMNS)
    features = columns["column"].to_list()
    frame = load_training(pair, target=TARGET, features=features, dtype=pl.Float32, pin=pin).collect()
    target = f"target_bqx{TARGET[0]}_h{TARGET[1]}"
    x, y = frame.select(features).to_numpy(), frame[target].to_numpy()

    embargo = embargo_rows(columns, TARGET)
    folds = list(walk_forward(frame["interval_time"], train=train_rows, test=test_rows, embargo=embargo))
    print(f"{pair}, data {str(pin)[:16]}: {len(frame):,} rows x {len(features)} columns")
    print(f"{len(folds)} folds, embargo {embargo} rows")

    predicted, importance = [], pl.Series("gain", [0.0] * len(features))
    for fold in folds:
        train, test = fold.rows()
        check_split(train, test, embargo)  # warns if test rows could be known to the model
        model = lightgbm.train(PARAMETERS, lightgbm.Dataset(x[train], y[train]), num_boost_round=100)
        found = frame[test].select("interval_time", target, pl.lit(fold.number).alias("fold"))
        found = found.with_columns(pl.Series("predicted", np.asarray(model.predict(x[test]))))
        predicted.append(found)
        importance += pl.Series(model.feature_importance("gain"))
        print(f"  fold {fold.number}: test from {fold.test_start:%Y-%m-%d %H:%M}, R2 {_r2(found, target):.3f}")

    out_of_fold = pl.concat(predicted)
    out_of_fold.write_parquet("predictions.parquet")
    print(f"R2 of all predictions: {_r2(out_of_fold, target):.3f}; they are in predictions.parquet")
    print("columns that the models used most, led back by the dictionary:")
    used = columns.with_columns((importance / importance.sum()).alias("share")).sort("share", descending=True)
    for row in used.head(5).to_dicts():
        print(f"  {row['share']:.1%}  {row['column']}: {row['meaning']} ({row['path']}.{row['source']})")
    print(f"the facts of these data for a model card: bqx card {pair}")


def _r2(found: pl.DataFrame, target: str) -> float:
    return float(r2_score(found[target], found["predicted"]))


if __name__ == "__main__":
    main()
