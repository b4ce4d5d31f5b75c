"""What a caller of `events.track` may send, and what is left of it once it is checked.

Knows fields and the limits that a host may set. Must never show what a request holds: each
repr names the fields that are set and no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import define, frozen

from segmentflow_core.domain.count import is_count
from segmentflow_core.domain.json_value import JsonObject, JsonValue
from segmentflow_core.domain.redaction import Redaction
from segmentflow_core.errors import ConfigurationError

__all__ = [
    "DEFAULT_LIMITS",
    "Limits",
    "ProfileInput",
    "RequestDocument",
    "TrackRequest",
    "ValidRequest",
    "request_document",
]


def _fields_set(self: Any) -> str:
    """Name the fields that are set; a repr must not show what they hold."""
    names = [name for name in self.__slots__ if name[0] != "_"]
    fields = [name for name in names if getattr(self, name) is not None]
    return f"<{type(self).__name__} with {', '.join(fields) or 'nothing'}>"


@frozen(repr=False)
class ProfileInput:
    """Whom the event is about: an email, an external id, or both.

    Attributes:
        email: identifies the Profile; case and surrounding whitespace do not matter.
        external_id: the host's own id for the Profile, 1 to 255 characters.
        properties: Profile Properties to set; the value None removes a Property.
    """

    email: str | None = None
    external_id: str | None = None
    properties: Mapping[str, JsonValue] | None = None

    __repr__ = _fields_set


@frozen(repr=False)
class TrackRequest:
    """One business event, as the caller states it; `track` checks it.

    Attributes:
        event: the event's name, 1 to 255 characters, matched exactly.
        profile: whom it is about.
        data: the event's own data, any JSON object.
        redacted_data_paths: JSON Pointers to what must not be stored; each starts with ``/event/``.
        reference_id: the host's own id for what happened; it only correlates records.
        occurred_at: when it happened, as an aware datetime or RFC 3339 text; default: when
            it is received.
    """

    event: str
    profile: ProfileInput
    data: Mapping[str, JsonValue] | None = None
    redacted_data_paths: Sequence[str] | None = None
    reference_id: str | None = None
    occurred_at: datetime | str | None = None

    __repr__ = _fields_set


@frozen(repr=False)
class RequestDocument:
    """A request parsed from raw JSON; the size of the raw text is checked already.

    Attributes:
        document: the parsed JSON, unchecked.
    """

    document: Any


@frozen
class Limits:
    """What one request may hold.

    Attributes:
        max_bytes: the most bytes of UTF-8. Default 256 KiB.
        max_depth: how deep objects and arrays may nest; the request itself is 1. Default 64.
        allow_placeholder_ids: whether external ids are taken that only a broken client sends,
            such as ``undefined``. Default: they are refused.

    Raises:
        ConfigurationError: an attribute breaks its rule.
    """

    max_bytes: int = 256 * 1024
    max_depth: int = 64
    allow_placeholder_ids: bool = False

    def __attrs_post_init__(self) -> None:
        if not (is_count(self.max_bytes) and is_count(self.max_depth, 128)):
            raise ConfigurationError("max_bytes must be at least 1 and max_depth 1 to 128.")
        if type(self.allow_placeholder_ids) is not bool:
            raise ConfigurationError("allow_placeholder_ids must be True or False.")


DEFAULT_LIMITS: Final = Limits()


@define(repr=False)
class ValidRequest:
    """A request that keeps every rule, in the form the decision needs.

    Attributes:
        event: the event's name.
        email: trimmed and lowercased, or None.
        external_id: as sent, or None.
        properties: admitted Profile Properties, redacted by the host's policy; empty where
            none were sent.
        data: the event's data, admitted and *not yet redacted*.
        redaction: what is redacted of this request, by its own paths and by the policy:
            `redaction.apply(data)` redacts, `redaction.places(data)` names every place.
        reference_id: as sent, or None.
        occurred_at: in UTC; None where the caller gave none.
        document: the request as sent, before any redaction, normalised for the fingerprint.
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

    __repr__ = _fields_set


def request_document(request: TrackRequest) -> dict[str, Any]:
    """Return the request as the wire's JSON; fields that are None are left out.

    Args:
        request: as the caller stated it; nothing is checked.

    >>> request_document(TrackRequest("signed.up", ProfileInput(external_id="cus_1")))
    {'event': 'signed.up', 'profile': {'externalId': 'cus_1'}}
    """
    profile: Any = request.profile
    if issubclass(type(profile), ProfileInput):
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
