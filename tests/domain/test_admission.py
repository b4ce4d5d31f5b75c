from __future__ import annotations

from collections import ChainMap, OrderedDict, UserDict, defaultdict
from collections.abc import Mapping
from functools import partial
from itertools import count, repeat
from types import MappingProxyType

import pytest
from hypothesis import given

from segmentflow_core.domain.admission import INADMISSIBLE, Admission, FlawedObject, plain_value
from segmentflow_core.domain.canonical import canonical_json, encode_json
from segmentflow_core.errors import MAX_VIOLATIONS
from segmentflow_core.testing import json_values


@given(value=json_values())
def test_what_fits_is_never_cut_short(value):
    admission = Admission(max_depth=64, max_size=len(encode_json(value)))
    assert admission.admit(value) == value
    assert not admission.too_large


def test_what_is_admitted_in_several_parts_counts_together():
    admission = Admission(max_depth=64, max_size=10)
    assert admission.admit("x" * 6) == "x" * 6
    assert admission.admit("x" * 6) is INADMISSIBLE
    assert admission.too_large


@given(value=json_values())
def test_what_is_noted_of_numbers_changes_no_canonical_form(value):
    admission = Admission(max_depth=64, max_size=len(encode_json(value)))
    copy = admission.admit(value)
    assert canonical_json(copy, exact=admission.exact) == canonical_json(copy)


@pytest.mark.parametrize(
    ("number", "exact"), [(49.0, True), (1e-5, True), (1e22, True), (49.5, False), (49, False)]
)
@pytest.mark.parametrize("shape", [lambda n: n, lambda n: {"a": n}, lambda n: [{"a": [n]}]])
def test_a_number_that_python_spells_otherwise_is_noted_wherever_it_is(number, exact, shape):
    _, admission = admitted(shape(number))
    assert admission.exact is exact


def admitted(value, **bounds):
    admission = Admission(**{"max_depth": 64, "max_size": 10_000, **bounds})
    return admission.admit(value), admission


@pytest.mark.parametrize(
    "kind",
    [dict, OrderedDict, UserDict, ChainMap, MappingProxyType, lambda d: defaultdict(list, d)],
)
def test_any_mapping_is_read_as_a_dict_is(kind):
    value = kind({"a": kind({"b": [kind({"c": 1})]})})
    copy, admission = admitted(value)
    assert copy == {"a": {"b": [{"c": 1}]}}
    assert type(copy["a"]["b"][0]) is dict
    assert not admission.faults.noted


class Raises(Mapping):
    """Raises whatever is asked of it."""

    def __getitem__(self, name):
        raise LookupError("canary")

    __iter__ = __len__ = __getitem__


class Claims:
    """Claims to be of a class that it is not of."""

    def __init__(self, kind):
        self.kind = kind

    @property
    def __class__(self):
        if self.kind is None:
            raise LookupError("canary")
        return self.kind


class Unhashable(Mapping):
    def __iter__(self):
        yield []

    def __len__(self):
        return 1

    def __getitem__(self, name):
        return 1


class Items(list):
    def __iter__(self):
        raise LookupError("canary")


@pytest.mark.parametrize(
    "make",
    [
        Raises,
        Unhashable,
        lambda: Items([1]),
        *(partial(Claims, kind) for kind in (None, dict, list, str, int, float, Mapping)),
    ],
)
def test_a_value_whose_own_code_raises_is_no_json(make):
    value = make()
    copy, admission = admitted({"a": [value]})
    assert copy == {"a": [INADMISSIBLE]}
    (fault,) = admission.faults.violations()
    assert (fault.path, fault.message[:20]) == ("/a/0", "must be a JSON value")


class Endless(Mapping):
    def __init__(self, names):
        self.names = names

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return 1

    def __getitem__(self, name):
        return None


@pytest.mark.parametrize(
    "value",
    [
        Endless(map(str, count())),
        type("Endless", (list,), {"__iter__": lambda _: repeat(None)})(),
    ],
)
def test_what_has_no_end_is_too_large(value):
    assert admitted({"a": value})[1].too_large


def test_a_mapping_that_gives_one_name_for_ever_is_one_member():
    assert admitted(Endless(repeat("a")))[0] == {"a": None}


class Named(str):
    """A name whose own code raises."""

    def __hash__(self):
        return 1

    def isascii(self):
        raise LookupError("canary")


def test_names_are_admitted_as_plain_text_or_refused():
    value = {"a": {Named("b"): 1, "é": 2, 3: 4, "\ud800": 5, "\0": 6, Named("\0"): 7}}
    copy, admission = admitted(value)
    assert copy == {"a": {"b": 1, "é": 2}}
    assert {type(name) for name in copy["a"]} == {str}
    assert [(v.path, v.message) for v in admission.faults.violations()] == [
        ("/a", "must have strings as member names"),
        ("/a/\\ud800", "has a name that must not hold a lone surrogate"),
        ("/a/\\u0000", "has a name that must not hold the character U+0000"),
        ("/a/\\u0000", "has a name that must not hold the character U+0000"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a\0b", "must not hold the character U+0000"),
        ("a\ud800b", "must not hold a lone surrogate"),
    ],
)
@pytest.mark.parametrize("shape", [lambda t: t, lambda t: [t, "b"], lambda t: {"a": t}])
def test_a_text_that_no_store_can_hold_is_refused(text, why, shape):
    _, admission = admitted(shape(text))
    assert [fault.message for fault in admission.faults.violations()] == [why]
    assert admitted(shape("é"))[0] == shape("é")


@pytest.mark.parametrize("name", ["a", "\0"])
def test_faults_past_the_bound_are_counted(name):
    _, admission = admitted([{name: float("nan")}] * (MAX_VIOLATIONS + 5), max_size=10**6)
    assert len(admission.faults.noted) == MAX_VIOLATIONS
    assert admission.faults.omitted == 5


def test_names_given_more_than_once_are_counted_past_the_bound():
    twice = FlawedObject({"a": 1, "b": 1})
    twice.repeated = ("a", "b")
    _, admission = admitted([twice] * MAX_VIOLATIONS, max_size=10**6)
    assert len(admission.faults.noted) == MAX_VIOLATIONS
    assert admission.faults.omitted == MAX_VIOLATIONS


@pytest.mark.parametrize("value", [{}, {"": {}}, [{}], [[]], [""], {"": [""]}], ids=str)
def test_what_is_just_as_large_as_it_may_be_fits(value):
    copy, admission = admitted(value, max_size=len(encode_json(value)))
    assert copy == value
    assert not admission.too_large


def test_nothing_is_left_out_where_the_bound_is_just_reached():
    value = {"a": "b" * 94}  # its quotes are not counted
    copy, admission = admitted(value, max_size=100)
    assert copy == value
    assert not admission.too_large


def test_faults_are_noted_in_the_order_of_the_document():
    nan = float("nan")
    _, admission = admitted({"a": [nan, {"b": nan, "c": (nan,)}, nan], "d": nan}, max_depth=3)
    assert [(v.path, v.message[:12]) for v in admission.faults.violations()] == [
        ("/a/0", "must be a fi"),
        ("/a/1/b", "must be a fi"),
        ("/a/1/c", "is nested de"),
        ("/a/2", "must be a fi"),
        ("/d", "must be a fi"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        ["a" * 50] * 3,
        [["a" * 98]],
        {"a" * 99: 0},
        [[[], []] * 50],
        {"a": ["b" * 99]},
        "a" * 101,
        ["a" * 60, ("b" * 60,)],
        [("a" * 60,), "b" * 60],
        # What comes after the bound is not looked at.
        [("a" * 101,), float("nan")],
    ],
)
def test_the_pass_stops_at_the_bound(value):
    copy, admission = admitted(value, max_size=100)
    assert admission.too_large
    assert copy is INADMISSIBLE
    assert not admission.faults.noted


def test_a_negative_zero_is_zero():
    copy, _ = admitted([-0.0])
    assert str(copy) == "[0.0]"


def test_the_copy_shares_nothing_with_the_original():
    value = {"a": [{"b": []}], "c": ([],)}
    copy, _ = admitted(value)
    copy["a"][0]["b"].append(1)
    copy["c"][0].append(1)
    assert value == {"a": [{"b": []}], "c": ([],)}


class ForeignList(list):
    pass


@pytest.mark.parametrize(
    "value",
    [ForeignList(range(9)), tuple(range(9)), UserDict(dict.fromkeys("abcdefghi"))],
    ids=["list", "tuple", "mapping"],
)
def test_of_a_foreign_value_one_part_more_is_read_than_it_may_have(value):
    """So what has just as many is whole, and what has more is seen to be too large."""
    assert len(plain_value(value, 3)) == 4
    assert len(plain_value(value, 9)) == 9


@pytest.mark.parametrize("make", [ForeignList, tuple])
def test_a_foreign_list_of_just_the_size_allowed_is_admitted_whole(make):
    admission = Admission(max_depth=3, max_size=10)
    assert admission.admit(make([""] * 9)) == [""] * 9
    assert not admission.too_large
