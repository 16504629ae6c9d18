"""Texts of others have no effect where they are shown."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.errors import BqxError, TableDefect
from bqx_assets.base.printable import cut, first_line, markdown_cell, markdown_code, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 😀 [red]x[/red]", "plain é 日本 😀 [red]x[/red]"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x9b2J\x7f\x00", r"\x9b2J\x7f\x00"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u2028b\u200bc\xa0d", r"a\u2028b\u200bc\xa0d"),
        ("not utf-8 \udcff", r"not utf-8 \udcff"),
    ],
)
def test_what_is_visible_stays_and_the_rest_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_any_text_becomes_one_visible_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode()


@given(st.text(st.characters()), st.text(st.characters()))
def test_an_error_is_printable_in_all_its_parts_also_across_processes(name: str, value: str) -> None:
    error = pickle.loads(pickle.dumps(TableDefect(name, got=value, expected=name, cure=value)))  # noqa: S301 -- our own
    assert isinstance(error, BqxError)
    assert all(part.isprintable() for part in (str(error), error.subject, error.got, error.expected, error.cure))


@given(st.text(st.sampled_from("`a<>|*_\n\x1b[]()!")))
def test_a_code_span_is_fenced_by_more_ticks_than_it_holds(text: str) -> None:
    span = markdown_code(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert span.endswith(fence)
    assert fence not in span[len(fence) : -len(fence)]
    assert span[len(fence) : -len(fence)].strip(" ") == printable(text).strip(" ")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b\n c", r"`a\|b c`"),
        ("", ""),
        (" \n", ""),
        ("`|` <b>", r"`` `\|` <b> ``"),
        ("[x](javascript:1)", "`[x](javascript:1)`"),
    ],
)
def test_a_cell_of_a_table_holds_any_text(text: str, cell: str) -> None:
    assert markdown_cell(text) == cell


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError(), "ValueError"),
        (MemoryError(), "MemoryError"),
        (OSError(" \n"), "OSError"),
        (ValueError("\nfirst\nsecond"), "first"),
        (ValueError("x" * 5000), "x" * 400),
    ],
)
def test_of_an_error_the_first_line_is_shown_and_its_class_where_it_says_nothing(error: Exception, line: str) -> None:
    assert first_line(error) == line


@given(st.text(), st.integers(0, 100))
def test_a_text_is_cut_to_its_bytes_as_json_and_no_shorter(text: str, most: int) -> None:
    shown = cut(text, most)
    assert text.startswith(shown)
    assert len(json.dumps(shown)) - 2 <= most
    assert shown == text or len(json.dumps(text[: len(shown) + 1])) - 2 > most
