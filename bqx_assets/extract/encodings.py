"""Lists the encodings that columns are stored in, the seconds that each takes, and which of them a setting may choose.

**Source** of the seconds: ``python -m benchmarks.encoding`` (docs/performance-encoding.md), pyarrow 26 and Polars 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from bqx_assets.base.settings import EncodingPolicy

COMPRESSION: Final = "zstd"
COMPRESSION_LEVEL: Final = 1
"""The codec and level of files that are read once and removed: staged tables, and those of an embedded warehouse."""

Kind = Literal["plain", "dictionary", "split", "delta"]
"""The encodings of values."""
Codec = Literal["none", "lz4", "snappy", "zstd"]
"""The compression of pages; lz4 is Parquet's LZ4_RAW."""
PARQUET_NAMES: Final[dict[Kind, str]] = {
    "plain": "PLAIN",
    "dictionary": "RLE_DICTIONARY",
    "split": "BYTE_STREAM_SPLIT",
    "delta": "DELTA_BINARY_PACKED",
}
"""The names that Parquet has for the encodings of values."""


class Encoding(NamedTuple):
    """The way that a column is stored, as text for example ``split zstd 1``."""

    kind: Kind
    codec: Codec
    level: int | None = None
    """The level of zstd; the other codecs have none."""

    def __str__(self) -> str:
        return " ".join((self.kind, self.codec, *([] if self.level is None else [str(self.level)])))

    @classmethod
    def parse(cls, text: str) -> Encoding | None:
        """Return the encoding of a record's text; None for one that this version does not know."""
        return next((each for each in SECONDS if str(each) == text), None)


class Seconds(NamedTuple):
    """Processor seconds of 125 million numbers, which are 1 GB of decoded values."""

    encode: float
    """To encode and compress them with pyarrow."""
    polars: float
    """To decode them with Polars."""
    pyarrow: float
    """To decode them with pyarrow."""


SECONDS: Final[dict[Encoding, Seconds]] = {
    Encoding("plain", "none"): Seconds(0.85, 0.30, 0.45),
    Encoding("plain", "lz4"): Seconds(1.30, 0.60, 0.70),
    Encoding("plain", "snappy"): Seconds(1.50, 0.70, 0.80),
    Encoding("plain", "zstd", 1): Seconds(2.00, 1.15, 1.30),
    Encoding("plain", "zstd", 3): Seconds(4.50, 1.20, 1.40),
    Encoding("plain", "zstd", 9): Seconds(9.00, 1.20, 1.40),
    Encoding("dictionary", "snappy"): Seconds(1.90, 0.40, 0.55),
    Encoding("dictionary", "zstd", 1): Seconds(1.95, 0.46, 0.65),
    Encoding("dictionary", "zstd", 3): Seconds(2.05, 0.46, 0.65),
    Encoding("dictionary", "zstd", 9): Seconds(2.40, 0.46, 0.65),
    Encoding("split", "none"): Seconds(1.05, 1.40, 0.55),
    Encoding("split", "lz4"): Seconds(1.25, 1.45, 0.62),
    Encoding("split", "zstd", 1): Seconds(1.55, 1.50, 0.72),
    Encoding("split", "zstd", 3): Seconds(1.75, 1.50, 0.72),
    Encoding("delta", "none"): Seconds(0.95, 0.60, 0.50),
    Encoding("delta", "lz4"): Seconds(1.00, 0.65, 0.55),
    Encoding("delta", "zstd", 1): Seconds(1.15, 0.70, 0.60),
    Encoding("delta", "zstd", 3): Seconds(1.20, 0.70, 0.60),
}
"""The encodings that may be chosen, with their seconds, which depend far less on the values than sizes do.

No dictionary is stored with lz4 or without compression: of a row group that has nulls only, hyparquet 1.33 cannot read
the empty one with lz4, nor fastparquet 2026.9 the one without.
"""
_READS = 4
"""Times that a value is decoded: a training file at least twice by its checks, then by whoever trains on it."""


def seconds_of(encoding: Encoding) -> tuple[float, float]:
    """Return the processor seconds to encode 125 million values once and to decode them ``_READS`` times.

    The first number is those of the encoding without a codec, the second those that the codec adds. A dictionary is
    never stored without a codec and has all its seconds in the first.
    """
    whole = _whole(encoding)
    without = whole if encoding.kind == "dictionary" else _whole(Encoding(encoding.kind, "none"))
    return without, whole - without


def _whole(encoding: Encoding) -> float:
    seconds = SECONDS[encoding]
    return seconds.encode + _READS * (seconds.polars + seconds.pyarrow) / 2


@dataclass(frozen=True, slots=True)
class Policy:
    """A setting's price of bytes, and the encodings that it allows."""

    price: float
    """Processor seconds that a stored gigabyte is worth: it is kept, copied and read through a network."""
    kinds: tuple[Kind, ...] = ("plain", "dictionary", "split")
    codecs: tuple[Codec, ...] = ("none", "lz4", "zstd")

    @property
    def encodings(self) -> list[Encoding]:
        """The encodings that the setting allows."""
        return [each for each in SECONDS if each.kind in self.kinds and each.codec in self.codecs]


POLICIES: Final[dict[EncodingPolicy, Policy]] = {
    # Cloud Storage keeps a GB for a month at the price of some 1,000 seconds of a processor of Cloud Run, so 500 is
    # the price of two weeks. From 30 to 500, mixes of columns differ by 1% in bytes and 2% in time; below 500 some
    # kinds of column are larger than in Polars' own file.
    "balanced": Policy(price=500),
    "small": Policy(price=10_000, kinds=("plain", "dictionary", "split", "delta")),
    "fast": Policy(price=10),
    "compatible": Policy(price=500, kinds=("plain", "dictionary"), codecs=("snappy",)),
}
"""The values of ``BQX_ENCODING``.

Only ``small`` has delta: fastparquet 2026.9 reads wrong values from steps of more than 28 bits, such as those of times
after a weekend, and says nothing; split bytes it refuses. ``compatible`` has only what every reader since 2015 knows.
"""
