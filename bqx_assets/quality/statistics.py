"""What a footer states of each column chunk: where and how it lies, null count, smallest and largest value.

Belongs here: the chunks' facts in little memory. Does not: what a chunk's fields are (``merge.chunks``), what its
statistics mean (``merge.chunks``).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bqx_assets.merge.chunks import UNKNOWN, Chunk, Stated, Value, decoder
from bqx_assets.merge.footer import Footer, RowGroup

_SHORTENED_BYTES = 61
"""Texts are shortened to 64 bytes, or to the last whole character before them: shorter ones were not shortened."""


@dataclass(frozen=True, slots=True, eq=False)
class StatedGroup:
    """One row group by its footer, an entry a column.

    **Cost**: about 170 bytes a column, a third of the footer's chunks. Numbers are copied, since one kept object keeps
    the memory around it.
    """

    rows: int
    nulls: Sequence[int]
    low: Sequence[Value | bytes]
    high: Sequence[Value | bytes]
    raw_bytes: Sequence[int]
    """As encoded, uncompressed."""
    start: Sequence[int]
    end: Sequence[int]
    """The chunk's bytes in the file."""
    data_page: Sequence[int]
    dictionary_page: Sequence[int]
    codec: Sequence[int]
    encodings: Sequence[Sequence[int]]
    exact: Sequence[tuple[bool | None, bool | None]] = ()

    def statistics(self, place: int) -> Stated:
        """Return what is stated of the values of the column at ``place``."""
        nulls = self.nulls[place]
        return Stated(None if nulls == UNKNOWN else nulls, self.low[place], self.high[place], *self.exact[place])

    def known(self, place: int) -> tuple[Value, Value]:
        """Return the smallest and the largest value of the column at ``place``, as far as these are stated."""
        stated = self.statistics(place)
        if isinstance(stated.low, bytes) and stated.low == stated.high:  # then nothing else lies between them
            return _text(stated.low, exact=True), _text(stated.high, exact=True)
        return _text(stated.low, exact=stated.low_exact), _text(stated.high, exact=stated.high_exact)

    def chunk(self, place: int, kind: int) -> Chunk:
        """Return where and how the column at ``place``, of a physical type, lies."""
        return Chunk(
            b"", kind, self.rows, tuple(self.encodings[place]), self.codec[place], self.raw_bytes[place],
            self.end[place] - self.start[place], self.data_page[place], self.dictionary_page[place], UNKNOWN,
            None, None, None, None, (), (0, 0, False),
        )  # fmt: skip


def stated_groups(footer: Footer) -> list[StatedGroup]:
    """Return each row group's chunks."""
    decoders = [decoder(kind) for kind in footer.types]
    known: dict[object, tuple[int, ...]] = {}
    return [_stated(group, decoders, known) for group in footer.groups]


def unchecked_columns(footer: Footer) -> list[str]:
    """Return the columns that have page indexes or Bloom filters."""
    beyond = {place for group in footer.groups for place, chunk in enumerate(group.chunks) if chunk.beyond}
    return [footer.columns[place] for place in sorted(beyond)]


def without_chunks(footer: Footer) -> Footer:
    """Return the footer as it is but for its column chunks: what :func:`stated_groups` holds is not kept twice."""
    return replace(footer, groups=tuple(RowGroup(group.rows, ()) for group in footer.groups))


def _stated(
    group: RowGroup, decoders: Sequence[Callable[[bytes | None], Value | bytes]], known: dict[object, tuple[int, ...]]
) -> StatedGroup:
    chunks = group.chunks
    return StatedGroup(
        rows=group.rows,
        nulls=_numbers(chunk.nulls for chunk in chunks),
        low=[decode(chunk.low) for chunk, decode in zip(chunks, decoders, strict=True)],
        high=[decode(chunk.high) for chunk, decode in zip(chunks, decoders, strict=True)],
        raw_bytes=_numbers(chunk.raw_bytes for chunk in chunks),
        start=_numbers(chunk.start for chunk in chunks),
        end=_numbers(chunk.end for chunk in chunks),
        data_page=_numbers(chunk.data_page for chunk in chunks),
        dictionary_page=_numbers(chunk.dictionary_page for chunk in chunks),
        codec=_numbers(chunk.codec for chunk in chunks),
        encodings=[known.setdefault(chunk.encodings, chunk.encodings) for chunk in chunks],
        exact=[_EXACT[chunk.low_exact, chunk.high_exact] for chunk in chunks],
    )


def _numbers(numbers: Iterable[int]) -> array[int]:
    return array("q", numbers)


def _text(stated: Value | bytes, *, exact: bool | None) -> Value:
    """Return a bound as a value; None where it may have been shortened."""
    if exact is False or (isinstance(stated, bytes) and not exact and len(stated) >= _SHORTENED_BYTES):
        return None
    try:
        return stated.decode() if isinstance(stated, bytes) else stated
    except UnicodeDecodeError:
        return None


_FLAGS = (None, False, True)
_EXACT: dict[tuple[bool | None, bool | None], tuple[bool | None, bool | None]] = {
    (low, high): (low, high) for low in _FLAGS for high in _FLAGS
}
