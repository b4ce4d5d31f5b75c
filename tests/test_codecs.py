"""Every record that crosses a port comes back from its document as it was, and nothing shows it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentflow_core import codecs, ports
from segmentflow_core.codecs import (
    RECORDS,
    decode_record,
    document_of,
    encode_record,
    record_of,
)
from segmentflow_core.domain.api_key import ApiKey
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import (
    Alias,
    AuditAction,
    AuditRecord,
    Enrollment,
    EnrollmentStatus,
    Fingerprint,
    Journey,
    JourneyDefinition,
    KeyClaim,
    MergedSeries,
    Outcome,
    Profile,
    ProfileVersion,
    Receipt,
    SkipReason,
    UserEvent,
    journey_definition,
)
from segmentflow_core.testing import journeys, json_objects

CROSSING = sorted(
    {
        *RECORDS,
        *(found for found in vars(ports).values() if attrs.has(found)),
    }
    - {JourneyDefinition},
    key=lambda kind: kind.__name__,
)
"""Every attrs class that the ports name; a definition is written as a part of its Journey."""

NOW = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
plain = {
    str: texts,
    int: st.integers(-(2**63), 2**64 - 1),
    bool: st.booleans(),
    bytes: st.binary(max_size=32),
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime: st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0)),
    JourneyDefinition: journeys().map(journey_definition),
}


def values_of(kind):
    """Draw what a field of a type may hold, whatever the type: a new field is drawn as well."""
    if kind in plain:
        return plain[kind]
    if attrs.has(kind):
        hints = get_type_hints(kind, localns={"JsonObject": Mapping[str, Any]})
        given = [field.name for field in attrs.fields(kind) if field.init]
        return st.builds(kind, **{name: values_of(hints[name]) for name in given})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return st.sampled_from(inner)
    if get_origin(kind) is types.UnionType:
        return st.one_of(
            *(st.none() if each is types.NoneType else values_of(each) for each in inner)
        )
    if get_origin(kind) is tuple and inner[-1] is not ...:
        return st.tuples(*map(values_of, inner))
    if get_origin(kind) is tuple:
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if get_origin(kind) is frozenset:
        return st.frozensets(values_of(inner[0]), max_size=3)
    assert get_origin(kind) is Mapping, kind
    if inner[1] is Any:
        return json_objects()
    return st.dictionaries(values_of(inner[0]), values_of(inner[1]), max_size=3)


def exactly(value):
    """Show a value so that what Python holds equal, such as 1, 1.0 and True, differs."""
    if attrs.has(type(value)):
        fields = [(f.name, exactly(getattr(value, f.name))) for f in attrs.fields(type(value))]
        return (type(value).__name__, fields)
    if isinstance(value, Mapping):
        return {exactly(name): exactly(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return (type(value).__name__, [exactly(item) for item in value])
    if isinstance(value, frozenset):
        return ("frozenset", sorted((exactly(item) for item in value), key=repr))
    return (type(value).__name__, repr(value))


@pytest.mark.parametrize("kind", CROSSING, ids=lambda kind: kind.__name__)
@settings(max_examples=30)
@given(data=st.data())
def test_a_record_comes_back_exactly(kind, data):
    record = data.draw(values_of(kind))
    back = decode_record(kind, encode_record(record))
    assert exactly(back) == exactly(record)


def test_a_record_without_what_stands_elsewhere_is_read_with_it():
    event = an_event()
    document = document_of(event, without=("profile",))
    assert "profile" not in document
    assert record_of(UserEvent, document, profile=event.profile) == event


def test_json_is_neither_copied_nor_looked_into():
    event = an_event()
    assert document_of(event)["data"] is event.data
    assert record_of(UserEvent, document_of(event)).data is event.data


def test_a_document_from_before_a_field_has_its_default():
    document = document_of(an_enrollment())
    for name in (
        "available_at",
        "attempts",
        "lease_until",
        "token",
        "completed_at",
        "last_failure",
        "withdrawn_at",
    ):
        del document[name]
    assert record_of(Enrollment, document) == attrs.evolve(an_enrollment(), available_at=None)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document | {"not_yet": "canary"},
        lambda document: {"profile_id": "canary"},
        lambda document: document | {"status": "canary"},
        lambda document: document | {"entered_at": "canary"},
    ],
    ids=["a later field", "a field is missing", "a later status", "another type"],
)
def test_what_this_version_cannot_read_is_refused_and_not_shown(change):
    with pytest.raises(ConfigurationError) as refusal:
        record_of(Enrollment, change(document_of(an_enrollment())))
    assert "Enrollment" in str(refusal.value)
    assert "canary" not in str(refusal.value)
    assert refusal.value.__context__ is None


def test_what_is_no_document_is_refused():
    for text in ("", "null", '{"enrollment_id"'):
        with pytest.raises(ConfigurationError, match="Enrollment"):
            decode_record(Enrollment, text)


def test_what_was_written_stays_readable():
    """Stored by this version; every later one must read it the same."""
    for record, text in STORED:
        assert decode_record(type(record), text) == record


def test_every_record_has_a_stored_one():
    assert {type(record) for record, _ in STORED} == set(codecs.RECORDS)


def an_event():
    return UserEvent(
        event_id="e",
        profile_id="p",
        number=2,
        event="order.created",
        data={"total": 1.0},
        profile={"properties": {}},
        profile_version=1,
        reference_id=None,
        occurred_at=NOW,
        received_at=NOW,
        outcomes=(Outcome("j", 1, "skipped", SkipReason.TOO_LATE), Outcome("k", 2, "enrolled")),
    )


def an_enrollment():
    return Enrollment("n", "j", 1, "p", "e", 2, "", NOW, available_at=NOW)


STORED = [
    (
        KeyClaim(
            "d",
            Fingerprint("s", "k", b"\0\xff"),
            {"/x": "y"},
            Receipt("e", "p", 2, 1, 1),
            NOW,
            None,
        ),
        (
            '{"key_digest":"d","fingerprint":{"scheme":"s","key_id":"k","digest":"00ff"},'
            '"paths":{"/x":"y"},"receipt":{"event_id":"e","profile_id":"p","matched_journeys":2,'
            '"enrolled_journeys":1,"skipped_journeys":1},"taken_at":1780315200123456,'
            '"expires_at":null}'
        ),
    ),
    (
        Profile("p", "a@example.com", None, {"n": 1.0}, {"n": (1, 2)}, NOW, NOW, 3, 2),
        (
            '{"profile_id":"p","email":"a@example.com","external_id":null,"properties":{"n":1.0},'
            '"property_times":{"n":[1,2]},"created_at":1780315200123456,'
            '"updated_at":1780315200123456,"number":3,"version":2}'
        ),
    ),
    (
        Profile(
            *("p", "a@example.com", "x", {}, {}, NOW, NOW, 3, 2),
            (1, 2, 3),
            {"b@example.com": (4, 5, 6)},
        ),
        (
            '{"profile_id":"p","email":"a@example.com","external_id":"x","properties":{},'
            '"property_times":{},"created_at":1780315200123456,"updated_at":1780315200123456,'
            '"number":3,"version":2,"email_times":[1,2,3],'
            '"former_emails":{"b@example.com":[4,5,6]}}'
        ),
    ),
    (
        KeyClaim("d", None, {}, Receipt("e", "p", 2, 1, 1), NOW, None),
        (
            '{"key_digest":"d","fingerprint":null,"paths":{},"receipt":{"event_id":"e",'
            '"profile_id":"p","matched_journeys":2,"enrolled_journeys":1,"skipped_journeys":1},'
            '"taken_at":1780315200123456,"expires_at":null}'
        ),
    ),
    (
        Profile(
            *("p", None, None, {}, {}, NOW, NOW, 3, 2),
            aliases=(Alias(IdentityKind.EXTERNAL_ID, "y"),),
            merged=(MergedSeries("q", 4),),
            merged_into="r",
            suppressed_at=NOW,
            erased_at=NOW,
            scrubbed_at=NOW,
        ),
        (
            '{"profile_id":"p","email":null,"external_id":null,"properties":{},'
            '"property_times":{},"created_at":1780315200123456,"updated_at":1780315200123456,'
            '"number":3,"version":2,"email_times":[0,0,0],"former_emails":{},'
            '"aliases":[{"kind":"externalId","value":"y"}],'
            '"merged":[{"profile_id":"q","before":4}],"merged_into":"r",'
            '"suppressed_at":1780315200123456,"erased_at":1780315200123456,'
            '"scrubbed_at":1780315200123456}'
        ),
    ),
    (
        AuditRecord("a", NOW, AuditAction.PROFILES_MERGED, ("p", "q"), {"withdrawn": 1}, "ops"),
        (
            '{"audit_id":"a","at":1780315200123456,"action":"profiles_merged",'
            '"subjects":["p","q"],"counts":{"withdrawn":1},"by":"ops"}'
        ),
    ),
    (
        attrs.evolve(an_enrollment(), status=EnrollmentStatus.WITHDRAWN, withdrawn_at=NOW),
        (
            '{"enrollment_id":"n","journey_id":"j","version":1,"profile_id":"p","event_id":"e",'
            '"event_number":2,"entry_key":"","entered_at":1780315200123456,"status":"withdrawn",'
            '"available_at":1780315200123456,"attempts":0,"lease_until":null,"token":null,'
            '"completed_at":null,"withdrawn_at":1780315200123456}'
        ),
    ),
    (
        ProfileVersion("p", 2, None, "x", {"n": [1, None]}),
        '{"profile_id":"p","version":2,"email":null,"external_id":"x","properties":{"n":[1,null]}}',
    ),
    (
        an_event(),
        (
            '{"event_id":"e","profile_id":"p","number":2,"event":"order.created",'
            '"data":{"total":1.0},"profile":{"properties":{}},"profile_version":1,'
            '"reference_id":null,"occurred_at":1780315200123456,"received_at":1780315200123456,'
            '"outcomes":[{"journey_id":"j","version":1,"outcome":"skipped","reason":"too_late"},'
            '{"journey_id":"k","version":2,"outcome":"enrolled","reason":null}]}'
        ),
    ),
    (
        Journey(
            journey_definition(
                {
                    "id": "j",
                    "status": "active",
                    "trigger": {"event": "order.created"},
                    "window": {"from": "2026-06-01T12:00:00.123456Z"},
                }
            ),
            2,
            "d",
            NOW,
        ),
        (
            '{"definition":{"id":"j","name":"j","status":"active","trigger":{"event":"order.created"},'
            '"reentry":{"policy":"every_event"},"window":{"from":"2026-06-01T12:00:00.123456Z"}},'
            '"version":2,"digest":"d","published_at":1780315200123456}'
        ),
    ),
    (
        attrs.evolve(
            an_enrollment(),
            status=EnrollmentStatus.CLAIMED,
            attempts=1,
            lease_until=NOW,
            token="t",
        ),
        (
            '{"enrollment_id":"n","journey_id":"j","version":1,"profile_id":"p","event_id":"e",'
            '"event_number":2,"entry_key":"","entered_at":1780315200123456,"status":"claimed",'
            '"available_at":1780315200123456,"attempts":1,"lease_until":1780315200123456,'
            '"token":"t","completed_at":null,"last_failure":null}'
        ),
    ),
    (
        ApiKey("k", "o", b"\0\xff", ("events:write",), None, True, NOW, None, NOW),
        (
            '{"key_id":"k","organization_id":"o","digest":"00ff","scopes":["events:write"],'
            '"label":null,"test":true,"created_at":1780315200123456,"last_used_at":null,'
            '"revoked_at":1780315200123456}'
        ),
    ),
]
