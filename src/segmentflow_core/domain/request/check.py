"""The check of a request: every rule it must keep.

Knows fields, lengths and formats. Must never put a value of the request into a
message: faults are JSON Pointers into the request and fixed sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from segmentflow_core.domain.admission import (
    INADMISSIBLE,
    Admission,
    FlawedObject,
    plain_value,
)
from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.faults import Place, taken_apart
from segmentflow_core.domain.instant import format_instant, parse_instant
from segmentflow_core.domain.pointer import Tokens
from segmentflow_core.domain.redaction import Redaction, compile_redaction, redaction_path_fault
from segmentflow_core.domain.redaction_policy import NO_POLICY, RedactionPolicy
from segmentflow_core.domain.request.values import (
    DEFAULT_LIMITS,
    Limits,
    RequestDocument,
    TrackRequest,
    ValidRequest,
    request_document,
)
from segmentflow_core.domain.stack_room import MANY, with_room
from segmentflow_core.errors import (
    IdempotencyKeyRequired,
    InvalidRequest,
    PayloadTooLarge,
)
from segmentflow_core.tracebacks import forgets_locals

__all__ = [
    "EMAIL_PATTERN",
    "MAX_EMAIL",
    "MAX_NAME",
    "PLACEHOLDERS",
    "check_request",
    "is_placeholder",
    "plain_request",
    "request_or_refusal",
]

EMAIL_PATTERN: Final = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]"
    r"@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
"""The documented pattern; the trimmed email must match it."""

_EMAIL: Final = re.compile(EMAIL_PATTERN)
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
MAX_NAME: Final = 255
MAX_EMAIL: Final = 320

PLACEHOLDERS: Final = ("undefined", "null", "None", "nil", "NaN", "[object Object]")
"""External ids that only a broken client sends, in any case: two people would share one Profile."""

PLACEHOLDER_FAULT: Final = "must not be a placeholder like undefined or null, nor white space alone"
_PLACEHOLDERS: Final = frozenset({text.lower() for text in PLACEHOLDERS})

_FIELDS: Final = frozenset(
    {"event", "profile", "data", "redactedDataPaths", "referenceId", "occurredAt"}
)
_PROFILE_FIELDS: Final = frozenset({"email", "externalId", "properties"})


@forgets_locals
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
        limits: what it may hold.
        policy: what the host redacts beside the request's own paths.

    Raises:
        IdempotencyKeyRequired: there is no key; `violations` lists every other fault too.
        InvalidRequest: the request breaks a rule; `violations` lists every fault.
        PayloadTooLarge: the request is larger than `limits` allow.
    """
    checked = request_or_refusal(request, idempotency_key, limits, policy)
    if isinstance(checked, ValidRequest):
        return checked
    raise checked


def request_or_refusal(
    request: TrackRequest | Mapping[str, Any] | RequestDocument,
    idempotency_key: str | None,
    limits: Limits,
    policy: RedactionPolicy = NO_POLICY,
) -> ValidRequest | InvalidRequest | PayloadTooLarge:
    """Check a request as `check_request` does, and return the refusal.

    A refusal that was never raised has no traceback, which would keep the request.
    """
    document, occurred_at = _readable(request, limits.max_bytes)
    admission = Admission(limits.max_depth, limits.max_bytes)
    admitted = admission.admit(document)
    if admission.too_large:
        # Tell the size alone: an oversized copy is truncated, so other faults would be noise.
        return PayloadTooLarge(details={"maxBytes": limits.max_bytes})
    reading = _RequestReading(admission, limits.allow_placeholder_ids, policy)
    if admission.size < MANY:
        valid = reading.valid(admitted, occurred_at, idempotency_key)
    else:
        valid = with_room(reading.valid, admitted, occurred_at, idempotency_key)
    if not isinstance(valid, ValidRequest):
        return valid
    if len(valid.canonical) > limits.max_bytes and not issubclass(type(request), RequestDocument):
        return PayloadTooLarge(details={"maxBytes": limits.max_bytes})
    return valid


def plain_request(request: TrackRequest | Mapping[str, Any]) -> Any:
    """Return a request as plain JSON, for whoever sends it on and leaves its rules to the other.

    Args:
        request: as the caller stated it; an aware datetime in it is the occurredAt alone.

    Returns:
        What `check_request` would read, an object unless `request` is none.

    Raises:
        InvalidRequest: it holds what is no JSON; `violations` lists every fault.
        PayloadTooLarge: it is larger than any service takes.
    """
    document, occurred_at = _readable(request, _SENDABLE.max_bytes)
    admission = Admission(_SENDABLE.max_depth, _SENDABLE.max_bytes)
    admitted = admission.admit(document)
    timeless = occurred_at is not None and occurred_at.utcoffset() is None
    if admission.too_large or admission.faults.noted or timeless:
        refused = request_or_refusal(request, _ANY_KEY, _SENDABLE)
        assert not isinstance(refused, ValidRequest)
        raise refused
    if occurred_at is not None:
        admitted["occurredAt"] = format_instant(occurred_at)
    return admitted


_SENDABLE: Final = Limits(64 * 1024 * 1024, 128, allow_placeholder_ids=True)
"""No service has other limits that would let more through."""

_ANY_KEY: Final = "-"


def is_placeholder(external_id: str) -> bool:
    """Say whether an external id is what a broken client sends in place of one.

    >>> [is_placeholder(text) for text in ("undefined", "NULL", "  ", "0")]
    [True, True, True, False]
    """
    return external_id.lower() in _PLACEHOLDERS or external_id.isspace()


def _readable(request: Any, most: int) -> tuple[Any, datetime | None]:
    """Return a request's document, plain where it is an object, and apart a datetime in it.

    A datetime is no JSON: a text stands for it in the document.
    """
    document: Any = request
    # The type is asked, not the object: `isinstance` may run the object's own code.
    kind = type(request)
    if issubclass(kind, RequestDocument):
        document = request.document
    elif issubclass(kind, TrackRequest):
        document = request_document(request)
    kind = type(document)
    if kind is not dict and kind is not FlawedObject:
        plain = plain_value(document, most)
        document = plain if type(plain) is dict else document
    if type(document) is dict:
        members: dict[Any, Any] = document
        occurred_at = members.get("occurredAt")
        if issubclass(type(occurred_at), datetime):
            return {**members, "occurredAt": "instant"}, occurred_at
    return document, None


class _RequestReading:
    """One reading of an admitted request: notes each fault and reads on."""

    def __init__(
        self, admission: Admission, allow_placeholder_ids: bool, policy: RedactionPolicy
    ) -> None:
        self.faults = admission.faults
        self.exact = admission.exact
        self.allow_placeholder_ids = allow_placeholder_ids
        self.policy = policy
        self.redaction: Redaction | None = None

    def valid(
        self, document: Any, moment: datetime | None, key: Any
    ) -> ValidRequest | InvalidRequest:
        """Check the request and its key; return the refusal where there is any fault."""
        valid = self.request(document, moment)
        key_missing = self.key(key)
        if self.faults.noted:
            return self.refusal(IdempotencyKeyRequired if key_missing else InvalidRequest)
        assert valid is not None
        return valid

    def key(self, key: Any) -> bool:
        """Check the idempotency key; return whether there is none."""
        at = ("", "idempotencyKey")
        text = str.__str__(key) if issubclass(type(key), str) else None
        if key is None or text == "":
            self.faults.note(at, "is required")
            return True
        if text is None or _KEY.fullmatch(text) is None:
            self.faults.note(at, "must be 1 to 255 printable ASCII characters")
        return False

    def request(self, document: Any, moment: datetime | None) -> ValidRequest | None:
        """Check the request itself; return None where there is any fault.

        Args:
            document: its admitted copy, which becomes the normalised one.
            moment: the datetime for which a text stands in it.
        """
        if type(document) is not dict:
            if document is not INADMISSIBLE:
                self.faults.note("", "must be an object")
            return None
        if not document.keys() <= _FIELDS:
            self._refuse_unknown(document, _FIELDS, "")
        event = self._name(document, "event", "", required=True)
        email, external_id, properties = self._profile(document)
        data = self._object(document, "data", "") or {}
        paths = self._paths(document)
        if self.policy.refuse_unmatched and paths:
            self._refuse_unmatched(document, data)
        reference_id = self._name(document, "referenceId", "")
        occurred_at = self._instant(document, moment)
        if self.faults.noted:
            return None
        assert event is not None
        assert self.redaction is not None
        properties = properties or {}
        redaction = self.redaction
        if not self.policy.empty:
            redaction = self.policy.redaction(paths or (), data, properties)
            properties = redaction.apply_to_properties(properties)
        if paths is not None:
            document["redactedDataPaths"] = paths
        if occurred_at is not None:
            document["occurredAt"] = format_instant(occurred_at)
        return ValidRequest(
            event,
            email,
            external_id,
            properties,
            data,
            redaction,
            reference_id,
            occurred_at,
            document,
            canonical_json(document, exact=self.exact),
        )

    def refusal(self, kind: type[InvalidRequest]) -> InvalidRequest:
        """Build the one error that lists every fault."""
        return self.faults.refusal(kind, self._without_secret_names)

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

    def _refuse_unknown(self, document: dict[str, Any], known: frozenset[str], at: Place) -> None:
        for name in document:
            if name not in known:
                self.faults.note((at, name), "is not a known field")

    def _name(
        self, document: dict[str, Any], name: str, at: Place, *, required: bool = False
    ) -> str | None:
        value = document.get(name)
        if type(value) is str:
            if 0 < len(value) <= MAX_NAME:
                return value
        elif value is INADMISSIBLE:
            return None
        elif value is None and name not in document:
            if required:
                self.faults.note((at, name), "is required")
            return None
        self.faults.note((at, name), "must be a string of 1 to 255 characters")
        return None

    def _object(self, document: dict[str, Any], name: str, at: Place) -> dict[str, Any] | None:
        value = document.get(name)
        if type(value) is dict:
            return value
        if value is not INADMISSIBLE and (value is not None or name in document):
            self.faults.note((at, name), "must be an object")
        return None

    def _profile(
        self, document: dict[str, Any]
    ) -> tuple[str | None, str | None, dict[str, Any] | None]:
        profile = self._object(document, "profile", "")
        if profile is None:
            if "profile" not in document:
                self.faults.note(("", "profile"), "is required")
            return None, None, None
        at = ("", "profile")
        if not profile.keys() <= _PROFILE_FIELDS:
            self._refuse_unknown(profile, _PROFILE_FIELDS, at)
        if "email" not in profile and "externalId" not in profile:
            self.faults.note(at, "must have an email or an externalId")
        email = self._email(profile["email"]) if "email" in profile else None
        external_id = self._name(profile, "externalId", at)
        if (
            external_id is not None
            and not self.allow_placeholder_ids
            and is_placeholder(external_id)
        ):
            self.faults.note((at, "externalId"), PLACEHOLDER_FAULT)
        return email, external_id, self._object(profile, "properties", at)

    def _email(self, value: Any) -> str | None:
        if type(value) is str:
            # Match before lowercasing, which turns some non-ASCII letters into ASCII.
            trimmed = value.strip()
            if len(trimmed) <= MAX_EMAIL and _EMAIL.match(trimmed) is not None:
                return trimmed.lower()
        elif value is INADMISSIBLE:
            return None
        self.faults.note(
            (("", "profile"), "email"),
            f"must be an email address of at most {MAX_EMAIL} characters",
        )
        return None

    def _paths(self, document: dict[str, Any]) -> list[str] | None:
        value = document.get("redactedDataPaths")
        at = ("", "redactedDataPaths")
        if type(value) is not list:
            if value is not INADMISSIBLE and "redactedDataPaths" in document:
                self.faults.note(at, "must be a list of JSON Pointers")
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
                self.faults.note((at, index), fault)
        ordered = sorted(paths)
        self.redaction = compile_redaction(ordered)
        return ordered

    def _refuse_unmatched(self, document: dict[str, Any], data: dict[str, Any]) -> None:
        """Refuse each path that names nothing, unless a fault may have hidden what it names."""
        assert self.redaction is not None
        if self.faults.omitted or any(
            taken_apart(at)[1][:1] == ("data",) for at, _ in self.faults.noted
        ):
            return
        unmatched = frozenset(self.redaction.apply(data).unmatched)
        for index, path in enumerate(document["redactedDataPaths"]):
            if path in unmatched:
                self.faults.note((("", "redactedDataPaths"), index), "names nothing in data")

    def _instant(self, document: dict[str, Any], moment: datetime | None) -> datetime | None:
        value = document.get("occurredAt")
        at = ("", "occurredAt")
        if moment is not None:
            try:
                if moment.utcoffset() is None:
                    raise ValueError("must have an offset from UTC")
                return parse_instant(format_instant(moment))
            except Exception:  # noqa: BLE001 - a tzinfo is the host's own code
                self.faults.note(at, "must be an aware datetime within the calendar")
        elif type(value) is str:
            try:
                return parse_instant(value)
            except ValueError as error:
                self.faults.note(at, str(error))
        elif value is not INADMISSIBLE and "occurredAt" in document:
            self.faults.note(at, "must be an RFC 3339 date-time with an offset or Z")
        return None
