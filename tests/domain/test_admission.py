from __future__ import annotations

from collections import ChainMap, OrderedDict, UserDict, defaultdict
from collections.abc import Mapping
from functools import partial
from itertools import count, repeat
from types import MappingProxyType

import pytest
from hypothesis import given

from segmentflow_core.domain.admission import INADMISSIBLE, Admission
from segmentflow_core.domain.canonical import canonical_json, encode_json
from segmentflow_core.testing import json_values


@given(value=json_values())
def test_what_fits_is_never_cut_short(value):
    admission = Admission(max_depth=64, max_size=len(encode_json(value)))
    assert admission.admit(value) == value
    assert not admission.too_large


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
    ((at, why),) = admission.faults.noted
    assert (at, why[:20]) == ((("", "a"), 0), "must be a JSON value")


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
