"""One content, one fingerprint."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.fingerprints import fingerprint

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), PLAIN, max_size=6))
def test_the_order_of_keys_does_not_matter(facts: dict[str, object]) -> None:
    assert fingerprint(facts) == fingerprint(dict(reversed(facts.items())))


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=4), min_size=1), st.data())
def test_any_changed_value_changes_it(facts: dict[str, object], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(facts)))
    other = data.draw(st.integers() | st.text(max_size=4))
    assert (fingerprint(facts) == fingerprint({**facts, key: other})) == (facts[key] == other)


def test_moments_count_and_objects_are_refused() -> None:
    assert fingerprint({"t": datetime(2026, 1, 1, tzinfo=UTC)}) != fingerprint({"t": datetime(2026, 1, 2, tzinfo=UTC)})
    with pytest.raises(TypeError, match="not plain data"):
        fingerprint({"x": object()})
