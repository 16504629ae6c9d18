"""Writes made hourly bars of one pair as CSV, for those who have no rates at hand: ``make_bars.py FILE BARS``.

They are a random walk, so no model can know anything about them. Bars of a real market have the same columns.
"""

import sys

import numpy as np
import polars as pl


def main() -> None:
    """Write the bars: time, open, high, low and close, without weekends."""
    file, bars = sys.argv[1], int(sys.argv[2])
    random = np.random.default_rng(7)
    hours = pl.datetime_range(pl.datetime(2020, 1, 6), pl.datetime(2030, 1, 1), "1h", time_zone="UTC", eager=True)
    times = hours.filter(hours.dt.weekday() <= 5).head(bars)
    close = 1.25 * np.exp(np.cumsum(random.normal(0, 0.001, len(times))))
    before = np.concatenate([[1.25], close[:-1]])
    wick = np.abs(random.normal(0, 0.0004, (2, len(times))))
    frame = pl.DataFrame(
        {
            "interval_time": times,
            "pair": "gbpusd",
            "open": before,
            "high": np.maximum(before, close) * (1 + wick[0]),
            "low": np.minimum(before, close) * (1 - wick[1]),
            "close": close,
        }
    )
    frame.with_columns(pl.col(pl.Float64).round(5)).write_csv(file)
    print(f"{len(frame):,} bars in {file}")


if __name__ == "__main__":
    main()
