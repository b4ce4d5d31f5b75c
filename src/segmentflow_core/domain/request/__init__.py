"""The request of `events.track`: what a caller may send, and every rule it must keep.

`values` holds what is sent and what a checked request is; `check` holds the rules.

See docs/reference/rules/request.md.
"""

from __future__ import annotations

from segmentflow_core.domain.request.check import (
    EMAIL_PATTERN,
    MAX_EMAIL,
    MAX_NAME,
    PLACEHOLDERS,
    check_request,
    is_placeholder,
    plain_request,
    request_or_refusal,
)
from segmentflow_core.domain.request.values import (
    DEFAULT_LIMITS,
    Limits,
    ProfileInput,
    RequestDocument,
    TrackRequest,
    ValidRequest,
    request_document,
)

__all__ = [
    "DEFAULT_LIMITS",
    "EMAIL_PATTERN",
    "MAX_EMAIL",
    "MAX_NAME",
    "PLACEHOLDERS",
    "Limits",
    "ProfileInput",
    "RequestDocument",
    "TrackRequest",
    "ValidRequest",
    "check_request",
    "is_placeholder",
    "plain_request",
    "request_document",
    "request_or_refusal",
]
