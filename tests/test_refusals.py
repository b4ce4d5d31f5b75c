"""What a refusal costs grows with what is refused and no faster, whatever that holds.

Time is not measured here (`python -m bench.refusals` does that): calls and bytes are counted.
"""

from __future__ import annotations

import json
import sys
import tracemalloc

import pytest
from bench.refusals import answer_bytes
from bench.refused_bodies import BODIES, refuse

from segmentflow_core.domain.faults import MAX_PATH, Faults
from segmentflow_core.errors import (
    MAX_VIOLATIONS,
    MAX_VIOLATIONS_BYTES,
    InvalidJourney,
    InvalidRequest,
    InvalidTemplate,
    Violation,
)
from segmentflow_core.journeys import check_journey, journey_definitions
from segmentflow_core.templates import check_template, compile_template

SMALL, FACTOR = 8 * 1024, 4


def calls_to_refuse(body, size):
    """Count the calls, of functions in Python and in C, that refusing a body takes."""
    text, calls = body.make(size), 0

    def count(_frame, event, _function):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        refuse(body, text)
    finally:
        sys.setprofile(before)
    return calls


def memory_to_refuse(body, size):
    text = body.make(size)
    refuse(body, text)
    tracemalloc.start()
    try:
        error = refuse(body, text)
        return tracemalloc.get_traced_memory()[1], error
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_four_times_the_body_takes_four_times_the_calls(body):
    calls_to_refuse(body, 100)  # what is done once for all
    few, many = (calls_to_refuse(body, SMALL * factor) for factor in (1, FACTOR))
    # What is listed is bounded, and is all there is for a body that lists little.
    listing = 400_000
    assert many <= FACTOR * few * 1.2 + 1000
    assert many <= SMALL * FACTOR * 12 + listing


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_memory_and_answer_are_bounded(body):
    size = SMALL * FACTOR
    peak, error = memory_to_refuse(body, size)
    assert peak <= size * 150 + 2_000_000
    assert answer_bytes(error) <= MAX_VIOLATIONS_BYTES + MAX_VIOLATIONS * 30 + 200
    assert len(str(error)) <= 4 * MAX_PATH + 1000


def text_of(violations):
    return "".join(violation.path + violation.message for violation in violations)


def test_one_error_lists_so_much_and_counts_the_others():
    for count, listed in ((1000, 1000), (1001, 1000), (5000, 1000)):
        error = InvalidRequest.from_violations([Violation("/a", "b")] * count)
        assert len(error.violations) == listed
        assert error.details.get("omittedViolations", 0) == count - listed
    error = InvalidRequest.from_violations([Violation("/é" * 500, "b")] * 100, omitted=7)
    assert len(text_of(error.violations).encode()) <= MAX_VIOLATIONS_BYTES
    assert error.details["omittedViolations"] == 107 - len(error.violations)
    assert len(error.violations) == 43


NANS = [float("nan")] * 5000
LONG = {"~" * 6000: NANS}
UNKNOWN = {f"{number}": 0 for number in range(3000)}


@pytest.mark.parametrize(
    ("read", "check", "kind", "document"),
    [
        (journey_definitions, None, InvalidJourney, {"journeys": [{"where": LONG}] * 3}),
        (compile_template, check_template, InvalidTemplate, {"a": LONG, "b": NANS}),
        (compile_template, check_template, InvalidTemplate, [{"$state": 0, "a": 0}] * 3000),
        (journey_definitions, None, InvalidJourney, {"journeys": [{}] * 3000}),
        (
            journey_definitions,
            None,
            InvalidJourney,
            {"journeys": [], **dict.fromkeys(map(str, range(3000)))},
        ),
    ],
)
def test_a_journey_and_a_template_list_no_more_than_a_request(read, check, kind, document):
    with pytest.raises(kind) as refusal:
        read(document)
    violations = refusal.value.violations
    assert 0 < len(violations) <= MAX_VIOLATIONS
    assert len(text_of(violations).encode()) <= MAX_VIOLATIONS_BYTES
    assert refusal.value.details["omittedViolations"] > 0
    if check is not None:
        assert tuple(check(document)) == violations


def test_every_fault_is_listed_or_counted():
    with pytest.raises(InvalidTemplate) as refusal:
        compile_template(NANS)
    error = refusal.value
    assert len(error.violations) + error.details["omittedViolations"] == len(NANS)


def test_what_is_returned_is_bounded_too():
    journey = {"id": "a", "status": "active", "trigger": {"event": "e"}}
    faults = check_journey(journey | UNKNOWN)
    assert len(text_of(faults)) <= MAX_VIOLATIONS_BYTES
    where = {"all": [{"path": "/event/a", "op": "in", "value": [None] * 5000}]}
    faults = check_journey(journey | {"trigger": {"event": "e", "where": where}})
    assert 0 < len(faults) <= MAX_VIOLATIONS


def test_a_path_is_cut_at_the_nearest_ancestor_that_fits():
    def path(*tokens):
        faults, at = Faults(), ""
        for token in tokens:
            at = (at, token)
        faults.note(at, "is wrong")
        return faults.violations()[0].path

    assert path("a", 0, "~/", "\ud800") == "/a/0/~0~1/\\ud800"
    assert path("a", "x" * (MAX_PATH - 3)) == "/a/" + "x" * (MAX_PATH - 3)
    assert path("a", "x" * (MAX_PATH - 2)) == "/a"
    assert path("a", "~" * (MAX_PATH // 2), "b") == "/a"
    assert path("x" * 10_000_000, "b") == ""
    assert len(path(*["abc"] * 10_000)) == MAX_PATH


def test_the_text_of_an_error_names_the_first_violations_by_path():
    def text(*violations, omitted=0):
        return str(InvalidRequest.from_violations([Violation(*v) for v in violations], omitted))

    assert text() == "The request is not valid."
    assert text(("/a", "is required")) == "The request is not valid: /a is required."
    assert text(("", "must be an object")) == "The request is not valid: it must be an object."
    three = [(f"/{number}", "is wrong") for number in range(3)]
    named = "The request is not valid: /0 is wrong; /1 is wrong; /2 is wrong"
    assert text(*three) == f"{named}."
    assert text(*three, ("/3", "is wrong"), omitted=5) == f"{named}; and 6 more."
    assert InvalidRequest("Something else.").message == str(InvalidRequest("Something else."))


@pytest.mark.parametrize("violations", [None, 5, "text", [5, {}, {"path": 1, "message": None}]])
def test_an_error_with_details_of_any_kind_can_be_printed(violations):
    error = InvalidRequest(details={"violations": violations, "omittedViolations": "many"})
    assert str(error).startswith("The request is not valid")
    assert json.dumps(error.envelope())
