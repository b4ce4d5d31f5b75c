from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.pointer import (
    PointerSyntaxError,
    array_index,
    format_pointer,
    parse_pointer,
    resolve,
)

DOCUMENT = {"a": [{"b/c": 1}], "s": "text", "": {"~1": None}, "0": False}

# RFC 6901, section 4: the characters that cannot be shown are escaped, so these come back.
TOKENS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))


@given(TOKENS)
def test_what_is_written_is_read_as_it_was(tokens):
    assert parse_pointer(format_pointer(*tokens)) == tuple(tokens)


@pytest.mark.parametrize("text", ["a", "a/b", " /a", "/~", "/~2", "/a~", "#/a"])
def test_what_is_no_pointer_is_refused_without_showing_it(text):
    with pytest.raises(PointerSyntaxError) as refusal:
        parse_pointer(text)
    assert str(refusal.value) == "is not a JSON Pointer (RFC 6901)"


def test_a_path_can_always_be_shown():
    assert format_pointer("a\0", "é\ud800") == "/a\\u0000/é\\ud800"
    assert format_pointer("data", "a/b~", 0) == "/data/a~1b~0/0"
    assert format_pointer() == ""


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/a/0/b~1c", 1),
        ("/s", "text"),
        ("//~01", None),
        ("/0", False),
    ],
)
def test_a_pointer_leads_to_its_value(pointer, value):
    assert resolve(DOCUMENT, parse_pointer(pointer)) == value


@pytest.mark.parametrize(
    "pointer", ["/a/1", "/a/-", "/a/00", "/a/ 0", "/a/-1", "/x", "/s/0", "/a/0/b~1c/d", "/"]
)
def test_a_pointer_to_nothing_finds_nothing(pointer):
    document = {name: value for name, value in DOCUMENT.items() if name}
    assert resolve(document, parse_pointer(pointer)) is MISSING


@pytest.mark.parametrize("token", ["", "-", "-1", "+1", "01", "1.0", "1e0", "²", "١", "x", " 1"])
def test_only_digits_without_a_leading_zero_are_an_index(token):
    assert array_index(token, 100) is None


def test_an_index_is_below_the_length():
    assert [array_index(token, 2) for token in ("0", "1", "2")] == [0, 1, None]
    assert array_index("9" * 10, 10**11) is None
