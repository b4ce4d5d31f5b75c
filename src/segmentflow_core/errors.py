"""Every error the library raises: one tree, one stable code each.

Knows codes, HTTP statuses and retry advice, as data. Must never know a value
from a request: messages are fixed sentences, details hold paths, names and limits.

See docs/reference/rules/errors.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from attrs import frozen

__all__ = [
    "ERROR_CLASSES",
    "ConfigurationError",
    "FingerprintKeyUnknown",
    "IdempotencyInProgress",
    "IdempotencyKeyRequired",
    "IdempotencyKeyReuse",
    "IdentityConflict",
    "InsufficientScope",
    "InternalError",
    "InvalidJourney",
    "InvalidRequest",
    "InvalidTemplate",
    "LeaseLost",
    "MethodNotAllowed",
    "NotFound",
    "PayloadTooLarge",
    "ProfileEmailRequired",
    "SegmentflowError",
    "StorageUnavailable",
    "TemplateStateMissing",
    "Unauthorized",
    "UnsupportedMediaType",
    "Violation",
]


@frozen
class Violation:
    """One broken rule.

    Attributes:
        path: JSON Pointer (RFC 6901) into the refused document; ``""`` is all of it.
        message: the rule, in words. Never a value from the document.
    """

    path: str
    message: str


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
    """The request breaks one or more rules; `violations` lists every one."""

    code = "invalid_request"
    status = 400
    default_message = "The request is not valid."

    @classmethod
    def from_violations(cls, violations: Sequence[Violation]) -> Self:
        """Build the error that lists `violations`, in the order given."""
        return cls(details={"violations": _as_json(violations)})

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Every broken rule."""
        return tuple(Violation(**item) for item in self.details.get("violations", ()))


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


class TemplateStateMissing(_Refusal):
    """The state has nothing where a template reads; `details["missingPaths"]` lists the paths."""

    code = "template_state_missing"
    status = 422
    default_message = "The state document lacks something that the template needs."


class StorageUnavailable(SegmentflowError):
    """The storage could not be reached, or stayed too busy."""

    code = "storage_unavailable"
    status = 503
    should_retry = True
    retry_after = 1
    default_message = "The storage is not available right now. Try again."


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


def _as_json(violations: Sequence[Violation]) -> list[dict[str, str]]:
    return [{"path": item.path, "message": item.message} for item in violations]


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
    TemplateStateMissing,
    StorageUnavailable,
    InternalError,
)
"""Every error a caller can meet. The docs, the HTTP adapter and tests read this table."""
