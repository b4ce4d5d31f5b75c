"""How the contract says where two long values differ."""

from __future__ import annotations

import pytest

from segmentflow_core.testing.contract.comparing import check_same

MANY = [{"id": f"019bf964-{number:04}", "value": number} for number in range(2_000)]


def test_what_is_the_same_passes():
    check_same(MANY, [*MANY])


@pytest.mark.parametrize(
    ("got", "expected", "told"),
    [
        ([*MANY[:-1], {**MANY[-1], "value": 7}], MANY, "/1999/value is 'int 7', not 'int 1999'"),
        (MANY[:-1], MANY, "/1999 is 'nothing', not {'id': \"str '019bf964-1999'\""),
        (MANY, MANY[:-1], "/1999 is {'id': \"str '019bf964-1999'\""),
        ({"a": 1, "b": 2}, {"a": 1}, "/b is 'int 2', not 'nothing'"),
        ([1], [1.0], "/0 is 'int 1', not 'float 1.0'"),
        (["x" * 999], ["y"], "/0 is"),
        (1, [1], "/ is"),
        ({3, 1}, frozenset({2, 1}), "/1 is 'int 3', not 'int 2'"),
    ],
    ids=["a value", "too few", "too many", "a name", "a type", "long", "a kind", "a set"],
)
def test_the_first_difference_is_named_and_no_more(got, expected, told):
    with pytest.raises(AssertionError) as raised:
        check_same(got, expected)
    text = str(raised.value)
    assert text.startswith(told)
    assert len(text) < 700
