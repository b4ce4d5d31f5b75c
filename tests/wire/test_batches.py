from __future__ import annotations

import json

import pytest

from segmentflow_core import Tracker
from segmentflow_core.errors import (
    IdempotencyKeyReuse,
    IdentityConflict,
    InvalidRequest,
    PayloadTooLarge,
    Violation,
)
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_request
from segmentflow_core.wire import BatchErrors, parse_batch
from segmentflow_core.wire.batches import MAX_BATCH
from segmentflow_memory import MemoryStorage

SIZE = 1024 * 1024


def batch(*events):
    return json.dumps({"events": list(events)})


def refused(raw, max_bytes=SIZE):
    with pytest.raises(InvalidRequest) as raised:
        parse_batch(raw, max_bytes)
    assert raised.value.__context__ is None
    return [(violation.path, violation.message) for violation in raised.value.violations]


def track(raw):
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    return tracker.track_many(parse_batch(raw, SIZE))


def test_a_batch_is_read_as_pairs_of_request_and_key():
    raw = batch({"idempotencyKey": "k1", **DOCUMENTED_REQUEST}, {}, [], 7)
    for form in (raw, raw.encode()):
        assert parse_batch(form, SIZE) == [
            (DOCUMENTED_REQUEST, "k1"),
            ({}, None),
            ([], None),
            (7, None),
        ]
    assert parse_batch(batch(), SIZE) == []
    assert len(parse_batch(batch(*[{}] * MAX_BATCH), SIZE)) == MAX_BATCH


@pytest.mark.parametrize(
    ("raw", "faults"),
    [
        ("[]", [("", "must be an object")]),
        ("{}", [("/events", "is required")]),
        ('{"events":null}', [("/events", "must be a list of events")]),
        ('{"events":{"0":{}}}', [("/events", "must be a list of events")]),
        (batch(*[{}] * (MAX_BATCH + 1)), [("/events", "must hold at most 1000 events")]),
        ('{"events":[],"events":[]}', [("/events", "is given more than once")]),
        (
            '{"a/b":1,"events":[],"\\u0000":2}',
            [("/a~1b", "is not a known field"), ("/\\u0000", "is not a known field")],
        ),
        ('{"x":1,"x":1}', [("/x", "is not a known field"), ("/events", "is required")]),
        ("{", [("", "is not valid JSON, at line 1, column 2")]),
        (7, [("", "must be bytes or text")]),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(raw, faults):
    assert refused(raw) == faults


def test_the_size_is_held_against_the_raw_bytes():
    raw = batch({"event": "\u00fc"}) + " " * 10
    long = len(raw.encode())
    for form in (raw, raw.encode()):
        assert len(parse_batch(form, long)) == 1
        with pytest.raises(PayloadTooLarge) as raised:
            parse_batch(form, long - 1)
        assert raised.value.details == {"maxBytes": long - 1}


def test_members_given_twice_are_found_in_an_event_and_in_its_key():
    twice = '{"events":[{"idempotencyKey":"a","idempotencyKey":"b","event":"x","event":"x"}]}'
    (error,) = track(twice)
    assert [violation.path for violation in error.violations][:2] == ["/idempotencyKey", "/event"]


def test_one_event_does_not_hinder_another():
    good = {"idempotencyKey": "k", **a_request()}
    results = track(batch(good, {"idempotencyKey": 5}, 7, good, {**good, "event": "y"}))
    assert [type(result).__name__ for result in results] == [
        "Receipt",
        "InvalidRequest",
        "IdempotencyKeyRequired",
        "Receipt",
        "IdempotencyKeyReuse",
    ]
    assert results[3].replayed


def test_paths_are_told_from_the_root_of_the_batch():
    errors = BatchErrors.for_batch(0)
    invalid = InvalidRequest.from_violations([Violation("", "a"), Violation("/x~1y", "b")], 3)
    assert errors.document(7, invalid) == {
        "error": "invalid_request",
        "message": invalid.message,
        "details": {
            "violations": [
                {"path": "/events/7", "message": "a"},
                {"path": "/events/7/x~1y", "message": "b"},
            ],
            "omittedViolations": 3,
        },
    }
    reuse = IdempotencyKeyReuse(details={"changedPaths": ["", "/data"], "redactedPaths": []})
    assert errors.document(0, reuse)["details"] == {
        "changedPaths": ["/events/0", "/events/0/data"],
        "redactedPaths": [],
    }
    assert errors.document(1, IdentityConflict()) == IdentityConflict().envelope()
    assert invalid.details["violations"][0]["path"] == ""


def test_all_errors_together_are_no_longer_than_the_batch_allows():
    errors = BatchErrors.for_batch(1000)
    many = InvalidRequest.from_violations([Violation(f"/{n:04}", "x" * 40) for n in range(1000)])
    reuse = IdempotencyKeyReuse(details={"changedPaths": ["/a" * 120] * 64})
    documents = [errors.document(0, many), errors.document(1, many), errors.document(2, reuse)]
    for document in documents[:2]:
        details = document["details"]
        assert len(details["violations"]) + details.get("omittedViolations", 0) == 1000
    assert 0 < len(documents[1]["details"]["violations"]) < 200
    assert documents[2]["details"]["changedPaths"] == ["/events/2"]
    assert len(json.dumps(documents)) < 3 * (64 * 1024 + 1000)


def test_no_refusal_repeats_a_value():
    canary = "canary-9421"
    raw = batch({"idempotencyKey": canary * 99, "event": [canary], "profile": canary}, canary)
    errors = BatchErrors.for_batch(len(raw))
    shown = [errors.document(index, error) for index, error in enumerate(track(raw))]
    assert canary not in repr((shown, refused(f'{{"events":"{canary}"}}')))
