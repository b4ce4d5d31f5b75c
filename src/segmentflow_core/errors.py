"""Every error the library raises: one tree, one stable code each.

Knows codes, HTTP statuses and retry advice, as data. Must never know a value
from a request: messages are fixed sentences, details hold paths, names and limits.

See docs/reference/rules/errors.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Self

from attrs import frozen

__all__ = [
    "ERROR_CLASSES",
    "MAX_VIOLATIONS",
    "MAX_VIOLATIONS_BYTES",
    "ConfigurationError",
    "FingerprintKeyUnknown",
    "IdempotencyInProgress",
    "IdempotencyKeyRequired",
    "IdempotencyKeyReuse",
    "IdentityBlocked",
    "IdentityConflict",
    "InsufficientScope",
    "InternalError",
    "InvalidJourney",
    "InvalidRequest",
    "InvalidTemplate",
    "LeaseLost",
    "MethodNotAllowed",
    "NotFound",
    "Overloaded",
    "PayloadTooLarge",
    "ProfileEmailRequired",
    "ProfileTooLarge",
    "SegmentflowError",
    "StorageRefused",
    "StorageUnavailable",
    "TemplateStateMissing",
    "Unauthorized",
    "UnsupportedMediaType",
    "Violation",
    "bounded",
]

MAX_VIOLATIONS: Final = 1000
"""How many violations one error lists."""

MAX_VIOLATIONS_BYTES: Final = 64 * 1024
"""How many bytes all paths and messages of one error have together, as UTF-8 JSON."""

_NAMED: Final = 3
"""How many violations `str(error)` names."""


@frozen
class Violation:
    """One broken rule.

    Attributes:
        path: JSON Pointer (RFC 6901) into the refused document; ``""`` is all of it.
        message: the rule, in words. Never a value from the document.
    """

    path: str
    message: str


def bounded(violations: Iterable[Violation]) -> tuple[list[Violation], int]:
    """Return the first violations, as many as one error may list, and how many more there are."""
    listed: list[Violation] = []
    room, omitted = MAX_VIOLATIONS_BYTES, 0
    for violation in violations:
        if room >= 0 and len(listed) < MAX_VIOLATIONS:
            room -= _size(violation.path) + _size(violation.message)
            if room >= 0:
                listed.append(violation)
                continue
        omitted += 1
    return listed, omitted


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace"))


class SegmentflowError(Exception):
    """The root of the tree: catch this to catch them all.

    Args:
        message: replaces the class's own sentence.
        details: JSON-ready facts for a program: paths, names, limits; never values.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    should_retry: ClassVar[bool | None] = None
    retry_after: ClassVar[int | None] = None
    """Seconds to wait before trying again; None where waiting does not help."""
    default_message: ClassVar[str] = "Something went wrong inside the service."

    message: str
    details: dict[str, Any]

    def __init__(
        self, message: str | None = None, *, details: Mapping[str, Any] | None = None
    ) -> None:
        self.message = message if message is not None else self.default_message
        self.details = dict(details or {})
        super().__init__(self.message)

    def envelope(self) -> dict[str, Any]:
        """Return the wire form: ``{"error", "message", "details"}``."""
        return {"error": self.code, "message": self.message, "details": self.details}


class _Refusal(SegmentflowError):
    """A refusal: repeating the same call gives the same refusal."""

    should_retry = False


class InvalidRequest(_Refusal):
    """The request breaks one or more rules; `violations` lists them.

    At most 1,000 violations and 64 KiB of their text are listed;
    `details["omittedViolations"]` counts the others. `str` names the first ones by path.
    """

    code = "invalid_request"
    status = 400
    default_message = "The request is not valid."

    @classmethod
    def from_violations(cls, violations: Iterable[Violation], omitted: int = 0) -> Self:
        """Build the error that lists `violations` within bounds, in the order given.

        Args:
            violations: the broken rules.
            omitted: how many more there are.
        """
        listed, more = bounded(violations)
        details: dict[str, Any] = {
            "violations": [{"path": item.path, "message": item.message} for item in listed]
        }
        if more + omitted:
            details["omittedViolations"] = more + omitted
        return cls(details=details)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The broken rules that are listed."""
        # A client's error has the details that a server sent, whatever they are.
        items: Any = self.details.get("violations")
        listed: list[Any] = items if isinstance(items, list) else []
        return tuple(
            Violation(str(item.get("path", "")), str(item.get("message", "")))
            for item in listed
            if isinstance(item, dict)
        )

    def __str__(self) -> str:
        """Return the message and, by path, the first violations."""
        violations = self.violations
        if not violations:
            return self.message
        named = [f"{item.path or 'it'} {item.message}" for item in violations[:_NAMED]]
        omitted = self.details.get("omittedViolations")
        more = len(violations) - len(named) + (omitted if isinstance(omitted, int) else 0)
        if more:
            named.append(f"and {more} more")
        return f"{self.message.removesuffix('.')}: {'; '.join(named)}."


class IdempotencyKeyRequired(InvalidRequest):
    """No idempotency key was given; `violations` lists every other fault too."""

    code = "idempotency_key_required"
    default_message = "An idempotency key is required."


class InvalidJourney(InvalidRequest):
    """A Journey definition breaks one or more rules."""

    code = "invalid_journey"
    default_message = "The Journey definition is not valid."


class InvalidTemplate(InvalidRequest):
    """A template breaks one or more rules."""

    code = "invalid_template"
    default_message = "The template is not valid."


class Unauthorized(_Refusal):
    """The caller is not known."""

    code = "unauthorized"
    status = 401
    default_message = "A valid API Key is required."


class InsufficientScope(_Refusal):
    """The caller is known but lacks a scope; `details["required"]` names it."""

    code = "insufficient_scope"
    status = 403
    default_message = "The API Key lacks a required scope."


class NotFound(_Refusal):
    """There is no such thing in this Organization."""

    code = "not_found"
    status = 404
    default_message = "Not found."


class MethodNotAllowed(_Refusal):
    """The path exists, but not for this method."""

    code = "method_not_allowed"
    status = 405
    default_message = "This method is not allowed here."


class IdempotencyKeyReuse(_Refusal):
    """The key was used for another request.

    `details["changedPaths"]` names what differs, and `details["redactedPaths"]` what the request
    redacts, which is not compared.
    """

    code = "idempotency_key_reuse"
    status = 409
    default_message = "This idempotency key was already used with a different request."


class IdentityConflict(_Refusal):
    """Email and external id belong to different Profiles."""

    code = "identity_conflict"
    status = 409
    default_message = "The email and the external id do not identify one Profile."


class IdempotencyInProgress(SegmentflowError):
    """Another call with this key has not finished yet."""

    code = "idempotency_in_progress"
    status = 409
    should_retry = True
    retry_after = 1
    default_message = "A request with this idempotency key is still in progress. Try again."


class LeaseLost(_Refusal):
    """The token does not hold the Enrollment: it was released, or handed to another worker."""

    code = "lease_lost"
    status = 409
    default_message = "This token does not hold the Enrollment any more."


class PayloadTooLarge(_Refusal):
    """The request is larger than the limit, which `details["maxBytes"]` gives."""

    code = "payload_too_large"
    status = 413
    default_message = "The request is too large."


class UnsupportedMediaType(_Refusal):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"
    status = 415
    default_message = "The request body must be application/json."


class ProfileEmailRequired(_Refusal):
    """The external id is new, and a new Profile needs an email."""

    code = "profile_email_required"
    status = 422
    default_message = "An email is required to create this Profile."


class ProfileTooLarge(_Refusal):
    """The Profile would hold more than its limits allow; `details` says which they are."""

    code = "profile_too_large"
    status = 422
    default_message = "The Profile would have too many Properties, or too large ones."


class IdentityBlocked(_Refusal):
    """The email or the external id was blocked when its Profile was erased."""

    code = "identity_blocked"
    status = 422
    default_message = "An identity of this Profile is blocked since its erasure."


class TemplateStateMissing(_Refusal):
    """The state has nothing where a template reads; `details["missingPaths"]` lists the paths."""

    code = "template_state_missing"
    status = 422
    default_message = "The state document lacks something that the template needs."


class Overloaded(SegmentflowError):
    """As many requests are being worked on, or wait, as the service takes on at once."""

    code = "overloaded"
    status = 503
    should_retry = True
    retry_after = 1
    default_message = "The service has as much to do as it takes on at once. Try again."


class StorageUnavailable(SegmentflowError):
    """The storage could not be reached, or stayed too busy."""

    code = "storage_unavailable"
    status = 503
    should_retry = True
    retry_after = 1
    default_message = "The storage is not available right now. Try again."


class StorageRefused(SegmentflowError):
    """The store can be reached and will not hold what this call would write.

    A value that its tables have no room for, or a rule that somebody gave them. The caller can
    do nothing about it, and the same call is refused again: somebody has to look at the store.
    `details["error"]` is the database's code.
    """

    should_retry = False
    default_message = "The storage refuses what this call would write."


class InternalError(SegmentflowError):
    """Anything unforeseen. It tells the caller nothing more."""


class FingerprintKeyUnknown(SegmentflowError):
    """A stored fingerprint was made with a key this process was not given.

    The call can be neither replayed nor recorded as new. It is refused until the key that
    `details["keyId"]` names is configured again.
    """

    default_message = "A fingerprint key that is still in use is not configured."


class ConfigurationError(SegmentflowError, ValueError):
    """The library was set up wrongly: a programmer's mistake, not a caller's."""

    code = "invalid_configuration"
    default_message = "The library is not set up correctly."


ERROR_CLASSES: Final[tuple[type[SegmentflowError], ...]] = (
    InvalidRequest,
    IdempotencyKeyRequired,
    InvalidJourney,
    InvalidTemplate,
    Unauthorized,
    InsufficientScope,
    NotFound,
    MethodNotAllowed,
    IdempotencyKeyReuse,
    IdentityConflict,
    IdempotencyInProgress,
    LeaseLost,
    PayloadTooLarge,
    UnsupportedMediaType,
    ProfileEmailRequired,
    ProfileTooLarge,
    IdentityBlocked,
    TemplateStateMissing,
    Overloaded,
    StorageUnavailable,
    InternalError,
)
"""Every error a caller can meet. The docs, the HTTP adapter and tests read this table."""
