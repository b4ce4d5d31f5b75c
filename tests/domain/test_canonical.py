"""Canonical JSON, against the tables of RFC 8785, another implementation and its own laws."""

from __future__ import annotations

import json
import random
import struct
from math import isfinite
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.canonical import CanonicalizationError, canonical_json

CANARY = "canary-tok_live_abc"

RFC_8785_APPENDIX_B = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

ECMASCRIPT_NUMBERS = [
    (1.0, "1"),
    (-0.0, "0"),
    (-49.0, "-49"),
    (49.5, "49.5"),
    (1e15, "1000000000000000"),
    (1e16, "10000000000000000"),
    (1.5e16, "15000000000000000"),
    (-1.2345678901234567e16, "-12345678901234568"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"),
    (1.5e21, "1.5e+21"),
    (-1e100, "-1e+100"),
    (1e-4, "0.0001"),
    (1.5e-5, "0.000015"),
    (1e-6, "0.000001"),
    (-1e-7, "-1e-7"),
    (1.25e-7, "1.25e-7"),
]

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
safe_integers = st.integers(-(2**53) + 1, 2**53 - 1)
doubles = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | safe_integers | doubles | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=25,
)


def double_of(bits: str) -> float:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert isinstance(number, float)
    return number


def nest(depth: int, leaf: Any) -> Any:
    for level in range(depth):
        leaf = [leaf] if level % 2 else {"a": leaf}
    return leaf


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        members = list(value.items())
        order.shuffle(members)
        return {name: shuffled(child, order) for name, child in members}
    if isinstance(value, list):
        return [shuffled(child, order) for child in value]
    return value


@pytest.mark.parametrize(("bits", "spelling"), RFC_8785_APPENDIX_B.items())
def test_numbers_are_spelt_as_in_the_table_of_the_rfc(bits: str, spelling: str) -> None:
    assert canonical_json(double_of(bits)) == spelling.encode()


@pytest.mark.parametrize(("number", "spelling"), ECMASCRIPT_NUMBERS)
def test_floats_are_spelt_as_ecmascript_spells_them(number: float, spelling: str) -> None:
    assert canonical_json([number]) == f"[{spelling}]".encode()


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
@pytest.mark.parametrize("neighbours", [[], [1.0]])
def test_numbers_that_are_no_json_are_refused(bits: str, neighbours: list[float]) -> None:
    with pytest.raises(CanonicalizationError):
        canonical_json([*neighbours, double_of(bits)])


def test_a_hundred_thousand_doubles_agree_with_another_implementation() -> None:
    source = random.Random(8785)
    patterns = (struct.pack(">Q", source.getrandbits(64)) for _ in range(100_000))
    numbers = [n for (n,) in map(struct.Struct(">d").unpack, patterns) if isfinite(n)]
    assert canonical_json(numbers) == rfc8785.dumps(numbers)


def test_everyday_doubles_agree_with_another_implementation() -> None:
    source = random.Random(5878)
    numbers = [
        round(source.uniform(-10, 10) * 10.0 ** source.randint(-9, 23), source.randint(0, 9))
        for _ in range(20_000)
    ]
    assert [canonical_json(n) for n in numbers] == [rfc8785.dumps(n) for n in numbers]


@given(json_values)
def test_any_value_agrees_with_another_implementation(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@given(json_values, st.randoms(use_true_random=False))
def test_the_order_of_members_makes_no_difference(value: Any, order: random.Random) -> None:
    assert canonical_json(shuffled(value, order)) == canonical_json(value)


@given(json_values)
def test_canonical_json_reads_back_as_the_same_doubles(value: Any) -> None:
    assert json.loads(canonical_json(value), parse_int=float) == value


@given(json_values)
def test_canonicalising_twice_changes_nothing(value: Any) -> None:
    once = canonical_json(value)
    assert canonical_json(json.loads(once)) == once


@given(safe_integers)
def test_an_integral_float_and_its_integer_are_the_same_bytes(number: int) -> None:
    assert canonical_json(float(number)) == canonical_json(number)


@pytest.mark.parametrize(
    "number", [-(2**63), -(2**53) - 1, 2**53, 2**53 + 1, 2**63 + 1, 2**64 - 1, 0, -1]
)
@pytest.mark.parametrize("neighbour", ["x", 1.0])
def test_integers_of_64_bits_are_exact(number: int, neighbour: Any) -> None:
    assert str(number).encode() in canonical_json([number, neighbour])


def test_members_are_sorted_as_in_the_example_of_the_rfc() -> None:
    document = {
        "€": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "ö": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical_json(document)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize(
    "astral", ["\U00010000", "\U00050000", "\U00090000", "\U000d0000", "\U0010ffff"]
)
@pytest.mark.parametrize("basic", ["\ue000", "\uffff"])
def test_names_above_the_basic_plane_sort_as_surrogate_pairs(astral: str, basic: str) -> None:
    expected = f'{{"{astral}":1,"{basic}":1}}'.encode()
    assert canonical_json({basic: 1, astral: 1}) == expected
    assert canonical_json({basic: 1.0, astral: 1.0}) == expected


@pytest.mark.parametrize("neighbour", ["x", 1.0])
def test_only_quotes_backslashes_and_control_characters_are_escaped(neighbour: Any) -> None:
    controls = "".join(map(chr, range(0x20)))
    expected = (
        '"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f'
        "\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c"
        '\\u001d\\u001e\\u001f\\"\\\\/\x7fé\u2028\U0001f600"'
    )
    written = canonical_json([controls + '"\\/\x7fé\u2028\U0001f600', neighbour])
    assert written.startswith(f"[{expected},".encode())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"null"),
        (True, b"true"),
        (False, b"false"),
        ("", b'""'),
        ([], b"[]"),
        ({}, b"{}"),
        ([None, True, False, 1.0, [], {}], b"[null,true,false,1,[],{}]"),
        ({"": {"b": 1e-7, "a": None}}, b'{"":{"a":null,"b":1e-7}}'),
    ],
)
def test_each_kind_of_json_is_written_without_whitespace(value: Any, expected: bytes) -> None:
    assert canonical_json(value) == expected


@pytest.mark.parametrize("leaf", ["x", 1.0])
def test_the_deepest_admitted_nesting_is_written(leaf: Any) -> None:
    assert canonical_json(nest(64, leaf)) == rfc8785.dumps(nest(64, leaf))


class OddString(str):
    pass


class OddObject(dict[str, Any]):
    pass


NEVER_ADMITTED = {
    "a set": {CANARY},
    "bytes": CANARY.encode(),
    "a tuple": (CANARY,),
    "a subclass of str": OddString(CANARY),
    "a subclass of dict": OddObject(x=CANARY),
    "a lone surrogate": CANARY + "\ud800",
    "a lone surrogate beside a float": [1.0, CANARY + "\ud800"],
    "a lone surrogate in a name": {CANARY + "\ud800": 1.0},
    "a number for a name": {CANARY: 1.0, 7: CANARY},
    "names of two types": {CANARY: 1, 7: CANARY},
    "an integer too long to print": [CANARY, 10**5000],
    "nesting beyond the stack": nest(100_000, CANARY),
}


@pytest.mark.parametrize("value", NEVER_ADMITTED.values(), ids=NEVER_ADMITTED.keys())
def test_what_was_never_admitted_is_refused_without_quoting_it(value: Any) -> None:
    with pytest.raises(CanonicalizationError) as caught:
        canonical_json(value)
    assert str(caught.value) == "The value is not admitted JSON."
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
