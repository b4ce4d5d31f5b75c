"""What a request is known by in answers and logs: its id, and the trace that it is part of.

Takes both from headers, if they have the form that they must have. A caller chooses them, and so
they are shown: they are the only parts of a request that a log may hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from attrs import frozen

from segmentflow_http.messages import AnyHeaders

__all__ = ["REQUEST_ID", "Correlation", "correlation_of"]

REQUEST_ID: Final = "x-request-id"

_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


@frozen
class Correlation:
    """What a request is known by.

    Attributes:
        request_id: `x-request-id` as sent, or a new id.
        traceparent: the trace context as sent (W3C), or None.
    """

    request_id: str
    traceparent: str | None


def correlation_of(headers: AnyHeaders) -> Correlation:
    """Return what a request is known by; what is given twice or malformed, as if it were absent."""
    given: Any = headers
    found: dict[str, str] = {}
    for name, value in given.items() if isinstance(given, Mapping) else given:
        lower = (name if isinstance(name, str) else name.decode("latin-1")).lower()
        if lower in (REQUEST_ID, "traceparent"):
            text = value if isinstance(value, str) else value.decode("latin-1")
            found[lower] = f"{found[lower]}, {text}" if lower in found else text
    request_id = found.get(REQUEST_ID, "")
    trace = found.get("traceparent", "")
    return Correlation(
        request_id if _ID.fullmatch(request_id) else str(uuid4()),
        trace if _TRACE.fullmatch(trace) else None,
    )
