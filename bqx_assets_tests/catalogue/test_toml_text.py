"""Values that are written as TOML are read back as the same values."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.catalogue.toml_text import as_toml

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALAR = st.one_of(_TEXT, st.integers(-(2**62), 2**62), st.booleans(), st.floats(-1e9, 1e9))
_LEAF = st.one_of(_SCALAR, st.lists(_TEXT, max_size=3), st.lists(_SCALAR, max_size=40))
_TABLE = st.recursive(
    st.dictionaries(_TEXT, _LEAF, max_size=4), lambda inner: st.dictionaries(_TEXT, st.one_of(_LEAF, inner), max_size=4)
)


@given(_TABLE)
def test_any_plain_content_comes_back(facts: dict[str, object]) -> None:
    assert tomllib.loads(as_toml(facts)) == facts


def test_small_tables_of_numbers_stand_on_one_line_each() -> None:
    text = as_toml({"tables": {"agg_eurusd": {"matched": 3, "nulls": 0}}})
    assert text == "[tables]\nagg_eurusd = { matched = 3, nulls = 0 }\n"
