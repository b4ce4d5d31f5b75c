"""The rules of what a request may say, record and hide are those of the code."""

from __future__ import annotations

import json
import re

import pytest

from reference_pages import REFERENCE, lines, rows
from segmentflow_core import Limits, ProfileLimits, RedactionPolicy, Tracker
from segmentflow_core.domain.api_key import SCOPES
from segmentflow_core.domain.faults import MAX_PATH
from segmentflow_core.domain.identity import RESOLUTIONS
from segmentflow_core.domain.request import EMAIL_PATTERN, PLACEHOLDERS, check_request
from segmentflow_core.errors import (
    MAX_VIOLATIONS,
    MAX_VIOLATIONS_BYTES,
    ConfigurationError,
    IdempotencyKeyReuse,
    InvalidRequest,
)
from segmentflow_core.journeys import parse_duration
from segmentflow_core.ports import format_instant, parse_instant
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, FixedClock, a_request
from segmentflow_core.wire import (
    event_document,
    parse_request,
    receipt_document,
    request_json_schema,
)
from segmentflow_memory import MemoryStorage

REQUEST = "rules/request.md"


def a_tracker(**options):
    return Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, **options)


def test_the_identity_table():
    assert rows("rules/identity.md", "given") == [(g, h, r) for (g, h), r in RESOLUTIONS.items()]


def test_the_fields_of_a_request():
    schema = request_json_schema()["properties"]
    schema |= {f"profile.{name}": {} for name in schema["profile"]["properties"]}
    assert {name for name, _ in rows(REQUEST, "field")} == set(schema)


def test_the_pattern_of_an_email():
    assert EMAIL_PATTERN in lines(REQUEST)


def test_the_documented_request():
    page = (REFERENCE / REQUEST).read_text(encoding="utf-8")
    assert json.loads(page.split("```json\n")[1].split("```")[0]) == DOCUMENTED_REQUEST


def test_the_external_ids_of_a_broken_client():
    sent = [json.loads(f'"{text}"') for text, _ in rows(REQUEST, "external id")]
    assert tuple(sent[: len(PLACEHOLDERS)]) == PLACEHOLDERS
    for external_id in sent:
        request = a_request(profile={"externalId": external_id})
        with pytest.raises(InvalidRequest) as caught:
            check_request(request, "key")
        assert [violation.path for violation in caught.value.violations] == ["/profile/externalId"]
        assert check_request(request, "key", Limits(allow_placeholder_ids=True))
        schema = request_json_schema()["properties"]["profile"]["properties"]["externalId"]
        assert re.search(schema["not"]["pattern"], external_id)


def test_the_bounds_of_an_error():
    bounds = [int(text.replace(",", "")) for _, text in rows(REQUEST, "bound of one error")]
    assert bounds == [MAX_VIOLATIONS, MAX_VIOLATIONS_BYTES, MAX_PATH]


def test_what_json_may_hold():
    for value, message in rows(REQUEST, "in `data`"):
        request = json.dumps(a_request())[:-1] + f', "data": {{"x": {value}}}}}'
        with pytest.raises(InvalidRequest) as caught:
            a_tracker().track(parse_request(request), "1")
        assert message in [violation.message for violation in caught.value.violations], value


def test_the_examples_of_dates():
    for sent, taken in rows(REQUEST, "sent"):
        try:
            found = format_instant(parse_instant(sent))
        except ValueError:
            found = "refused"
        assert found == taken, sent


def test_the_examples_of_durations():
    for text, seconds in rows(REQUEST, "duration"):
        try:
            found = f"{parse_duration(text).total_seconds():.9g}"
        except ValueError:
            found = "refused"
        assert found == seconds, text


def test_what_counts_as_the_same_request():
    for first, then, answer in rows("rules/idempotency.md", "first"):
        tracker = a_tracker()
        tracker.track(a_request(**json.loads(first)), "1")
        try:
            assert tracker.track(a_request(**json.loads(then)), "1").replayed
            found = "the same request"
        except IdempotencyKeyReuse as conflict:
            changed, redacted = conflict.details["changedPaths"], conflict.details["redactedPaths"]
            (found,) = [*changed, *(f"redacted: {path}" for path in redacted)]
        assert found == answer, (first, then)


def test_the_order_of_properties():
    def instant(time):
        return parse_instant(f"2026-05-31T{time}Z")

    for *events, left in rows("rules/properties.md", "first"):
        clock = FixedClock(instant("00:00"))
        tracker = a_tracker(clock=clock)
        for value, occurred, received in (events[:3], events[3:]):
            clock.advance(seconds=(instant(received) - clock.now()).total_seconds())
            request = a_request(occurredAt=f"2026-05-31T{occurred}Z")
            request["profile"]["properties"] = {"plan": json.loads(value)}
            receipt = tracker.track(request, str(len(tracker.records.events())))
        properties = tracker.records.profile(receipt.profile_id).properties
        expected = {} if left == "nothing" else {"plan": json.loads(left)}
        assert properties == expected, events


def test_how_much_a_profile_holds():
    limits = ProfileLimits()
    for _, limit, setting in rows("rules/properties.md", "what"):
        value = getattr(limits, setting)
        assert str(getattr(value, "days", value)) == limit


def test_what_a_redaction_path_names():
    for row in rows("rules/redaction.md", "data"):
        data, paths, stored, unmatched = map(json.loads, row)
        tracker = a_tracker()
        receipt = tracker.track(a_request(data=data, redactedDataPaths=paths), "1")
        assert tracker.records.event(receipt.event_id).data == stored
        assert list(receipt.unmatched_paths) == unmatched


def test_what_is_no_redaction_path():
    for path, why in rows("rules/redaction.md", "path"):
        with pytest.raises(InvalidRequest) as caught:
            a_tracker().track(a_request(redactedDataPaths=[path]), "1")
        assert [violation.message for violation in caught.value.violations] == [why]


def test_what_a_policy_redacts():
    table = rows("rules/redaction.md", "paths")
    assert len(table) > 8
    for row in table:
        paths, names, sent, stored = map(json.loads, row)
        tracker = a_tracker(redaction=RedactionPolicy(paths=paths, names=names))
        request = a_request(data=sent.get("data", {}))
        request["profile"] = {"email": "a@example.com", "properties": sent.get("properties", {})}
        receipt = tracker.track(request, "1")
        found = {
            "data": tracker.records.event(receipt.event_id).data,
            "properties": tracker.records.profile(receipt.profile_id).properties,
        }
        assert {of: found[of] for of in sent} == stored, row


def test_what_is_no_path_of_a_policy():
    for path, why in rows("rules/redaction.md", "path of a policy"):
        with pytest.raises(ConfigurationError) as caught:
            RedactionPolicy(paths=[path])
        assert str(caught.value) == f"The path {path!r} of a RedactionPolicy {why}."


def test_what_is_recorded_and_answered():
    tracker = a_tracker()
    receipt = tracker.track(a_request(), "1")
    event = event_document(tracker.records.event(receipt.event_id))
    recorded, answered = (
        {name for name, _ in rows("rules/tracking.md", f"member of {what}")}
        for what in ("an event", "a receipt")
    )
    assert recorded == set(event)
    assert answered == set(receipt_document(receipt))


def test_the_scopes_of_an_api_key():
    assert rows("rules/api-keys.md", "scope") == list(SCOPES.items())
