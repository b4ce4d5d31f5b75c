"""The check of a request: every rule it must keep.

Knows fields, lengths and formats. Must never put a value of the request into a
message: faults are JSON Pointers into the request and fixed sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from segmentflow_core.domain.admission import INADMISSIBLE, Admission
from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.instant import format_instant, parse_instant
from segmentflow_core.domain.pointer import Tokens, format_pointer
from segmentflow_core.domain.redaction import (
    NO_POLICY,
    Redaction,
    RedactionPolicy,
    compile_redaction,
    redaction_path_fault,
)
from segmentflow_core.domain.request.values import (
    DEFAULT_LIMITS,
    Limits,
    RequestDocument,
    TrackRequest,
    ValidRequest,
    request_document,
)
from segmentflow_core.errors import (
    IdempotencyKeyRequired,
    InvalidRequest,
    PayloadTooLarge,
    Violation,
)

__all__ = ["EMAIL_PATTERN", "MAX_EMAIL", "MAX_NAME", "check_request"]

EMAIL_PATTERN: Final = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]"
    r"@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
"""The documented pattern; the trimmed email must match it."""

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


def check_request(
    request: TrackRequest | Mapping[str, Any] | RequestDocument,
    idempotency_key: str | None,
    limits: Limits = DEFAULT_LIMITS,
    policy: RedactionPolicy = NO_POLICY,
) -> ValidRequest:
    """Check a request against every rule and return it ready for the decision.

    Args:
        request: the request; a mapping has the wire's names.
        idempotency_key: 1 to 255 printable ASCII characters.
        limits: how much JSON it may hold.
        policy: what the host redacts beside the request's own paths.

    Raises:
        IdempotencyKeyRequired: there is no key; `violations` lists every other fault too.
        InvalidRequest: the request breaks a rule; `violations` lists every fault.
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
        # Raise the size error first: an oversized copy is truncated, so other faults would
        # be noise.
        raise PayloadTooLarge(details={"maxBytes": limits.max_bytes})
    reading = _RequestReading(admission.faults, policy)
    valid = reading.request(admitted, occurred_at)
    key_missing = reading.key(idempotency_key)
    if reading.faults:
        raise reading.error(IdempotencyKeyRequired if key_missing else InvalidRequest)
    assert valid is not None
    if not sized and len(valid.canonical) > limits.max_bytes:
        raise PayloadTooLarge(details={"maxBytes": limits.max_bytes})
    return valid


class _RequestReading:
    """One reading of an admitted request: notes each fault and reads on."""

    def __init__(self, faults: list[tuple[Tokens, str]], policy: RedactionPolicy) -> None:
        self.faults = faults
        self.policy = policy
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
        """Check the request itself; return None where there is any fault."""
        if type(document) is not dict:
            if document is not INADMISSIBLE:
                self.faults.append(((), "must be an object"))
            return None
        if not document.keys() <= _FIELDS:
            self._refuse_unknown(document, _FIELDS, ())
        event = self._name(document, "event", (), required=True)
        email, external_id, properties = self._profile(document)
        data = self._object(document, "data", ()) or {}
        paths = self._paths(document)
        if self.policy.refuse_unmatched and paths:
            self._refuse_unmatched(document, data)
        reference_id = self._name(document, "referenceId", ())
        occurred_at = self._instant(document, moment)
        if self.faults:
            return None
        assert event is not None
        assert self.redaction is not None
        properties = properties or {}
        redaction = self.redaction
        if not self.policy.empty:
            redaction = self.policy.redaction(paths or (), data, properties)
            properties = redaction.apply_to_properties(properties)
        sent = document.copy()
        if paths is not None:
            sent["redactedDataPaths"] = paths
        if occurred_at is not None:
            sent["occurredAt"] = format_instant(occurred_at)
        return ValidRequest(
            event,
            email,
            external_id,
            properties,
            data,
            redaction,
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
        """Cut a path at a redacted place: the names below it may be secrets too."""
        if tokens[:1] != ("data",):
            return self.policy.covers(tokens) or tokens
        target = None if self.redaction is None else self.redaction.covers(tokens[1:])
        if target is not None:
            tokens = ("data", *target)
        # The state document's /event is the request's /data.
        target = self.policy.covers(("event", *tokens[1:]))
        return tokens if target is None else tokens[: len(target)]

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
            # Match before lowercasing, which turns some non-ASCII letters into ASCII.
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

    def _refuse_unmatched(self, document: dict[str, Any], data: dict[str, Any]) -> None:
        """Refuse each path that names nothing, unless a fault may have hidden what it names."""
        assert self.redaction is not None
        if any(at[:1] == ("data",) for at, _ in self.faults):
            return
        unmatched = frozenset(self.redaction.apply(data).unmatched)
        for index, path in enumerate(document["redactedDataPaths"]):
            if path in unmatched:
                self.faults.append((("redactedDataPaths", str(index)), "names nothing in data"))

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
    """Write a path; one that is too long becomes the path of an ancestor."""
    path = format_pointer(*tokens)
    while len(path) > _MAX_PATH and tokens:
        tokens = tokens[:-1]
        path = format_pointer(*tokens)
    return path
