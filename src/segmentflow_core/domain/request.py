"""The request of `events.track`: what a caller may send, and every rule it must keep.

Knows fields, lengths and formats. Must never put a value of the request into a
message: faults are JSON Pointers into the request and fixed sentences.

See docs/reference/rules/request.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from segmentflow_core.domain.admission import INADMISSIBLE, Admission
from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.instant import format_instant, parse_instant
from segmentflow_core.domain.json_value import JsonObject, JsonValue
from segmentflow_core.domain.pointer import Tokens, format_pointer
from segmentflow_core.domain.redaction import Redaction, compile_redaction, redaction_path_fault
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyKeyRequired,
    InvalidRequest,
    PayloadTooLarge,
    Violation,
)

__all__ = [
    "DEFAULT_LIMITS",
    "EMAIL_PATTERN",
    "MAX_EMAIL",
    "MAX_NAME",
    "Limits",
    "ProfileInput",
    "RequestDocument",
    "TrackRequest",
    "ValidRequest",
    "check_request",
    "request_document",
]

EMAIL_PATTERN: Final = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]"
    r"@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
"""The documented pattern, held against the trimmed email."""

_EMAIL: Final = re.compile(EMAIL_PATTERN)
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
MAX_NAME: Final = 255
MAX_EMAIL: Final = 320
_MAX_VIOLATIONS: Final = 1000
_MAX_PATH: Final = 1024

_FIELDS: Final = frozenset(
    {"event", "profile", "data", "redactedDataPaths", "referenceId", "occurredAt"}
)
_PROFILE_FIELDS: Final = frozenset({"email", "externalId", "properties"})


def _given(self: Any) -> str:
    """Name the fields that are set; a repr must not show what they hold."""
    names = [name for name in self.__slots__ if name[0] != "_"]
    given = [name for name in names if getattr(self, name) is not None]
    return f"<{type(self).__name__} with {', '.join(given) or 'nothing'}>"


@frozen(repr=False)
class ProfileInput:
    """Whom the event is about: an email, an external id, or both.

    Attributes:
        email: identifies the Profile, whatever its case; trimmed.
        external_id: the host's own id for the Profile, 1 to 255 characters.
        properties: Profile Properties to set; None as a value removes one.
    """

    email: str | None = None
    external_id: str | None = None
    properties: Mapping[str, JsonValue] | None = None

    __repr__ = _given


@frozen(repr=False)
class TrackRequest:
    """One business event, as the caller states it. Nothing is checked before `track`.

    Attributes:
        event: the event's name, 1 to 255 characters, matched exactly.
        profile: whom it is about.
        data: the event's own data, any JSON object.
        redacted_data_paths: JSON Pointers, each starting ``/event/``, of what must not be stored.
        reference_id: the host's own id for what happened; correlation only.
        occurred_at: when it happened, as an aware datetime or RFC 3339 text; default: on receipt.
    """

    event: str
    profile: ProfileInput
    data: Mapping[str, JsonValue] | None = None
    redacted_data_paths: Sequence[str] | None = None
    reference_id: str | None = None
    occurred_at: datetime | str | None = None

    __repr__ = _given


@frozen(repr=False)
class RequestDocument:
    """A request parsed from raw JSON whose size was checked as bytes, before parsing.

    Attributes:
        document: what was parsed, unchecked.
    """

    document: Any


@frozen
class Limits:
    """How much JSON one request may hold.

    Attributes:
        max_bytes: of UTF-8, at most. Default 256 KiB.
        max_depth: of nested objects and arrays; the request itself is 1. Default 64.
    """

    max_bytes: int = 256 * 1024
    max_depth: int = 64

    def __attrs_post_init__(self) -> None:
        if self.max_bytes < 1 or not 1 <= self.max_depth <= 128:
            raise ConfigurationError("max_bytes must be at least 1 and max_depth 1 to 128.")


DEFAULT_LIMITS: Final = Limits()


@frozen(repr=False)
class ValidRequest:
    """A request that keeps every rule, with what the decision needs ready made.

    Attributes:
        event: the event's name.
        email: trimmed and lowercased, or None.
        external_id: as sent, or None.
        properties: admitted Profile Properties; empty where none were sent.
        data: the event's data, admitted and *not yet redacted*.
        redaction: the compiled redaction paths.
        reference_id: as sent, or None.
        occurred_at: in UTC, or None where the caller left it to the receipt.
        document: the request as sent, normalised for the fingerprint.
        canonical: `document` as canonical JSON.
    """

    event: str
    email: str | None
    external_id: str | None
    properties: dict[str, Any]
    data: dict[str, Any]
    redaction: Redaction
    reference_id: str | None
    occurred_at: datetime | None
    document: JsonObject
    canonical: bytes

    __repr__ = _given


def request_document(request: TrackRequest) -> dict[str, Any]:
    """Return the request as it would be sent over the wire; fields left at None are absent.

    Args:
        request: as stated; nothing is checked.

    >>> request_document(TrackRequest("signed.up", ProfileInput(external_id="cus_1")))
    {'event': 'signed.up', 'profile': {'externalId': 'cus_1'}}
    """
    profile: Any = request.profile
    if isinstance(profile, ProfileInput):
        profile = _without_none(
            ("email", profile.email),
            ("externalId", profile.external_id),
            ("properties", profile.properties),
        )
    return _without_none(
        ("event", request.event),
        ("profile", profile),
        ("data", request.data),
        ("redactedDataPaths", request.redacted_data_paths),
        ("referenceId", request.reference_id),
        ("occurredAt", request.occurred_at),
    )


def _without_none(*members: tuple[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members if value is not None}


def check_request(
    request: TrackRequest | Mapping[str, Any] | RequestDocument,
    idempotency_key: str | None,
    limits: Limits = DEFAULT_LIMITS,
) -> ValidRequest:
    """Hold a request against every rule and return it ready for the decision.

    Args:
        request: the request; a mapping has the wire's names.
        idempotency_key: 1 to 255 printable ASCII characters.
        limits: how much JSON it may hold.

    Raises:
        IdempotencyKeyRequired: there is no key; whatever else is wrong is listed too.
        InvalidRequest: one or more rules are broken; each is listed.
        PayloadTooLarge: the request is larger than `limits` allow.
    """
    sized = isinstance(request, RequestDocument)
    if isinstance(request, RequestDocument):
        document: Any = request.document
    elif isinstance(request, TrackRequest):
        document = request_document(request)
    else:
        document = request
    occurred_at = None
    if type(document) is dict and isinstance(document.get("occurredAt"), datetime):
        occurred_at = document["occurredAt"]
        document = {**document, "occurredAt": "instant"}

    admission = Admission(limits.max_depth, limits.max_bytes)
    admitted = admission.admit(document)
    if admission.too_large:
        # Whoever has measured it: what was admitted is cut short.
        raise PayloadTooLarge(details={"maxBytes": limits.max_bytes})
    check = _Check(admission.faults)
    valid = check.request(admitted, occurred_at)
    key_missing = check.key(idempotency_key)
    if check.faults:
        raise check.error(IdempotencyKeyRequired if key_missing else InvalidRequest)
    assert valid is not None
    if not sized and len(valid.canonical) > limits.max_bytes:
        raise PayloadTooLarge(details={"maxBytes": limits.max_bytes})
    return valid


class _Check:
    """One reading of an admitted request; gathers faults and goes on."""

    def __init__(self, faults: list[tuple[Tokens, str]]) -> None:
        self.faults = faults
        self.redaction: Redaction | None = None

    def key(self, key: object) -> bool:
        """Check the idempotency key; return whether there is none."""
        if key is None or key == "":
            self.faults.append((("idempotencyKey",), "is required"))
            return True
        if not isinstance(key, str) or _KEY.fullmatch(key) is None:
            self.faults.append((("idempotencyKey",), "must be 1 to 255 printable ASCII characters"))
        return False

    def request(self, document: Any, moment: datetime | None) -> ValidRequest | None:
        """Check the request itself; the answer counts only while there are no faults."""
        if type(document) is not dict:
            if document is not INADMISSIBLE:
                self.faults.append(((), "must be an object"))
            return None
        if not document.keys() <= _FIELDS:
            self._refuse_unknown(document, _FIELDS, ())
        event = self._name(document, "event", (), required=True)
        email, external_id, properties = self._profile(document)
        data = self._object(document, "data", ())
        paths = self._paths(document)
        reference_id = self._name(document, "referenceId", ())
        occurred_at = self._instant(document, moment)
        if self.faults:
            return None
        assert event is not None
        assert self.redaction is not None
        sent = document.copy()
        if paths is not None:
            sent["redactedDataPaths"] = paths
        if occurred_at is not None:
            sent["occurredAt"] = format_instant(occurred_at)
        return ValidRequest(
            event,
            email,
            external_id,
            properties or {},
            data or {},
            self.redaction,
            reference_id,
            occurred_at,
            sent,
            canonical_json(sent),
        )

    def error(self, kind: type[InvalidRequest]) -> InvalidRequest:
        """Build the one error that lists every fault."""
        violations = [
            Violation(_shown_path(self._without_secret_names(tokens)), message)
            for tokens, message in self.faults[:_MAX_VIOLATIONS]
        ]
        error = kind.from_violations(violations)
        if len(self.faults) > _MAX_VIOLATIONS:
            error.details["omittedViolations"] = len(self.faults) - _MAX_VIOLATIONS
        return error

    def _without_secret_names(self, tokens: Tokens) -> Tokens:
        """Cut a path where the request redacts: names below may be secrets as well."""
        if self.redaction is None or tokens[:1] != ("data",):
            return tokens
        target = self.redaction.covers(tokens[1:])
        return tokens if target is None else ("data", *target)

    def _refuse_unknown(self, document: dict[str, Any], known: frozenset[str], at: Tokens) -> None:
        for name in document:
            if name not in known:
                self.faults.append(((*at, name), "is not a known field"))

    def _name(
        self, document: dict[str, Any], name: str, at: Tokens, *, required: bool = False
    ) -> str | None:
        value = document.get(name)
        if type(value) is str:
            if 0 < len(value) <= MAX_NAME:
                return value
        elif value is INADMISSIBLE:
            return None
        elif value is None and name not in document:
            if required:
                self.faults.append(((*at, name), "is required"))
            return None
        self.faults.append(((*at, name), "must be a string of 1 to 255 characters"))
        return None

    def _object(self, document: dict[str, Any], name: str, at: Tokens) -> dict[str, Any] | None:
        value = document.get(name)
        if type(value) is dict:
            return value
        if value is not INADMISSIBLE and (value is not None or name in document):
            self.faults.append(((*at, name), "must be an object"))
        return None

    def _profile(
        self, document: dict[str, Any]
    ) -> tuple[str | None, str | None, dict[str, Any] | None]:
        profile = self._object(document, "profile", ())
        if profile is None:
            if "profile" not in document:
                self.faults.append((("profile",), "is required"))
            return None, None, None
        at = ("profile",)
        if not profile.keys() <= _PROFILE_FIELDS:
            self._refuse_unknown(profile, _PROFILE_FIELDS, at)
        if "email" not in profile and "externalId" not in profile:
            self.faults.append((at, "must have an email or an externalId"))
        email = self._email(profile["email"]) if "email" in profile else None
        external_id = self._name(profile, "externalId", at)
        return email, external_id, self._object(profile, "properties", at)

    def _email(self, value: Any) -> str | None:
        if type(value) is str:
            # Held against what was sent: lowercasing turns some other letters into ASCII.
            trimmed = value.strip()
            if len(trimmed) <= MAX_EMAIL and _EMAIL.match(trimmed) is not None:
                return trimmed.lower()
        elif value is INADMISSIBLE:
            return None
        self.faults.append(
            (("profile", "email"), f"must be an email address of at most {MAX_EMAIL} characters")
        )
        return None

    def _paths(self, document: dict[str, Any]) -> list[str] | None:
        value = document.get("redactedDataPaths")
        at = ("redactedDataPaths",)
        if type(value) is not list:
            if value is not INADMISSIBLE and "redactedDataPaths" in document:
                self.faults.append((at, "must be a list of JSON Pointers"))
            self.redaction = compile_redaction(())
            return None
        paths: set[str] = set()
        for index, path in enumerate(value):
            if type(path) is not str:
                fault = None if path is INADMISSIBLE else "must be a string"
            else:
                fault = redaction_path_fault(path)
                if fault is None:
                    paths.add(path)
            if fault is not None:
                self.faults.append(((*at, str(index)), fault))
        ordered = sorted(paths)
        self.redaction = compile_redaction(ordered)
        return ordered

    def _instant(self, document: dict[str, Any], moment: datetime | None) -> datetime | None:
        value = document.get("occurredAt")
        at = ("occurredAt",)
        if moment is not None:
            try:
                if moment.utcoffset() is None:
                    raise ValueError("must have an offset from UTC")
                return parse_instant(format_instant(moment))
            except (ValueError, OverflowError):
                self.faults.append((at, "must be an aware datetime within the calendar"))
        elif type(value) is str:
            try:
                return parse_instant(value)
            except ValueError as error:
                self.faults.append((at, str(error)))
        elif value is not INADMISSIBLE and "occurredAt" in document:
            self.faults.append((at, "must be an RFC 3339 date-time with an offset or Z"))
        return None


def _shown_path(tokens: Tokens) -> str:
    """Write a path; one too long to show is cut at an ancestor."""
    path = format_pointer(*tokens)
    while len(path) > _MAX_PATH and tokens:
        tokens = tokens[:-1]
        path = format_pointer(*tokens)
    return path
