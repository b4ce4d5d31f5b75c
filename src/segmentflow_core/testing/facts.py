"""Every field of every record that crosses a port, and the values that it is tried with.

A *fact* is what several records say alike: the email of a Profile is that of its version, too.
`FIELDS` names the fact of each field, so a record is built from facts and agrees with the
others. What a fact is tried with follows from the type of its field; of texts and numbers,
`OWN_VALUES` says it. Must never pass over a field: one that is not here is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any, Final, TypeAlias, TypeVar

from attrs import Attribute, fields, has

from segmentflow_core.domain.api_key import ApiKey
from segmentflow_core.domain.audit import AuditAction, AuditRecord
from segmentflow_core.domain.cancelling import Cancellers, CancelOn, Withdrawal
from segmentflow_core.domain.event import (
    Enrollment,
    EnrollmentStatus,
    Outcome,
    Receipt,
    SkipReason,
    UserEvent,
)
from segmentflow_core.domain.fingerprint import SCHEME, Fingerprint
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    JourneyStatus,
    Reentry,
    ReentryPolicy,
    Sample,
    Trigger,
    Window,
    definition_digest,
)
from segmentflow_core.domain.profile import (
    NEVER_GIVEN,
    Alias,
    MergedSeries,
    Profile,
    ProfileVersion,
)
from segmentflow_core.domain.tracking import KeyClaim
from segmentflow_core.testing import specimens

__all__ = [
    "FIELDS",
    "Facts",
    "build",
    "facts_of",
    "records_within",
    "values_of",
]

T = TypeVar("T")
Facts: TypeAlias = dict[str, Any]
_Source: TypeAlias = "str | type | Callable[[Facts], Any]"


def _fixed(value: Any) -> Callable[[Facts], Any]:
    return lambda _: value


def _outcomes(facts: Facts) -> tuple[Outcome, ...]:
    """Give the event's own outcome and as many others as the facts say, by Journey id."""
    others = [
        Outcome(f"{name} {facts['journey_id']}"[:255], 1, "skipped", SkipReason.TOO_LATE)
        for name in specimens.NAMES[: facts["other_outcomes"]]
    ]
    return tuple(sorted([build(Outcome, facts), *others], key=lambda outcome: outcome.journey_id))


def _property_times(facts: Facts) -> dict[str, Any]:
    return dict.fromkeys((*facts["properties"], *facts["removed"]), facts["set_at"])


def _window(facts: Facts) -> Window | None:
    ends = (facts["starts_at"], facts["ends_at"])
    return None if ends == (None, None) else build(Window, facts)


FIELDS: Final[dict[type, dict[str, _Source]]] = {
    Fingerprint: {"scheme": "scheme", "key_id": "key_id", "digest": "request_digest"},
    Receipt: {
        "event_id": "event_id",
        "profile_id": "profile_id",
        "matched_journeys": "matched",
        "enrolled_journeys": "enrolled",
        "skipped_journeys": lambda facts: facts["matched"] - facts["enrolled"],
        # Neither is stored: each call finds its own.
        "replayed": _fixed(False),
        "unmatched_paths": _fixed(()),
    },
    KeyClaim: {
        "key_digest": "key_digest",
        "fingerprint": Fingerprint,
        "paths": "paths",
        "receipt": Receipt,
        "taken_at": "taken_at",
        "expires_at": "expires_at",
    },
    Profile: {
        "profile_id": "profile_id",
        "email": "email",
        "external_id": "external_id",
        "properties": "properties",
        "property_times": _property_times,
        "created_at": "created_at",
        "updated_at": "updated_at",
        "number": "number",
        "version": "version",
        "email_times": lambda facts: NEVER_GIVEN if facts["email"] is None else facts["given_at"],
        "former_emails": "former_emails",
        "aliases": "aliases",
        "merged": "merged",
        "merged_into": "merged_into",
        "suppressed_at": "suppressed_at",
        "erased_at": "erased_at",
        "scrubbed_at": "scrubbed_at",
        "awaits": "awaits",
    },
    # The fields of these two go together, so a Profile's are one fact each.
    Alias: dict.fromkeys(("kind", "value"), _fixed(None)),
    MergedSeries: dict.fromkeys(("profile_id", "before"), _fixed(None)),
    CancelOn: dict.fromkeys(("event", "same"), _fixed(None)),
    Cancellers: dict.fromkeys(("since", "digests"), _fixed(None)),
    Withdrawal: dict.fromkeys(("enrollment_id", "journey_id", "marked"), _fixed(None)),
    ProfileVersion: {
        "profile_id": "profile_id",
        "version": "version",
        "email": "email",
        "external_id": "external_id",
        "properties": "properties",
    },
    Outcome: {
        "journey_id": "journey_id",
        "version": "journey_version",
        "outcome": lambda facts: "enrolled" if facts["reason"] is None else "skipped",
        "reason": "reason",
    },
    UserEvent: {
        "event_id": "event_id",
        "profile_id": "profile_id",
        "number": "number",
        "event": "event",
        "data": "data",
        "profile": lambda facts: build(ProfileVersion, facts).state(),
        "profile_version": "version",
        "reference_id": "reference_id",
        "occurred_at": "occurred_at",
        "received_at": "received_at",
        "outcomes": _outcomes,
        "withdrew": "withdrew",
    },
    Enrollment: {
        "enrollment_id": "enrollment_id",
        "journey_id": "journey_id",
        "version": "journey_version",
        "profile_id": "profile_id",
        "event_id": "event_id",
        "event_number": "number",
        "entry_key": "entry_key",
        "entered_at": "entered_at",
        "available_at": "available_at",
        # New ones have no others. What the hand-over makes of these has tests of its own.
        "status": _fixed(EnrollmentStatus.PENDING),
        "attempts": _fixed(0),
        "lease_until": _fixed(None),
        "token": _fixed(None),
        "completed_at": _fixed(None),
        "last_failure": _fixed(None),
        "withdrawn_at": _fixed(None),
        "cancellers": "cancellers",
        "cancelled_by": _fixed(None),
        # Of a Journey that was never archived. What archiving makes of these has tests of its own.
        "era": _fixed(0),
        "archived_at": _fixed(None),
    },
    Trigger: {"event": "trigger", "where": "where"},
    # Its fields go together, so it is one fact.
    Reentry: dict.fromkeys(("policy", "key", "duration", "times", "within"), _fixed(None)),
    Window: {"starts_at": "starts_at", "ends_at": "ends_at"},
    Sample: {"percent": "percent", "seed": "seed"},
    JourneyDefinition: {
        "journey_id": "journey_id",
        "name": "name",
        "status": "status",
        "trigger": Trigger,
        "reentry": "reentry",
        "window": _window,
        "max_lateness": "max_lateness",
        "sample": Sample,
        "delay": "delay",
        "cancel_on": "awaits",
    },
    Journey: {
        "definition": JourneyDefinition,
        "version": "journey_version",
        "digest": lambda facts: definition_digest(build(JourneyDefinition, facts)),
        "published_at": "published_at",
        # It was never archived.
        "era": _fixed(0),
        "archived_at": _fixed(None),
    },
    ApiKey: {
        "key_id": "api_key_id",
        "organization_id": "organization_id",
        "digest": "api_key_digest",
        "scopes": "scopes",
        "label": "label",
        "test": "test",
        "created_at": "created_at",
        # A new key has neither; both are written by calls of their own.
        "last_used_at": _fixed(None),
        "revoked_at": _fixed(None),
    },
    AuditRecord: {
        "audit_id": "audit_id",
        "at": "done_at",
        "action": "action",
        "subjects": "subjects",
        "counts": "counts",
        "by": "by",
    },
}
"""Where the value of each field comes from: a fact, another record, or other facts."""

OWN_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "aliases": specimens.ALIASES,
    "api_key_id": specimens.IDS,
    "audit_id": specimens.IDS,
    "available_at": specimens.INSTANTS,
    "awaits": specimens.CANCEL_RULES,
    "by": specimens.NAMES,
    "cancellers": specimens.CANCELLERS,
    "counts": specimens.AUDIT_COUNTS,
    "data": specimens.JSON_OBJECTS,
    "delay": specimens.DURATIONS,
    "email": specimens.EMAILS,
    "enrolled": specimens.COUNTS,
    "enrollment_id": specimens.IDS,
    "entry_key": specimens.ENTRY_KEYS,
    "event": specimens.NAMES,
    "event_id": specimens.IDS,
    "expires_at": specimens.INSTANTS[1:],  # nothing is before the first instant
    "external_id": specimens.NAMES,
    "former_emails": specimens.FORMER_EMAILS,
    "given_at": specimens.EMAIL_TIMES,
    "journey_id": specimens.NAMES,
    "journey_version": specimens.VERSIONS,
    "key_digest": specimens.DIGEST_TEXTS,
    "key_id": specimens.KEY_IDS,
    "label": specimens.PRINTABLE,
    "matched": specimens.COUNTS,
    "max_lateness": specimens.DURATIONS,
    "merged": specimens.MERGED,
    "merged_into": specimens.IDS,
    "name": specimens.NAMES,
    "number": specimens.NUMBERS,
    "organization_id": specimens.PRINTABLE,
    "other_outcomes": (1, 60),
    "paths": specimens.PATHS,
    "percent": specimens.PERCENTS,
    "profile_id": specimens.IDS,
    # Null in a Property is its removal, so that none is stored.
    "properties": tuple(
        {name: value for name, value in each.items() if value is not None}
        for each in specimens.JSON_OBJECTS
    ),
    "reentry": specimens.REENTRIES,
    "reference_id": specimens.NAMES,
    "removed": tuple((name,) for name in specimens.NAMES),
    "scheme": (SCHEME, SCHEME.upper()),
    "scopes": (("events:write",), ("a", "b"), ("A", "B", "a", "b")),
    "seed": specimens.NAMES,
    "set_at": specimens.PROPERTY_TIMES,
    "subjects": specimens.SUBJECTS,
    "trigger": specimens.NAMES,
    "version": specimens.VERSIONS,
    "where": specimens.CONDITIONS,
    "withdrew": specimens.WITHDRAWALS,
}
"""What is tried where the type of a field does not say it: of every text and every number."""

_BY_TYPE: Final[Mapping[str, tuple[Any, ...]]] = {
    "None": (None,),
    "bool": (False, True),
    "bytes": specimens.DIGESTS,
    "datetime": specimens.INSTANTS,
    "AuditAction": tuple(AuditAction),
    "JourneyStatus": tuple(JourneyStatus),
    "SkipReason": tuple(SkipReason),
}

_NEVER_NONE: Final = ("available_at",)
"""Facts whose fields may be empty by their type, and of a new record never are."""

_ENDED: Final[Facts] = {"email": None, "external_id": None, "properties": {}}
_TOGETHER: Final[Mapping[str, Facts]] = {
    "aliases": {"former_emails": specimens.FORMER_ALIAS},
    "enrolled": {"matched": max(specimens.COUNTS)},
    "erased_at": _ENDED,
    "matched": {"enrolled": 0},
    "merged_into": _ENDED,
    "removed": {"properties": {"kept": 1}},
    "scrubbed_at": {**_ENDED, "erased_at": specimens.INSTANTS[0]},
    "set_at": {"properties": {"a": 1, "b": 2}},
}
"""Facts that have to fit the one that is tried."""

_MOMENT: Final = datetime(2026, 6, 1, 12, 0, 0, 123_456, UTC)
_OTHERS: Final = ("given_at", "organization_id", "other_outcomes", "removed", "set_at")
"""Facts that no field has for itself alone."""


def facts_of(number: int, /, **known: Any) -> Facts:
    """Return the facts of one accepted event that has nothing in common with others.

    Args:
        number: another one for each event.
        known: facts that are to be other than usual.
    """
    digest = sha256(b"%d" % number).digest()
    facts: Facts = {
        "action": AuditAction.PROFILE_ERASED,
        "aliases": (),
        "api_key_digest": digest,
        "api_key_id": specimens.an_id(2**64 + 8 * number + 4),
        "audit_id": specimens.an_id(2**64 + 8 * number + 5),
        "awaits": (),
        "by": None,
        "cancellers": None,
        "counts": {},
        "data": {"n": number},
        "delay": None,
        "email": f"p{number}@example.org",
        "ends_at": None,
        "enrolled": 1,
        "enrollment_id": specimens.an_id(2**64 + 8 * number + 2),
        "entry_key": None,
        "erased_at": None,
        "event": "order.created",
        "event_id": specimens.an_id(2**64 + 8 * number + 1),
        "expires_at": None,
        "external_id": f"external id {number}",
        "former_emails": {},
        "given_at": (1_780_000_000_000_000, 1_780_000_000_000_000, 1_780_000_000_000_001),
        "journey_id": f"journey {number}",
        "journey_version": 1,
        "key_digest": specimens.digest_text(digest),
        "key_id": "key",
        "label": None,
        "matched": 1,
        "max_lateness": None,
        "merged": (),
        "merged_into": None,
        "name": "Name",
        "number": 1,
        "organization_id": "default",
        "other_outcomes": 0,
        "paths": {},
        "percent": 50,
        "profile_id": specimens.an_id(2**64 + 8 * number),
        "properties": {"plan": "Pro"},
        "reason": None,
        "reentry": Reentry(ReentryPolicy.EVERY_EVENT),
        "reference_id": None,
        "removed": (),
        "request_digest": digest,
        "scheme": SCHEME,
        "scrubbed_at": None,
        "scopes": ("events:write",),
        "seed": "seed",
        "set_at": (1_780_000_000_000_000, 1_780_000_000_000_001),
        "starts_at": None,
        "status": JourneyStatus.ACTIVE,
        "subjects": (),
        "suppressed_at": None,
        "test": False,
        "trigger": f"trigger {number}",
        "version": 1,
        "where": None,
        "withdrew": (),
    }
    moments = ("available_at", "created_at", "done_at", "entered_at", "occurred_at")
    facts |= dict.fromkeys((*moments, "published_at", "received_at", "taken_at"), _MOMENT)
    return {**facts, "updated_at": _MOMENT, **known}


def build(kind: type[T], facts: Facts) -> T:
    """Make a record of what the facts say.

    Raises:
        LookupError: `FIELDS` does not say where a field comes from.
    """
    own: type = kind
    return kind(**{field.name: _value(own, field, facts) for field in _fields(own)})


def values_of(*kinds: type) -> dict[str, tuple[Facts, ...]]:
    """Return every fact that records of these kinds tell, with what it is tried with.

    Each value comes as facts for `facts_of`: itself, and what must fit it.

    Raises:
        LookupError: a field is not in `FIELDS`, or its type does not say what to try.
    """
    types: dict[str, str] = dict.fromkeys(_OTHERS, "str")
    for kind in kinds:
        for field in _fields(kind):
            source = _source(kind, field)
            if isinstance(source, str):
                types.setdefault(source, kind.__annotations__[field.name])
    return {
        fact: tuple({**_TOGETHER.get(fact, {}), fact: value} for value in _tried(fact, annotation))
        for fact, annotation in sorted(types.items())
    }


def _tried(fact: str, annotation: str) -> tuple[Any, ...]:
    parts = annotation.split(" | ")
    own = OWN_VALUES.get(fact)
    if own is not None:
        return (*own, None) if "None" in parts and fact not in _NEVER_NONE else own
    unknown = [part for part in parts if part not in _BY_TYPE]
    if unknown:
        raise LookupError(
            f"The kit does not know what to try {fact!r} with, a {annotation}:"
            " say it in OWN_VALUES of segmentflow_core.testing.facts."
        )
    return tuple(value for part in parts for value in _BY_TYPE[part])


def _value(kind: type, field: Attribute[Any], facts: Facts) -> Any:
    source = _source(kind, field)
    if isinstance(source, str):
        return facts[source]
    if isinstance(source, type):
        return build(source, facts)
    return source(facts)


def _source(kind: type, field: Attribute[Any]) -> _Source:
    try:
        return FIELDS[kind][field.name]
    except KeyError:
        raise LookupError(
            f"The kit does not know what storage may do to {kind.__name__}.{field.name}:"
            " say it in FIELDS of segmentflow_core.testing.facts."
        ) from None


@cache
def _fields(kind: type) -> tuple[Attribute[Any], ...]:
    # Written out, since fields() is generic over attrs classes alone.
    return tuple(fields(kind))  # pyright: ignore[reportArgumentType]


def records_within(kind: type) -> Iterator[type]:
    """Yield a record's class, then those of the records that its fields hold."""
    yield kind
    names = vars(sys.modules[kind.__module__])
    for field in _fields(kind):
        for word in re.findall(r"\w+", kind.__annotations__[field.name]):
            inner = names.get(word)
            if isinstance(inner, type) and has(inner):
                yield from records_within(inner)
